"""What policies and gates over blocks gain, in a census and in intensive care."""
