"""Recurrent components, and the modular encoder, which routes at every step of a sequence."""
