"""What is used: parallel components, and blocks that may be skipped."""
