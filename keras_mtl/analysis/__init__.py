"""Looks into trained networks."""

from keras_mtl.analysis.allocation import (
    allocation,
    allocation_entropy,
    allocation_probabilities,
    task_embeddings,
    task_similarity,
)

__all__ = [
    "allocation",
    "allocation_entropy",
    "allocation_probabilities",
    "task_embeddings",
    "task_similarity",
]
