"""Names for what arguments are, where Python's own types do not say it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

Tensor = Any  # of whatever backend, with values or symbolic
Shape = tuple[int | None, ...]

NewLayer = Callable[..., keras.Layer]  # returns a new layer, each time it is called
TowerUnits = Sequence[int] | Mapping[str, Sequence[int]]  # sizes; as a mapping, by task
Tasks = Mapping[str, Any]  # name -> a number of classes, the name of a kind, or a `Task`
Setting = Any  # a number, or a schedule of one
