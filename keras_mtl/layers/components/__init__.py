"""Components, used by one task or several, and blocks that may be skipped."""
