"""A network of every builder, mode of data and kind, with weights of its own, as after training."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mtl.data import TableEncoder
from keras_mtl.layers import ResidualConv2D, ResidualDense, RoutingPolicy
from keras_mtl.layers.routers.learned_allocation import LearnedAllocation
from tests.conformance.registry import (
    ALL_BUILDERS,
    BLOCK_BUILDERS,
    FEATURES,
    FUNNEL,
    MODES,
    OTHER_KINDS,
    SEQUENCE_BUILDERS,
    SEQUENCES,
    TASKS,
    built,
    dense,
    dropout,
    num_components,
)

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
PRECISE = "float32" if keras.backend.backend() == "jax" else "float64"  # JAX has none by default
WAYS = ("reloaded", "frozen", "exported", "grown", "quantized", "calibrated")

IMAGES = np.stack([SEQUENCES[:, :6], -SEQUENCES[:, 1:]], axis=-1)  # B = 5 images, 6 x 6, 2 channels
LENGTHS = np.array([4, 1, 6, 2, 5])
WORDS = np.random.default_rng(2).integers(1, 9, (5, 6)).astype("int32")
WORDS[np.arange(6) >= LENGTHS[:, None]] = 0
TEXTS = np.array(["", *"abcdefgh"], object)[WORDS]
HOT = 50 + 10 * FEATURES  # far from what a network is made for


def sequential(*makes):
    """Returns a callable that makes a nested model of layers."""
    return lambda: keras.Sequential([make() for make in makes])


def adapted(data):
    """Returns preprocessing that knows its data, made anew at every call."""

    def make():
        layer = keras.layers.Normalization()
        layer.adapt(data)
        return layer

    return make


COLUMNS = {
    "shop": ["north", None, "south", "north", "west"],
    "age": [30.0, 55.0, None, 20.0, 41.0],
    "price": [8.0, 2.0, 5.0, None, 1.0],
    "tags": [["new", "red"], ["red"], None, ["blue", "new", "red"], ["red", "red"]],
}
TABLE = TableEncoder(["shop"], ["age", "price"], ["tags"], num_bins={"price": 2}, embedding_dim=3)
TABLE.adapt({name: values[:4] for name, values in COLUMNS.items()})


class Kind(NamedTuple):
    """What a network reads and is made of: a list of components, layers, another list."""

    x: Any
    stem: tuple = (dense,)
    first: Any = dense
    between: tuple = (dense,)
    second: Any = dense
    blocks: tuple = ()  # in place of the components, for builders of blocks
    policy: str = "float32"
    tasks: Mapping = TASKS

    @property
    def inputs(self):
        if isinstance(self.x, dict):
            return TABLE.inputs()
        if self.x.dtype == object:
            return keras.Input((None,), dtype="string")
        if self.x.dtype == "int32":
            return keras.Input((None,), dtype="int32")
        return keras.Input(self.x.shape[1:])


conv = partial(keras.layers.Conv2D, 4, 3, padding="same", activation="tanh")
embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
look_up = partial(keras.layers.StringLookup, vocabulary=[*"abcdefg"], mask_token="")
residuals = (partial(ResidualDense, 4),) * 2
normed = sequential(dense, keras.layers.BatchNormalization, keras.layers.ReLU)

KINDS = {
    "plain": Kind(FEATURES, blocks=residuals),
    "image": Kind(
        IMAGES,
        stem=(conv,),
        first=conv,
        between=(keras.layers.Flatten, dense),
        blocks=(partial(ResidualConv2D, 4), residuals[1]),
        policy=PRECISE,  # processors choose their own order of a convolution's many sums
    ),
    "padded sequence": Kind(
        WORDS,
        stem=(embed,),
        first=sequential(dense, keras.layers.LayerNormalization),
        between=(partial(keras.layers.LSTM, 4),),
    ),
    "adapted preprocessing": Kind(
        TABLE.encode(COLUMNS),
        stem=(TABLE.embedding, dense),
        first=sequential(adapted(FEATURES[:, :4]), dense),
        second=sequential(adapted(HOT[:, 2:]), dense),
        tasks=OTHER_KINDS,
    ),
    "batch normalization": Kind(FEATURES, first=normed, second=normed),
    "half precision": Kind(FEATURES, blocks=residuals, policy="mixed_float16"),
    "funnel": Kind(FEATURES, blocks=residuals, tasks=FUNNEL),
}
SEQUENCE_KINDS = {
    "plain": Kind(SEQUENCES[:, :2], stem=()),
    "padded sequence": Kind(WORDS, stem=(embed,)),
    "adapted preprocessing": Kind(TEXTS, stem=(look_up, embed), tasks=OTHER_KINDS)
    if ON_TENSORFLOW  # no other backend has strings
    else Kind(SEQUENCES, stem=(adapted(SEQUENCES),), tasks=OTHER_KINDS),
    "half precision": Kind(SEQUENCES[:, :2], stem=(), policy="mixed_float16"),
    "funnel": Kind(SEQUENCES[:, :2], stem=(), tasks=FUNNEL),
}
NO_SEQUENCE_KINDS = {
    "image": "takes sequences",
    "batch normalization": "takes sequences, and makes its components itself",
}
CHANGES = {  # what an entry of the registry must say otherwise for a kind
    ("build_low_supervision", "image"): {"levels": {"animal": 4}},
    ("build_sluice", "image"): {"connections": "none"},
    ("build_sluice", "padded sequence"): {"orthogonality_weight": 0.0, "connections": "none"},
    ("build_sluice", "adapted preprocessing"): {"orthogonality_weight": 0.0},
    ("build_sluice", "batch normalization"): {"orthogonality_weight": 0.0},
}


class Cell(NamedTuple):
    """One cell of the matrix."""

    builder: str
    mode: str
    kind: str
    way: str


def kinds_of(builder):
    return SEQUENCE_KINDS if builder in SEQUENCE_BUILDERS else KINDS


def all_cells():
    """Returns every cell of the matrix that there is; funnels are refused for separate data."""
    every = [Cell(*cell) for cell in itertools.product(ALL_BUILDERS, MODES, KINDS, WAYS)]
    funnels = [cell for cell in every if cell.kind == "funnel" and cell.mode == "separate"]
    return [cell for cell in every if cell.kind in kinds_of(cell.builder) and cell not in funnels]


def network(builder, mode, kind):
    """Builds a network whose weights and statistics are not those of a new one, and decided."""
    made_of, changes = kinds_of(builder)[kind], CHANGES.get((builder, kind), {})
    lists = [made_of.first, made_of.second]
    if builder in BLOCK_BUILDERS and made_of.blocks:
        lists = made_of.blocks
    first, second = ([make] * num_components(builder) for make in lists)
    stack = [first, dropout, *made_of.between, second]
    keras.config.set_dtype_policy(made_of.policy)
    try:
        model = built(
            builder, mode, made_of.inputs, stack, made_of.stem, tasks=made_of.tasks, **changes
        )
    finally:
        keras.config.set_dtype_policy("float32")
    _scramble(model)
    return model


def _scramble(model):
    rng = np.random.default_rng(0)
    for variable in model.variables:
        name = variable.path.split("/")[-1]
        if name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif name == "moving_mean" or (variable.trainable and variable.ndim):
            variable.assign(variable + rng.normal(0, 0.4, variable.shape))
    for layer in model.layers:
        if isinstance(layer, LearnedAllocation):
            (logits,) = layer.row_blocks
            decided = rng.choice([-6.0, 6.0], logits.shape[:2])
            decided[:, 0] = 6.0  # a row of none would be undecided
            logits.assign(np.stack([decided, -decided], axis=-1))
        elif isinstance(layer, RoutingPolicy):
            chosen = rng.integers(layer.num_components, size=layer.num_tasks)
            layer.policy.assign(np.eye(layer.num_components)[chosen])
