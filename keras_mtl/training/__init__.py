"""How networks learn: the model class, losses, logs, optimizers, callbacks."""

from keras_mtl.training.alternating import AlternatingOptimizer, alternating_optimizer
from keras_mtl.training.backup import AtomicBackup
from keras_mtl.training.cagrad import CAGrad
from keras_mtl.training.callbacks import AllocationRecorder
from keras_mtl.training.copy_components import CopyComponents
from keras_mtl.training.dynamic_weight_average import DynamicWeightAverage
from keras_mtl.training.first_order_maml import FirstOrderMAML
from keras_mtl.training.gradnorm import GradNorm
from keras_mtl.training.model import MultiTaskModel
from keras_mtl.training.optimizers import PresentTasksOptimizer, allocation_optimizer
from keras_mtl.training.pcgrad import PCGrad
from keras_mtl.training.random_loss_weighting import RandomLossWeighting
from keras_mtl.training.uncertainty_weighting import UncertaintyWeighting

__all__ = [
    "AllocationRecorder",
    "AlternatingOptimizer",
    "AtomicBackup",
    "CAGrad",
    "CopyComponents",
    "DynamicWeightAverage",
    "FirstOrderMAML",
    "GradNorm",
    "MultiTaskModel",
    "PCGrad",
    "PresentTasksOptimizer",
    "RandomLossWeighting",
    "UncertaintyWeighting",
    "allocation_optimizer",
    "alternating_optimizer",
]
