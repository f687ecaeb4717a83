"""Pictures of what a network learned. Needs matplotlib: `pip install "keras_mtl[plots]"`."""

from keras_mtl.plots.allocation import plot_allocation as plot_allocation
from keras_mtl.plots.allocation import plot_usage_by_depth as plot_usage_by_depth
from keras_mtl.plots.alpha import plot_alpha as plot_alpha
from keras_mtl.plots.beta import plot_beta as plot_beta
from keras_mtl.plots.execution import plot_executed_blocks as plot_executed_blocks
from keras_mtl.plots.execution import plot_gate_rates as plot_gate_rates
from keras_mtl.plots.experts import plot_expert_usage as plot_expert_usage
from keras_mtl.plots.history import plot_allocation_history as plot_allocation_history
from keras_mtl.plots.relatedness import plot_relatedness_over_time as plot_relatedness_over_time
from keras_mtl.plots.routing import plot_routing_over_time as plot_routing_over_time
from keras_mtl.plots.routing import plot_sub_encoder_usage as plot_sub_encoder_usage
from keras_mtl.plots.scores.compute import plot_compute as plot_compute
from keras_mtl.plots.scores.gains import plot_gains as plot_gains
from keras_mtl.plots.scores.learning_curves import plot_learning_curves as plot_learning_curves
from keras_mtl.plots.scores.loss_by_group import plot_loss_by_group as plot_loss_by_group
from keras_mtl.plots.scores.monitor import plot_task_monitor as plot_task_monitor
from keras_mtl.plots.scores.reliability import plot_reliability as plot_reliability
from keras_mtl.plots.similarity import plot_task_similarity as plot_task_similarity
