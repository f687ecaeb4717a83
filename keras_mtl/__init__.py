"""Multi-task learning for Keras 3: networks that learn what tasks share."""

from keras_mtl import analysis, data, layers, plots, tuning
from keras_mtl.analysis import (
    allocation,
    allocation_entropy,
    allocation_probabilities,
    routing_over_time,
    sharing_report,
    task_embeddings,
    task_similarity,
)
from keras_mtl.data import synthetic_pairs, task_batches
from keras_mtl.models import (
    add_task,
    build_communicating,
    build_cross_stitch,
    build_fixed_random,
    build_girnet,
    build_gumbel_matrix,
    build_low_supervision,
    build_no_sharing,
    build_recurrent_modular,
    build_recursive_routing,
    build_shared_bottom,
    build_shared_private,
    build_single_tasks,
    build_sluice,
    build_soft_ordering,
)
from keras_mtl.schedules import HalvingSchedule, RampSchedule, TemperatureSchedule
from keras_mtl.serving import check_freeze, cut_report, export, freeze, load_served, streaming
from keras_mtl.tasks import Task
from keras_mtl.training import AllocationRecorder, MultiTaskModel, allocation_optimizer

__all__ = [
    "AllocationRecorder",
    "HalvingSchedule",
    "MultiTaskModel",
    "RampSchedule",
    "Task",
    "TemperatureSchedule",
    "add_task",
    "allocation",
    "allocation_entropy",
    "allocation_optimizer",
    "allocation_probabilities",
    "analysis",
    "build_communicating",
    "build_cross_stitch",
    "build_fixed_random",
    "build_girnet",
    "build_gumbel_matrix",
    "build_low_supervision",
    "build_no_sharing",
    "build_recurrent_modular",
    "build_recursive_routing",
    "build_shared_bottom",
    "build_shared_private",
    "build_single_tasks",
    "build_sluice",
    "build_soft_ordering",
    "check_freeze",
    "cut_report",
    "data",
    "export",
    "freeze",
    "layers",
    "load_served",
    "plots",
    "routing_over_time",
    "sharing_report",
    "streaming",
    "synthetic_pairs",
    "task_batches",
    "task_embeddings",
    "task_similarity",
    "tuning",
]
