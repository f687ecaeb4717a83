"""How networks learn: the model class, losses, logs, optimizers, callbacks."""

from keras_mtl.training.callbacks import AllocationRecorder
from keras_mtl.training.model import MultiTaskModel
from keras_mtl.training.optimizers import PresentTasksOptimizer, allocation_optimizer

__all__ = [
    "AllocationRecorder",
    "MultiTaskModel",
    "PresentTasksOptimizer",
    "allocation_optimizer",
]
