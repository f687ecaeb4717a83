"""Sentences as integers, tags as labels."""
