"""A convolution as a product: what it reads at each place, laid side by side."""

import itertools
from typing import Any

import keras
from keras import ops

from keras_mtl.types import Tensor


def patches(convolution: keras.Layer, x: Tensor) -> Tensor:
    """Returns what a convolution reads at each of its places, of inputs of known size.

    Args:
        convolution: A convolution, channels last, in one group.
        x: `(batch, ..., channels)`.

    Returns:
        `(batch, ..., entries)`: at each place of its output what meets the entries of its kernel,
        in the order of `kernel.reshape(entries, filters)`.
    """
    around, counts = [], []
    settings = zip(x.shape[1:-1], *_by_axis(convolution), strict=True)
    for size, width, stride, dilation in settings:
        reach = (width - 1) * dilation + 1
        missing = 0
        if convolution.padding == "same":
            missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
        around.append((missing // 2, missing - missing // 2))
        counts.append((size + missing - reach) // stride + 1)
    x = ops.pad(x, ((0, 0), *around, (0, 0)))
    parts = []
    for offsets in itertools.product(*map(range, convolution.kernel_size)):
        places = zip(offsets, counts, convolution.strides, convolution.dilation_rate, strict=True)
        cuts = [slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in places]
        parts.append(x[(slice(None), *cuts)])
    return ops.concatenate(parts, axis=-1)


def _by_axis(convolution: keras.Layer) -> Any:
    return convolution.kernel_size, convolution.strides, convolution.dilation_rate
