"""Equal components on one input, computed as one operation.

Components that are the same Dense or convolution differ in their weights only, so
their kernels can be laid side by side and applied at once. Weights, names and
freezing stay as they are: this is a way to call the components, not another layer.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.types import Tensor

_FUSIBLE = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
_SETTINGS = (
    "units",
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "use_bias",
    "activation",
)


def fused_groups(components: Sequence[keras.Layer], compute_dtype: Any) -> Any:
    """Returns lists of positions in `components` that can be computed together.

    A group of one is called as it is. Groups keep the order of first appearance. They may change
    between two calls: components that are quantized, or get a LoRA, are called one by one.
    """
    groups: dict[Any, Any] = {}
    for position, component in enumerate(components):
        groups.setdefault(_signature(component, compute_dtype) or position, []).append(position)
    return list(groups.values())


def fusible(components: Sequence[keras.Layer], compute_dtype: Any) -> Any:
    """Returns whether all of several components can be computed together."""
    signatures = {_signature(component, compute_dtype) for component in components}
    return len(components) > 1 and len(signatures) == 1 and None not in signatures


def _signature(component: keras.Layer, compute_dtype: Any) -> Any:
    """Returns what components must agree in to be fused; `None` if they cannot be."""
    if type(component) not in _FUSIBLE or getattr(component, "groups", 1) != 1:
        return None
    if getattr(component, "padding", None) == "causal":
        return None
    if getattr(component, "data_format", None) == "channels_first":
        return None
    if component.activity_regularizer or getattr(component, "lora_enabled", False):
        return None
    if isinstance(component.activation, keras.layers.Layer):
        return None  # it may have weights
    if component.compute_dtype != compute_dtype or component.quantization_mode:
        return None
    return type(component), *(getattr(component, name, None) for name in _SETTINGS)


def applied(component: keras.Layer, x: Tensor, kernel: Any) -> Tensor:
    """Returns what a kernel makes of `x` in the place of a component's own, without bias."""
    if isinstance(component, keras.layers.Dense):
        return ops.matmul(x, kernel)
    return ops.conv(
        x,
        kernel,
        strides=component.strides,
        padding=component.padding,
        data_format=component.data_format,
        dilation_rate=component.dilation_rate,
    )


def fused_call(components: Sequence[keras.Layer], x: Tensor) -> Any:
    """Applies equal components to `x`.

    Returns:
        Their outputs stacked before the last axis, `(..., C, units)`: with channels
        last that is `(batch, ..., C, units)`.
    """
    first = components[0]
    kernel = ops.concatenate([component.kernel for component in components], axis=-1)
    outputs = applied(first, x, kernel)
    if first.use_bias:
        outputs = outputs + ops.concatenate([component.bias for component in components], axis=-1)
    units = outputs.shape[-1] // len(components)
    outputs = ops.reshape(outputs, (*ops.shape(outputs)[:-1], len(components), units))
    return outputs if first.activation is None else first.activation(outputs)
