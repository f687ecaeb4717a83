"""Problems whose structure is known: which methods find it, and what they gain by it."""
