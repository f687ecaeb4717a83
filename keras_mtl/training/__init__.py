"""Training: the model class, losses, logs, optimizers, callbacks."""

from keras_mtl.training.balancing.cagrad import CAGrad as CAGrad
from keras_mtl.training.balancing.dynamic_weight_average import (
    DynamicWeightAverage as DynamicWeightAverage,
)
from keras_mtl.training.balancing.first_order_maml import FirstOrderMAML as FirstOrderMAML
from keras_mtl.training.balancing.gradnorm import GradNorm as GradNorm
from keras_mtl.training.balancing.pcgrad import PCGrad as PCGrad
from keras_mtl.training.balancing.random_loss_weighting import (
    RandomLossWeighting as RandomLossWeighting,
)
from keras_mtl.training.balancing.scheduled_weights import ScheduledWeights as ScheduledWeights
from keras_mtl.training.balancing.uncertainty_weighting import (
    UncertaintyWeighting as UncertaintyWeighting,
)
from keras_mtl.training.callbacks.allocation_recorder import (
    AllocationRecorder as AllocationRecorder,
)
from keras_mtl.training.callbacks.atomic_backup import AtomicBackup as AtomicBackup
from keras_mtl.training.callbacks.best_policy import BestPolicy as BestPolicy
from keras_mtl.training.callbacks.copy_components import CopyComponents as CopyComponents
from keras_mtl.training.callbacks.task_monitor import TaskMonitor as TaskMonitor
from keras_mtl.training.model import MultiTaskModel as MultiTaskModel
from keras_mtl.training.normalized_entropy import NormalizedEntropy as NormalizedEntropy
from keras_mtl.training.optimizers.alternating import AlternatingOptimizer as AlternatingOptimizer
from keras_mtl.training.optimizers.alternating import alternating_optimizer as alternating_optimizer
from keras_mtl.training.optimizers.by_part import optimizer_by_part as optimizer_by_part
from keras_mtl.training.optimizers.present_tasks import (
    PresentTasksOptimizer as PresentTasksOptimizer,
)
from keras_mtl.training.optimizers.present_tasks import allocation_optimizer as allocation_optimizer
from keras_mtl.training.optimizers.visited_adam import VisitedAdam as VisitedAdam
