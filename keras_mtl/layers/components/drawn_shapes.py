"""Shapes that depend on what was drawn, such as the number of rows that a component gets."""

from typing import Any

import keras


def may_depend_on_draws() -> Any:
    """Returns whether the backend knows such shapes: JAX does not."""
    return keras.backend.backend() != "jax"


def rule_out_xla() -> Any:
    """Returns whether a layer with such shapes must say that it does without XLA.

    `fit` takes XLA by itself on TensorFlow, where it knows no such shapes.
    """
    return keras.backend.backend() == "tensorflow"
