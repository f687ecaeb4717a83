"""Mixing of outputs: sums of components, stitched towers, mixtures of layers."""
