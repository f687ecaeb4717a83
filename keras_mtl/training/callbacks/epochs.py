"""The number of the epoch, for those who count: a second `fit` goes on from the first."""

from typing import Any

import keras
from keras import ops

from keras_mtl.data import AlternatingBatches, ArrayBatches, TaskBatches
from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.layers import GumbelRouter
from keras_mtl.training.optimizers.alternating import AlternatingOptimizer

IN_ORDER = (AlternatingBatches, ArrayBatches, TaskBatches)  # they decide on the order of batches


class FollowEpochs(keras.callbacks.Callback):
    """Tells batches, routers that cool by epoch and balancing which epoch begins.

    Routers that cool by the part of training that is done hear how long training will be.

    `fit` counts from its `initial_epoch`, which is 0 in a second call too. Routers know how many
    epochs are over, the optimizer knows how many batches; both are saved with the network, so that
    a resumed run goes on as an uninterrupted one does. What `fit` says counts where it is more.

    Args:
        batches: What `fit` reads.
    """

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self._batches = batches
        self._epochs_before: Any = None
        self._num_batches = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if isinstance(self._batches, IN_ORDER):
            self._turn_to(epoch)
        for router in self._cooling_routers():
            router.epochs.assign(max(epoch, int(router.epochs.numpy())))
        self._tell_length(epoch)
        if self.model.balancing is not None:
            self.model.balancing.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._num_batches = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for router in self._cooling_routers():
            router.epochs.assign_add(1)

    def _turn_to(self, epoch: int) -> None:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        trained = int(ops.convert_to_numpy(optimizer.iterations)) * (
            optimizer.gradient_accumulation_steps or 1
        )
        if _take_turns(self._batches, optimizer):
            self._batches.first_step = trained  # the phases are those of the optimizer
            return
        if self._epochs_before is None:
            steps = self.params["steps"] or len(self._batches)
            self._epochs_before = max(trained // steps - epoch, 0)
        self._batches.epoch = self._epochs_before + epoch

    def _tell_length(self, epoch: int) -> None:
        steps = self.params["steps"] or self._num_batches  # 0 in the first epoch of a generator
        for router in self._routers():
            if router.length is not None and steps:
                seen = int(router.updates.numpy())
                router.length.assign(seen + (self.params["epochs"] - epoch) * steps)

    def _cooling_routers(self) -> list[Any]:
        return [router for router in self._routers() if router.counts == "epochs"]

    def _routers(self) -> list[Any]:
        return [x for x in with_inner_layers(self.model) if isinstance(x, GumbelRouter)]


def _take_turns(batches: Any, optimizer: Any) -> bool:
    return isinstance(batches, AlternatingBatches) and isinstance(optimizer, AlternatingOptimizer)
