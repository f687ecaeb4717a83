"""How networks learn: the model class, losses, logs, optimizers, callbacks."""

from keras_mtl.training.balancing.cagrad import CAGrad
from keras_mtl.training.balancing.dynamic_weight_average import DynamicWeightAverage
from keras_mtl.training.balancing.first_order_maml import FirstOrderMAML
from keras_mtl.training.balancing.gradnorm import GradNorm
from keras_mtl.training.balancing.pcgrad import PCGrad
from keras_mtl.training.balancing.random_loss_weighting import RandomLossWeighting
from keras_mtl.training.balancing.uncertainty_weighting import UncertaintyWeighting
from keras_mtl.training.callbacks.allocation_recorder import AllocationRecorder
from keras_mtl.training.callbacks.atomic_backup import AtomicBackup
from keras_mtl.training.callbacks.copy_components import CopyComponents
from keras_mtl.training.model import MultiTaskModel
from keras_mtl.training.optimizers.alternating import AlternatingOptimizer, alternating_optimizer
from keras_mtl.training.optimizers.present_tasks import PresentTasksOptimizer, allocation_optimizer

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
