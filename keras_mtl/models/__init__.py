"""Builders: one function a method, each returns an uncompiled functional model."""

from keras_mtl.models.add_task import add_task
from keras_mtl.models.gumbel_matrix import build_gumbel_matrix
from keras_mtl.models.static import (
    build_fixed_random,
    build_no_sharing,
    build_shared_bottom,
    build_single_tasks,
)

__all__ = [
    "add_task",
    "build_fixed_random",
    "build_gumbel_matrix",
    "build_no_sharing",
    "build_shared_bottom",
    "build_single_tasks",
]
