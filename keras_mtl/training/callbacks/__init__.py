"""Callbacks that look on while a network trains, or step in between epochs."""
