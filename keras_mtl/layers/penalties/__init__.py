"""Penalties: named terms of the loss."""
