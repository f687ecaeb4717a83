"""An LSTM for each channel of a sequence, such as each instrument of a patient's monitor."""

from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import FrozenCall
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class ChannelwiseLSTM(keras.layers.Layer):
    """Reads each channel with an LSTM of its own; outputs side by side.

    A channel is a few feature columns that belong together, such as a measured value and the
    mask that says where it was measured. Every column belongs to one channel.

    Source: Harutyunyan et al., "Multitask learning and benchmarking with clinical time series
    data", 2019, https://arxiv.org/abs/1703.07771, channel-wise LSTM; one direction, as in its
    code for several tasks. The dropout of its inputs is `keras.layers.SpatialDropout1D` before
    this layer.

    Args:
        units: Units of each channel's LSTM.
        channels: List of channels, lists of column numbers.

    Call arguments:
        x: `(batch, steps, features)`.
        mask: `(batch, steps)` booleans, `False` where there is only padding. The state stays
            as it is there.

    Output shape:
        `(batch, steps, len(channels) * units)`, in the order of `channels`.

    Weights:
        channel_1/lstm_cell, channel_2/lstm_cell, ...: kernel `(columns, 4 * units)`,
            recurrent_kernel `(units, 4 * units)`, bias `(4 * units,)`.

    Raises:
        ValueError: An empty channel, or none; a column that the input does not have; one in no
            channel or in two.

    Example:

    The network of the source for clinical tasks reads the channels together in a wider LSTM:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> channels = [[0, 2], [1, 3]]  # two values, then the mask of each
    >>> tasks = {"died": "binary", "stay": keras_mtl.Task("tagging", 10)}
    >>> model = keras_mtl.build_shared_bottom(
    ...     keras.Input((None, 4)), tasks, [
    ...         partial(ChannelwiseLSTM, 8, channels),
    ...         partial(keras.layers.LSTM, 4 * 8, return_sequences=True)])
    >>> model.output["died"].shape, model.output["stay"].shape
    ((None, 1), (None, None, 10))
    """

    def __init__(self, units: Any, channels: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = checks.count("units", units)
        try:
            self.channels = [list(channel) for channel in channels]
        except TypeError as error:
            raise ValueError(
                f"channels must be a list of lists of column numbers. Received: {channels!r}"
            ) from error
        self._check_channels()
        self.supports_masking = True

    def _check_channels(self) -> None:
        if not self.channels or not all(self.channels):
            raise ValueError(
                f"{self.name!r} needs at least one channel, and a column in each. "
                f"Received: channels={self.channels}"
            )
        columns = [column for channel in self.channels for column in channel]
        for column in columns:
            checks.count(f"A column in channels of {self.name!r}, counted from 0,", column, least=0)
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise ValueError(
                f"{self.name!r} has column {twice[0]} in its channels more than once. Every "
                f"column belongs to one channel. Received: channels={self.channels}"
            )
        self.channels = [[int(column) for column in channel] for channel in self.channels]

    def build(self, shape: Shape) -> None:
        self._check_input(shape)
        self.lstms = []
        for number, channel in enumerate(self.channels, start=1):
            lstm = keras.layers.LSTM(
                self.units,
                return_sequences=True,
                dtype=self.dtype_policy,
                name=f"channel_{number}",
            )
            lstm.build((*shape[:2], len(channel)))
            self.lstms.append(lstm)

    def _check_input(self, shape: Shape) -> None:
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"{self.name!r} reads a sequence, (batch, steps, features). Received: "
                f"{tuple(shape)}"
            )
        columns = {column for channel in self.channels for column in channel}
        if max(columns) >= shape[-1]:
            raise ValueError(
                f"{self.name!r} has column {max(columns)} in its channels, but its input has "
                f"{shape[-1]} columns, 0 to {shape[-1] - 1}."
            )
        left_out = sorted(set(range(shape[-1])) - columns)
        if left_out:
            raise ValueError(
                f"{self.name!r} has column {left_out[0]} of its input in no channel. Add it to "
                "one, or take it out of the input."
            )

    def call(self, x: Tensor, mask: Any = None) -> Any:
        return self._side_by_side(x, mask, self.lstms)

    def _side_by_side(self, x: Tensor, mask: Any, lstms: Any) -> Tensor:
        outputs = [
            lstm(ops.take(x, channel, axis=-1), mask=mask)
            for lstm, channel in zip(lstms, self.channels, strict=True)
        ]
        return ops.concatenate(outputs, axis=-1)

    def compute_output_shape(self, shape: Shape) -> Any:
        return (*shape[:2], len(self.channels) * self.units)

    def frozen(self, call: FrozenCall, x: Tensor) -> Any:
        """Becomes a stock LSTM for each channel."""
        call = call.inside(self)
        return self._side_by_side(x, call.mask, [partial(call, lstm) for lstm in self.lstms])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "channels": self.channels}
