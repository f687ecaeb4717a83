"""Pictures of what a network learned. Needs matplotlib: `pip install "keras_mtl[plots]"`."""

from keras_mtl.plots.allocation import plot_allocation, plot_usage_by_depth
from keras_mtl.plots.alpha import plot_alpha
from keras_mtl.plots.beta import plot_beta
from keras_mtl.plots.compute import plot_compute
from keras_mtl.plots.execution import plot_executed_blocks, plot_gate_rates
from keras_mtl.plots.experts import plot_expert_usage
from keras_mtl.plots.history import plot_allocation_history
from keras_mtl.plots.learning_curves import plot_learning_curves
from keras_mtl.plots.loss_by_group import plot_loss_by_group
from keras_mtl.plots.relatedness import plot_relatedness_over_time
from keras_mtl.plots.routing import plot_routing_over_time, plot_sub_encoder_usage
from keras_mtl.plots.similarity import plot_task_similarity

__all__ = [
    "plot_allocation",
    "plot_allocation_history",
    "plot_alpha",
    "plot_beta",
    "plot_compute",
    "plot_executed_blocks",
    "plot_expert_usage",
    "plot_gate_rates",
    "plot_learning_curves",
    "plot_loss_by_group",
    "plot_relatedness_over_time",
    "plot_routing_over_time",
    "plot_sub_encoder_usage",
    "plot_task_similarity",
    "plot_usage_by_depth",
]
