"""Trained networks that take one more task."""
