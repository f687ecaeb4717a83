"""Freezing: a network that has decided, from one that decides."""
