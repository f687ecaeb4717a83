"""Freezes, exports and serves trained networks."""

from keras_mtl.serving.freeze import freeze

__all__ = ["freeze"]
