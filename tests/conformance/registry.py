"""Every public layer and builder: how to make one, and what to feed it."""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task, layers
from tests.conformance.methods import METHODS, made_of
from tests.conformance.methods.method import dense

TASK_ID = np.array([2, 0, 1, 1, 2], "int32")  # B = 5 examples, T = 3 tasks
FEATURES = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
SEQUENCES = np.random.default_rng(1).normal(size=(5, 7, 6)).astype("float32")
PROBABILITIES = [np.full((3, 4), 0.7, "float32"), np.full((3, 2), 0.4, "float32")]
WORD_IDS = np.array([[3, 9, 4], [7, 0, 0], [2, 8, 0], [5, 6, 1], [0, 0, 0]], "int32")
TASKS = {"color": Task("classes", 2), "animal": Task("classes", 7), "width": Task("regression", 3)}
FUNNEL = {
    "color": Task("binary"),
    "animal": Task("binary", given="color", estimator="dr"),
    "width": Task("binary", given="animal"),
}
STANDARDIZED = Task("regression", standardize=(6, 2))
OTHER_KINDS = {"color": STANDARDIZED, "animal": Task("ordinal", 7), "width": Task("amount", 3)}
dropout = partial(keras.layers.Dropout, 0.1, seed=7)  # torch ignores the seeds of others


@dataclasses.dataclass
class Entry:
    """A layer, its call arguments, and its variables by name, which files rest on."""

    make: Callable
    inputs: tuple
    variables: dict


def mlp_variables(prefix, *sizes):
    """Returns the variables of an `MLP`, by name."""
    found = {}
    for depth, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
        found[f"{prefix}dense_{depth}/kernel"] = (before, after)
        found[f"{prefix}dense_{depth}/bias"] = (after,)
    return found


def residual_variables(layer, *kernels):
    """Returns the variables of a residual block that projects, by name."""
    found = {}
    for name, kernel in zip((f"{layer}_1", f"{layer}_2", "projection"), kernels, strict=True):
        found[f"{name}/kernel"] = kernel
        for statistic in ("gamma", "beta", "moving_mean", "moving_variance"):
            found[f"{name}_norm/{statistic}"] = kernel[-1:]
    return found


def sub_encoder_variables(prefix, number, width):
    """Returns the trainable variables of `SubEncoders` of 12 units, by name."""
    found = {}
    for n in range(1, number + 1):
        found |= mlp_variables(f"{prefix}policy_{n}/", width, 12, 2)
        found |= mlp_variables(f"{prefix}network_{n}/", width, 12)
    return found


modular_cell = partial(layers.RecurrentModularCell, 2, 4, (3, 2), (12,), seed=1)
MODULAR_CELL = (
    {
        f"lstm_{number}/lstm_cell/{name}": shape
        for number in (1, 2)
        for name, shape in
        {"kernel": (6, 16), "recurrent_kernel": (4, 16), "bias": (16,)}.items()
    }
    | sub_encoder_variables("sub_encoders_1/", 3, 4)
    | sub_encoder_variables("sub_encoders_2/", 2, 12)
    | {"sub_encoders_1/router/epochs": (), "sub_encoders_2/router/epochs": ()}
)  # fmt: skip

LAYERS = {
    "AdversarialPenalty": Entry(
        partial(layers.AdversarialPenalty, 3, weight=0.2),
        (SEQUENCES, FEATURES, TASK_ID),
        {"kernel": (6, 3), "bias": (3,), "adversarial_penalty": ()},
    ),
    "AllocationMatrix": Entry(
        partial(layers.AllocationMatrix, 3, 4, init_probability=0.6, temperature=2.0, seed=1),
        (TASK_ID,),
        {"logits": (3, 4, 2), "router/updates": ()},
    ),
    "AllocationPenalty": Entry(
        partial(
            layers.AllocationPenalty, 0.3, keras_mtl.RampSchedule(2.0, 9), disconnect_weight=1,
            costs=[[1.0, 2.0, 0.0, 4.0], [1.0, 3.0]],
        ),
        (FEATURES, TASK_ID, PROBABILITIES),
        {"updates": (), "budget": (), "disconnect": ()},
    ),
    "BiLSTM": Entry(
        partial(layers.BiLSTM, 4, "concat", recurrent_regularizer="l2"),
        (SEQUENCES,),
        {
            f"{direction}/lstm_cell/{name}": shape
            for direction in ("forward", "backward")
            for name, shape in
            {"kernel": (6, 16), "recurrent_kernel": (4, 16), "bias": (16,)}.items()
        },
    ),
    "BlockPolicy": Entry(
        partial(layers.BlockPolicy, 3, 0.6, 2.0, seed=1),
        (TASK_ID,),
        {"logits": (3, 1, 2), "router/updates": (), "batches": ()},
    ),
    "ChannelwiseLSTM": Entry(
        partial(layers.ChannelwiseLSTM, 4, [[3], [0, 5, 1, 4], [2]]),
        (SEQUENCES,),
        {
            f"channel_{channel}/lstm_cell/{name}": shape
            for channel, columns in ((1, 1), (2, 4), (3, 1))
            for name, shape in
            {"kernel": (columns, 16), "recurrent_kernel": (4, 16), "bias": (16,)}.items()
        },
    ),
    "CommunicatingLSTM": Entry(
        partial(layers.CommunicatingLSTM, 4),
        (SEQUENCES, [SEQUENCES[..., :4], -SEQUENCES[..., 2:]]),
        {
            "lstm/lstm_cell/kernel": (6, 16), "lstm/lstm_cell/recurrent_kernel": (4, 16),
            "lstm/lstm_cell/bias": (16,), "attention_kernel": (14, 4), "attention_score": (4, 1),
            "gate_kernel": (8, 4), "message_kernel": (4, 4),
        },
    ),
    "CompositeLSTM": Entry(
        partial(layers.CompositeLSTM, 4, 2),
        (SEQUENCES, np.full((5, 7, 3), 1 / 3, "float32")),
        {
            f"lstm_{index}/lstm_cell/{name}": shape
            for index in (1, 2)
            for name, shape in
            {"kernel": (6, 16), "recurrent_kernel": (4, 16), "bias": (16,)}.items()
        },
    ),
    "ConnectionPenalty": Entry(
        partial(layers.ConnectionPenalty, 0.4, keras_mtl.RampSchedule(2.0, 9), "sequence"),
        (FEATURES, (SEQUENCES > 0).astype("float32")),
        {"updates": (), "penalty": ()},
    ),
    "CrossStitch": Entry(
        partial(layers.CrossStitch, per_channel=True),
        ([FEATURES, -FEATURES, 2 * FEATURES],),
        {"alpha": (3, 3, 6)},
    ),
    "DSelectKGates": Entry(
        partial(layers.DSelectKGates, 3, 5, entropy_weight=keras_mtl.RampSchedule(2.0, 9)),
        (FEATURES, TASK_ID),
        {
            "code_kernel": (6, 3, 6), "code_bias": (3, 6), "weight_kernel": (6, 3, 2),
            "weight_bias": (3, 2), "updates": (), "entropy": (), "unused_codes": (),
        },
    ),
    "ExpertStreams": Entry(
        lambda: layers.ExpertStreams(
            [dense(name=name) for name in ("first", "second", "third")], reads=[0, 1, 0]
        ),
        ([FEATURES, -FEATURES], [FEATURES[:, :3], FEATURES[:, 3:]]),
        {
            f"{name}/{weight}": shape
            for name in ("first", "second", "third")
            for weight, shape in (("kernel", (6, 4)), ("bias", (4,)))
        },
    ),
    "FixedAllocation": Entry(
        partial(layers.FixedAllocation, [[1, 0.5, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]]),
        (TASK_ID,),
        {},
    ),
    "FunnelHead": Entry(
        partial(layers.FunnelHead, Task("binary", given="color"), 1),
        (FEATURES, np.full((5, 1), 0.3, "float32")),
        {"kernel": (6, 1), "bias": (1,)},
    ),
    "GradientReversal": Entry(partial(layers.GradientReversal, 0.5), (FEATURES,), {}),
    "GumbelRouter": Entry(
        partial(layers.GumbelRouter, keras_mtl.TemperatureSchedule(9.0), seed=1),
        (FEATURES,),
        {"updates": ()},
    ),
    "HardConcrete": Entry(partial(layers.HardConcrete, 0.5, (-0.2, 1.1), seed=1), (FEATURES,), {}),
    "InstanceGate": Entry(
        partial(layers.InstanceGate, 4, 2.0, seed=1),
        (SEQUENCES,),
        {
            "hidden/kernel": (6, 4), "hidden/bias": (4,),
            **{f"normalization/{name}": (4,)
               for name in ("gamma", "beta", "moving_mean", "moving_variance")},
            "scores/kernel": (4, 2), "scores/bias": (2,), "router/updates": (),
        },
    ),
    "JoinDirections": Entry(
        layers.JoinDirections, (np.stack([SEQUENCES, -SEQUENCES], axis=2),), {}
    ),
    "LastStep": Entry(layers.LastStep, (SEQUENCES,), {}),
    "LayerConcat": Entry(layers.LayerConcat, ([FEATURES, FEATURES[:, :2]],), {}),
    "LayerMixture": Entry(
        partial(layers.LayerMixture, "balanced"), ([FEATURES, -FEATURES],), {"beta": (2,)}
    ),
    "RowEmbedding": Entry(
        partial(layers.RowEmbedding, 10, 4, mask_zero=True),
        (WORD_IDS,),
        {"embeddings": (10, 4)},
    ),
    "MLP": Entry(partial(layers.MLP, (4, 3), "tanh"), (SEQUENCES,), mlp_variables("", 6, 4, 3)),
    "Modular": Entry(
        lambda: layers.Modular(
            [
                dense(name="first"),
                dense(name="second"),
                keras.Sequential([dense(name="inner")], name="third"),
            ]
        ),
        (FEATURES, np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0], [1, 0, 0]], "float32")),
        {
            "first/kernel": (6, 4), "first/bias": (4,), "second/kernel": (6, 4),
            "second/bias": (4,), "third/inner/kernel": (6, 4), "third/inner/bias": (4,),
        },
    ),
    "ModularDecoder": Entry(
        partial(layers.ModularDecoder, (3, 4), (5,), (8,), seed=1),
        (np.stack([n * SEQUENCES[:, :2] for n in range(7)], axis=2), SEQUENCES[:, :2, :3]),
        mlp_variables("sub_decoder_1/", 6, 5)
        | mlp_variables("sub_decoder_2/", 6, 5)
        | mlp_variables("policy/", 6 + 6, 8, 2)
        | {"router/epochs": (), "projection/kernel": (3, 6)},
    ),
    "NoisyTopKGates": Entry(
        partial(layers.NoisyTopKGates, 3, 4, 2, balance_weight=0.5, seed=1),
        (FEATURES, TASK_ID),
        {
            "scores/kernel": (6, 4), "noise/kernel": (6, 4), "task_scores": (3, 4),
            "task_noise": (3, 4), "updates": (), "balance": (),
        },
    ),
    "OrthogonalityPenalty": Entry(
        partial(layers.OrthogonalityPenalty, 0.2, "sum"),
        (SEQUENCES, FEATURES, [FEATURES, -FEATURES, FEATURES[:, :4]], TASK_ID),
        {"orthogonality_penalty": ()},
    ),
    "OwnRows": Entry(partial(layers.OwnRows), ([FEATURES, -FEATURES, 2 * FEATURES], TASK_ID), {}),
    "PickTask": Entry(partial(layers.PickTask), ([FEATURES, -FEATURES, 2 * FEATURES], TASK_ID), {}),
    "PolicyPenalty": Entry(
        partial(layers.PolicyPenalty, [0, 0], keras_mtl.RampSchedule(2.0, 9), 0.1),
        (FEATURES, [FEATURES[:3, :2], -FEATURES[:3, :2]]),
        {"updates": (), "sparsity": (), "sharing": ()},
    ),
    "RecurrentModular": Entry(
        lambda: layers.RecurrentModular(modular_cell(name="cell")),
        (SEQUENCES,),
        {f"cell/{name}": shape for name, shape in MODULAR_CELL.items()},
    ),
    "RecurrentModularCell": Entry(
        modular_cell, (FEATURES, [FEATURES[:, :4]] * 4), MODULAR_CELL
    ),
    "RepeatRows": Entry(partial(layers.RepeatRows, 3), (FEATURES,), {}),
    "ResidualConv1D": Entry(
        partial(layers.ResidualConv1D, 4, strides=2),
        (SEQUENCES,),
        residual_variables("conv", (3, 6, 4), (3, 4, 4), (1, 6, 4)),
    ),
    "ResidualConv2D": Entry(
        partial(layers.ResidualConv2D, 4, strides=2, kernel_size=2),
        (np.stack([SEQUENCES, -SEQUENCES], axis=1),),
        residual_variables("conv", (2, 2, 6, 4), (2, 2, 4, 4), (1, 1, 6, 4)),
    ),
    "ResidualDense": Entry(
        partial(layers.ResidualDense, 4),
        (FEATURES,),
        residual_variables("dense", (6, 4), (4, 4), (6, 4)),
    ),
    "RoutedLSTM": Entry(
        partial(layers.RoutedLSTM, 3, num_tasks=3, num_functions=4, temperature=2.0, seed=1),
        (np.concatenate([SEQUENCES, -SEQUENCES], axis=-1), TASK_ID),
        {"logits": (3, 2, 4), "kernel": (4, 12, 12), "bias": (4, 12), "recurrent_kernel": (3, 12)},
    ),
    "RoutedModular": Entry(
        lambda: layers.RoutedModular([dense(name=name) for name in ("first", "second", "third")]),
        (FEATURES, np.eye(3, dtype="float32")[TASK_ID]),
        {
            f"{name}/{weight}": shape
            for name in ("first", "second", "third")
            for weight, shape in (("kernel", (6, 4)), ("bias", (4,)))
        },
    ),
    "RoutingPolicy": Entry(
        partial(layers.RoutingPolicy, 3, 4, collaboration=0.3, epsilon=0.01, seed=1),
        (TASK_ID,),
        {
            "policy": (3, 4), "returns": (3, 4), "batches": (), "recent": (256,),
            "num_returns": (3, 4),
        },  # fmt: skip
    ),
    "SharedMask": Entry(
        layers.SharedMask, ([[SEQUENCES, -SEQUENCES], [SEQUENCES]],), {}
    ),
    "SkippableBlock": Entry(
        lambda: layers.SkippableBlock(keras.layers.Dense(6, name="inner")),
        (FEATURES, FEATURES[:, :1]),
        {"inner/kernel": (6, 6), "inner/bias": (6,)},
    ),
    "Sluice": Entry(
        partial(layers.Sluice, 2, ties=np.arange(36).reshape(6, 6) - 1),
        ([FEATURES, -FEATURES, 2 * FEATURES],),
        {"alpha": (35,)},
    ),
    "SoftAllocation": Entry(
        partial(layers.SoftAllocation, 3, 4), (TASK_ID,), {"scores": (3, 4)}
    ),
    "SplitTasks": Entry(partial(layers.SplitTasks, 5), (FEATURES,), {}),
    "StreamGates": Entry(
        partial(layers.StreamGates, [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]),
        ([FEATURES, -FEATURES, 2 * FEATURES],),
        {
            f"gate_{number}/{weight}": shape
            for number, size in ((1, 3), (2, 2), (3, 4))
            for weight, shape in (("kernel", (6, size)), ("bias", (size,)))
        },
    ),
    "SubEncoders": Entry(
        partial(layers.SubEncoders, 3, (12,), (12,), temperature=2.0, seed=1),
        (SEQUENCES,),
        sub_encoder_variables("", 3, 6) | {"router/updates": ()},
    ),
    "SubNetworkRouting": Entry(
        partial(layers.SubNetworkRouting, 2, "transform", keras_mtl.RampSchedule(2.0, 9), seed=1),
        ([FEATURES, -FEATURES, 2 * FEATURES],),
        {
            "logits": (2, 3),
            **{f"transform_{t}_{s}/kernel": (6, 6) for t in (1, 2) for s in (1, 2, 3)},
            "updates": (), "l0": (),
        },
    ),
    "TargetRatePenalty": Entry(
        partial(layers.TargetRatePenalty, [[1, 0], [1, 1], [1, 1]], [0.5, 0.9]),
        (FEATURES, TASK_ID, [FEATURES[:, :1], FEATURES[:, 1:2]]),
        {"updates": (), "penalty": ()},
    ),
    "TaskGates": Entry(
        partial(layers.TaskGates, 3, 4, closed=[[0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]]),
        (FEATURES, TASK_ID),
        {"kernel": (6, 3, 4), "bias": (3, 4)},
    ),
    "TaskHead": Entry(
        partial(layers.TaskHead, Task("classes", 7), 1),
        (FEATURES,),
        {"kernel": (6, 7), "bias": (7,)},
    ),
    "TaskHeads": Entry(
        partial(layers.TaskHeads, TASKS, seed=1),
        (FEATURES, TASK_ID),
        {"kernel": (6, 12), "bias": (12,)},
    ),
    "TaskMask": Entry(
        partial(layers.TaskMask, 3, 0.7, seed=1), (SEQUENCES, TASK_ID), {"masks": (3, 6)}
    ),
    "TaskRows": Entry(partial(layers.TaskRows, 3), (FEATURES,), {}),
    "WordDropout": Entry(partial(layers.WordDropout, 0.5, seed=1), (WORD_IDS,), {}),
}  # fmt: skip

NOT_LAYERS_TO_CALL = {
    "Allocation": "abstract",
    "ResidualBlock": "abstract",
    "Stitch": "abstract",
    "SubspaceOrthogonality": "a regularizer",
    "straight_through": "a function",
}

BUILDERS = made_of("lists")
BLOCK_BUILDERS = made_of("blocks")  # lists of one layer: a block to skip, or one that tasks mask
SEQUENCE_BUILDERS = made_of("sequences")  # take sequences, and make their layers themselves
ALL_BUILDERS = [*BUILDERS, *BLOCK_BUILDERS, *SEQUENCE_BUILDERS]
MODES = ("shared", "separate")
FAST_PAIRS = [(name, MODES[index % 2]) for index, name in enumerate(ALL_BUILDERS)]
PAIRS = [  # of a builder and a mode of data: each builder is seen in one of them by fast tests
    pair if pair in FAST_PAIRS else pytest.param(*pair, marks=pytest.mark.slow)
    for pair in itertools.product(ALL_BUILDERS, MODES)
]


def build(name, task_data, seed=3):
    """Builds a small network, of two modular layers or recurrent, with a builder's public name."""
    if name in SEQUENCE_BUILDERS:
        return built(name, task_data, keras.Input((7, 6)), seed=seed)
    several = [dense] * num_components(name)
    stack = [several, dropout, dense, several]
    if name in BLOCK_BUILDERS:
        block = partial(layers.ResidualDense, 4)
        stack = [[block], dropout, dense, [block]]
    return built(name, task_data, keras.Input((6,)), stack, seed=seed)


def built(name, task_data, inputs, stack=None, stem=(), seed=3, tasks=TASKS, **changes):
    """Builds a network of what is given with the arguments of a builder's entry."""
    settings = (BUILDERS | BLOCK_BUILDERS | SEQUENCE_BUILDERS)[name] | changes
    stem = [*stem, *settings.get("stem", ())]
    made_of = {} if name in SEQUENCE_BUILDERS else {"layers": stack}
    given = {**settings, **made_of, "stem": stem, "task_data": task_data, "seed": seed}
    return getattr(keras_mtl, name)(inputs, tasks, **given)


def num_components(name):
    """Returns how many components a list has."""
    return METHODS[name].num_components


def inputs_of(model):
    """Returns arrays that a built model takes."""
    separate = model.task_data == "separate"
    x = (
        SEQUENCES
        if len((model.input["inputs"] if separate else model.input).shape) == 3
        else FEATURES
    )
    return {"inputs": x, "task_id": TASK_ID} if separate else x
