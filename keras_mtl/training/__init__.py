"""How networks learn: the model class, losses, logs, optimizers, callbacks."""

from keras_mtl.training.alternating import AlternatingOptimizer, alternating_optimizer
from keras_mtl.training.callbacks import AllocationRecorder
from keras_mtl.training.model import MultiTaskModel
from keras_mtl.training.optimizers import PresentTasksOptimizer, allocation_optimizer

__all__ = [
    "AllocationRecorder",
    "AlternatingOptimizer",
    "MultiTaskModel",
    "PresentTasksOptimizer",
    "allocation_optimizer",
    "alternating_optimizer",
]
