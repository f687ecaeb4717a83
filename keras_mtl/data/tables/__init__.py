"""Columns of a table: strings, numbers and lists in, what a network reads out."""
