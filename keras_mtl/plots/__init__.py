"""Pictures of what a network learned. Needs matplotlib: `pip install "keras_mtl[plots]"`."""

from keras_mtl.plots.allocation import plot_allocation, plot_usage_by_depth
from keras_mtl.plots.history import plot_allocation_history
from keras_mtl.plots.similarity import plot_task_similarity

__all__ = [
    "plot_allocation",
    "plot_allocation_history",
    "plot_task_similarity",
    "plot_usage_by_depth",
]
