"""Batches of examples of several tasks."""
