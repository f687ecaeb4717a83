"""The end of a warm-up: parallel components that start as equals."""

import warnings
from typing import Any, NamedTuple

import keras

from keras_mtl import checks
from keras_mtl.keras_internals import optimizer_state
from keras_mtl.layers import RoutingPolicy
from keras_mtl.layers.components.parallel_components import ParallelComponents


class CopyComponents(keras.callbacks.Callback):
    """Gives all components of a layer the weights of the first, as an epoch begins.

    In the warm-up of `keras_mtl.build_routing_network` all tasks train the first component.
    Policies that then begin to choose would know it from the others, which are still what they
    were drawn as. Copies are told apart by what they learn from there on: what the optimizer
    remembers of the first, such as moments, is copied too.

    Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission, which
    shares everything for its first 20 epochs and does not say how components begin after that.

    Args:
        epoch: Number of the epoch, from 0, at whose beginning weights are copied; the number of
            epochs of the warm-up, which itself counts batches.

    Raises:
        ValueError: `epoch` is no integer of at least 0; as training starts, no parallel
            components, or such as differ in the shapes of their weights, or a warm-up that does
            not end where the epoch begins.

    Warns:
        UserWarning: That is seen only as the epoch begins. In a run that was resumed after the
            copies were made nothing is copied again.

    Example:

    >>> import numpy as np
    >>> from functools import partial
    >>> import keras_mtl
    >>> x, y = np.ones((4, 2)), {"a": np.zeros(4), "b": np.ones(4)}
    >>> model = keras_mtl.build_routing_network(
    ...     keras.Input((2,)), {"a": "binary", "b": "binary"},
    ...     [[partial(keras.layers.Dense, 3)] * 2], warm_up=1)
    >>> model.compile("sgd")
    >>> _ = model.fit(x, y, epochs=1, callbacks=[keras_mtl.CopyComponents(1)], verbose=0)
    >>> _ = model.fit(
    ...     x, y, initial_epoch=1, epochs=2, callbacks=[keras_mtl.CopyComponents(1)], verbose=0)
    """

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = checks.count("epoch", epoch, least=0)
        self._first_epoch: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._first_epoch = None
        if not self._chosen_layers():
            raise ValueError(
                f"{self.model.name!r} has no parallel components to copy. Leave CopyComponents out."
            )
        for layer in self._chosen_layers():
            shapes = {_shapes(component) for component in layer.components}
            if len(shapes) > 1:
                raise ValueError(
                    f"The components of layer {layer.name!r} differ in the shapes of their "
                    f"weights, so none can be a copy of the first. Received: {sorted(shapes)}"
                )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch
            self._check_what_will_be(epoch)
        if epoch != self.epoch:
            return
        off = self._off()
        if off and epoch == self._first_epoch and off.seen > off.warm_up:
            warnings.warn(f"{off} Nothing is copied: components have learned apart.", stacklevel=2)
            return
        if off:
            warnings.warn(str(off), stacklevel=2)
        self._copy()

    def _check_what_will_be(self, epoch: int) -> None:
        """Raises a `ValueError` where it is certain that the warm-up ends elsewhere."""
        params = self.params or {}
        steps = params.get("steps")
        if not steps or not epoch <= self.epoch < params["epochs"]:
            return
        off = self._off((self.epoch - epoch) * steps)
        if off and off.seen % steps == 0:  # else an epoch was interrupted, and is begun again
            raise ValueError(f"{off} Batches of an epoch: {steps}.")

    def _off(self, more: int = 0) -> Any:
        """Returns the first layer whose warm-up does not end after so many more batches."""
        for layer in self.model.layers:
            if isinstance(layer, RoutingPolicy):
                seen = int(layer.batches.numpy()) + more
                if seen != layer.warm_up:
                    return _Off(self.epoch, layer.name, seen, layer.warm_up)
        return None

    def _copy(self) -> None:
        optimizer = self.model.optimizer
        for layer in self._chosen_layers():
            first, *others = layer.components
            for other in others:
                other.set_weights(first.get_weights())
                pairs = zip(first.trainable_variables, other.trainable_variables, strict=True)
                for source, target in pairs:
                    _copy_state(optimizer, source, target)

    def _chosen_layers(self) -> list[Any]:
        found = [layer for layer in self.model.layers if isinstance(layer, ParallelComponents)]
        return [layer for layer in found if len(layer.components) > 1]


class _Off(NamedTuple):
    """A warm-up that ends elsewhere than where the copies are made."""

    epoch: int
    layer: str
    seen: int
    warm_up: int

    def __str__(self) -> str:
        return (
            f"CopyComponents({self.epoch}) copies components after {self.seen} training batches, "
            f"but the warm-up of layer {self.layer!r} is {self.warm_up} batches. Build the network "
            f"with warm_up={self.seen}, or give CopyComponents the epoch that begins after "
            f"{self.warm_up} batches."
        )


def _shapes(component: keras.Layer) -> Any:
    return tuple(tuple(weight.shape) for weight in component.weights)


def _copy_state(optimizer: Any, source: Any, target: Any) -> None:
    kept = [optimizer_state(optimizer, variable) for variable in (source, target)]
    for old, new in zip(*kept, strict=True):
        new.assign(old.numpy().copy())
