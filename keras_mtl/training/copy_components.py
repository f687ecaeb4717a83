"""What ends a warm-up: parallel components that start as equals."""

import keras

from keras_mtl import checks
from keras_mtl.layers import Modular


class CopyComponents(keras.callbacks.Callback):
    """Gives all components of a layer the weights of the first, as an epoch begins.

    In the warm-up of `keras_mtl.build_routing_network` all tasks train the first component.
    Policies that then begin to choose would know it from the others, which are still what they
    were drawn as. Copies are told apart by what they learn from there on.

    Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission, which
    shares everything for its first 20 epochs and does not say how components begin after that.

    Args:
        epoch: Number of the epoch, from 0, at whose beginning weights are copied; the number of
            epochs of the warm-up.

    Raises:
        ValueError: `epoch` is no integer of at least 0; as training starts, no parallel
            components, or such as differ in the shapes of their weights.

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

    def __init__(self, epoch):
        super().__init__()
        self.epoch = checks.count("epoch", epoch, least=0)

    def on_train_begin(self, logs=None):
        if not self._layers():
            raise ValueError(
                f"{self.model.name!r} has no parallel components to copy. Leave CopyComponents out."
            )
        for layer in self._layers():
            shapes = {_shapes(component) for component in layer.components}
            if len(shapes) > 1:
                raise ValueError(
                    f"The components of layer {layer.name!r} differ in the shapes of their "
                    f"weights, so none can be a copy of the first. Received: {sorted(shapes)}"
                )

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.epoch:
            return
        for layer in self._layers():
            first, *others = layer.components
            for other in others:
                other.set_weights(first.get_weights())

    def _layers(self):
        found = [layer for layer in self.model.layers if isinstance(layer, Modular)]
        return [layer for layer in found if len(layer.components) > 1]


def _shapes(component):
    return tuple(tuple(weight.shape) for weight in component.weights)
