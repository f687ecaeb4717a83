"""Looks into trained networks."""

from keras_mtl.analysis.allocation import (
    allocation,
    allocation_entropy,
    allocation_probabilities,
    task_embeddings,
    task_similarity,
)
from keras_mtl.analysis.sharing import SharingReport, sharing_report
from keras_mtl.analysis.usage import ActiveFraction, active_fraction, usage_by_depth

__all__ = [
    "ActiveFraction",
    "SharingReport",
    "active_fraction",
    "allocation",
    "allocation_entropy",
    "allocation_probabilities",
    "sharing_report",
    "task_embeddings",
    "task_similarity",
    "usage_by_depth",
]
