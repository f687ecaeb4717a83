"""Optimizers that know which weights are learned as what."""
