"""Inputs of `fit`, checked before compiled code sees them."""
