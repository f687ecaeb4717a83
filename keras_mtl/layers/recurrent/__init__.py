"""What is used at every step of a sequence, and who decides about it."""
