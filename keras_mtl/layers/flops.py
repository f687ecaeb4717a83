"""FLOPs of a layer call: 2 for every multiplication with a weight and its addition.

A kernel's entries are all used once at each position that the kernel visits: pixels of a
convolution's output, time steps, other axes of a dense layer's input.
"""

import math
from collections.abc import Iterator
from typing import Any

import keras

from keras_mtl.keras_internals import graph_of
from keras_mtl.layers.task_paths import LayerCall, calls_in
from keras_mtl.types import Shape

_LAYERS = keras.layers
_CONVOLUTIONS = (
    _LAYERS.Conv1D,
    _LAYERS.Conv2D,
    _LAYERS.Conv3D,
    _LAYERS.DepthwiseConv1D,
    _LAYERS.DepthwiseConv2D,
)
_SEPARABLE = (_LAYERS.SeparableConv1D, _LAYERS.SeparableConv2D)
_TRANSPOSED = (_LAYERS.Conv1DTranspose, _LAYERS.Conv2DTranspose, _LAYERS.Conv3DTranspose)
_RECURRENT = (_LAYERS.LSTM, _LAYERS.GRU, _LAYERS.SimpleRNN)


def layer_flops(layer: keras.Layer, inputs: Any, output: Any) -> Iterator[Any]:
    """Yields the FLOPs of one example, for each layer with weights that a call runs.

    Sizes that are not fixed count as 1: a network for sequences of any length then costs
    so many FLOPs per time step.

    Args:
        layer: A built layer.
        inputs: List of its symbolic input tensors.
        output: Its symbolic output tensor.

    Yields:
        Pairs `(layer, FLOPs)`, nested layers one by one. The FLOPs are `None` for a layer
        of a class that cannot be counted.
    """
    if graph_of(layer) is not None:
        for call in calls_in(graph_of(layer), inputs):
            yield from layer_flops(*call)
    elif isinstance(layer, _LAYERS.Bidirectional):
        for direction in (layer.forward_layer, layer.backward_layer):
            yield from layer_flops(direction, inputs, output)
    elif isinstance(layer, _LAYERS.TimeDistributed):
        (x,) = inputs
        step = keras.KerasTensor((x.shape[0], *x.shape[2:]), x.dtype)
        for inner, flops in layer_flops(layer.layer, [step], LayerCall(layer.layer)(step)):
            yield inner, flops and flops * _size(x.shape[1:2])
    elif getattr(layer, "weights", ()):
        multiply_adds = _multiply_adds(layer, inputs[0].shape, output.shape)
        yield layer, None if multiply_adds is None else 2 * multiply_adds


def _multiply_adds(layer: keras.Layer, x_shape: Any, y_shape: Any) -> Any:
    """Returns the number of weights times the number of positions they are used at."""
    if isinstance(layer, _LAYERS.Dense):
        return _size(layer.kernel.shape) * _size(x_shape[1:-1])
    if isinstance(layer, _CONVOLUTIONS):
        return _size(layer.kernel.shape) * _positions(layer, y_shape)
    if isinstance(layer, _SEPARABLE):
        kernels = _size(layer.depthwise_kernel.shape) + _size(layer.pointwise_kernel.shape)
        return kernels * _positions(layer, y_shape)
    if isinstance(layer, _TRANSPOSED):
        return _size(layer.kernel.shape) * _positions(layer, x_shape)
    if isinstance(layer, _RECURRENT):
        cell = layer.cell
        return (_size(cell.kernel.shape) + _size(cell.recurrent_kernel.shape)) * _size(x_shape[1:2])
    return 0 if isinstance(layer, _LAYERS.Embedding) else None


def _positions(layer: keras.Layer, shape: Shape) -> Any:
    channels_last = layer.data_format == "channels_last"
    return _size(shape[1:-1] if channels_last else shape[2:])


def _size(shape: Shape) -> Any:
    return math.prod(1 if size is None else size for size in shape)
