"""Heads: what each task answers, from its features."""
