"""What networks are made of: components, who decides about them, how they meet."""

from keras_mtl.layers.allocation import Allocation, FixedAllocation
from keras_mtl.layers.allocation_matrix import AllocationMatrix
from keras_mtl.layers.gumbel import GumbelRouter, straight_through
from keras_mtl.layers.heads import TaskHead, TaskHeads
from keras_mtl.layers.modular import Modular
from keras_mtl.layers.penalties import AllocationPenalty
from keras_mtl.layers.task_rows import SplitTasks, TaskRows

__all__ = [
    "Allocation",
    "AllocationMatrix",
    "AllocationPenalty",
    "FixedAllocation",
    "GumbelRouter",
    "Modular",
    "SplitTasks",
    "TaskHead",
    "TaskHeads",
    "TaskRows",
    "straight_through",
]
