"""What networks are made of: components, who decides about them, how they meet."""

from keras_mtl.layers.allocation import Allocation, FixedAllocation
from keras_mtl.layers.allocation_matrix import AllocationMatrix
from keras_mtl.layers.bilstm import BiLSTM, JoinDirections
from keras_mtl.layers.gumbel import GumbelRouter, straight_through
from keras_mtl.layers.heads import TaskHead, TaskHeads
from keras_mtl.layers.mixture import LayerConcat, LayerMixture
from keras_mtl.layers.modular import Modular
from keras_mtl.layers.orthogonality import SubspaceOrthogonality
from keras_mtl.layers.penalties import AllocationPenalty
from keras_mtl.layers.sluice import Sluice
from keras_mtl.layers.soft_allocation import SoftAllocation
from keras_mtl.layers.stitch import CrossStitch, Stitch
from keras_mtl.layers.task_rows import PickTask, RepeatRows, SplitTasks, TaskRows
from keras_mtl.layers.word_dropout import WordDropout

__all__ = [
    "Allocation",
    "AllocationMatrix",
    "AllocationPenalty",
    "BiLSTM",
    "CrossStitch",
    "FixedAllocation",
    "GumbelRouter",
    "JoinDirections",
    "LayerConcat",
    "LayerMixture",
    "Modular",
    "PickTask",
    "RepeatRows",
    "Sluice",
    "SoftAllocation",
    "SplitTasks",
    "Stitch",
    "SubspaceOrthogonality",
    "TaskHead",
    "TaskHeads",
    "TaskRows",
    "WordDropout",
    "straight_through",
]
