"""Sluice networks: towers that share in subspaces and mix their layers."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.layers import BiLSTM, LayerConcat, LayerMixture, Sluice, SubspaceOrthogonality
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.penalties.orthogonality import PARTS, lstm_orthogonality
from keras_mtl.models.construction import check_lists
from keras_mtl.models.towers.parallel import build_towers
from keras_mtl.models.towers.sluice_presets import (
    PAPER_ORTHOGONALITY,
    check_preset,
    checked_levels,
    stitch_settings,
)
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Tasks, TowerUnits

_CONNECTIONS = ("mixture", "skip", "concat", "none")


def build_sluice(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    num_subspaces: int = 2,
    alpha: str = "imbalanced",
    normalize_alpha: bool = False,
    connections: str = "mixture",
    beta: str = "imbalanced",
    preset: Any = None,
    levels: Any = None,
    orthogonality_weight: float = 0.0,
    orthogonality: str = "input_gate_recurrent",
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower per task that learns which subspaces to share, layer by layer.

    After every list of `layers` a `Sluice` mixes the subspaces of all towers. Each head reads
    a learned mixture of its tower's layers. Any tower may feed any other, so all run to
    predict one task; `keras_mtl.freeze(model, task, cut_below=...)` leaves out those that
    hardly matter.

    Source: Ruder et al., "Learning what to share between loosely related tasks", 2017,
    https://arxiv.org/abs/1705.08142. Differs from the paper: weights start at the normalized
    values of `keras_mtl.layers.Sluice`, without the penalty that is part of the paper's method;
    heads have no layer before them. The paper's recipe is `preset="paper", tower_units=(100,)`,
    batches of one task at a time (`task_data="separate"`, 1 sentence), and `keras.optimizers.SGD`
    at 0.1 with decay, such as `keras.optimizers.schedules.InverseTimeDecay(0.1, steps, 0.05)` for
    epochs of `steps` updates.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these with
            one component per task. A bare callable is a layer that all towers pass.
        num_subspaces: Parts of each tower's features that are shared each on its own, a divisor
            of their width. Defaults to 2.
        alpha: As in `keras_mtl.layers.Sluice`. Defaults to `"imbalanced"`.
        normalize_alpha: Whether the softmax of each row is used. Defaults to `False`.
        connections: What the heads read: `"mixture"`, a learned mixture of all layers;
            `"skip"`, their sum; `"concat"`, all of them; `"none"`, the last. Defaults to
            `"mixture"`.
        beta: Start of the mixture, as in `keras_mtl.layers.LayerMixture`. Defaults to
            `"imbalanced"`.
        preset: `"paper"`: the alpha that the reference code starts two tasks with, and an
            orthogonality weight of 0.1. Or a method that sluice networks contain, as fixed or
            tied weights in place of `alpha`: `"hard_sharing"` (all weights equal, for good: all
            tasks have the same features, from all towers), `"group_lasso"` (nothing between
            tasks), `"easy_adaptation"` (a private subspace per task and one that is the same for
            all), `"low_supervision"` (see `levels`), `"cross_stitch"` (no subspaces, heads read
            the last layer) or `"single_task"` (no weights between towers or subspaces). Defaults
            to `None`.
        levels: For low supervision: dict, task -> the list of `layers`, from 1, that it is
            predicted from. Up to the lowest all is shared, above it nothing. Defaults to
            `None`.
        orthogonality_weight: Weight of the penalty on subspaces that learn the same; logs
            name it `orthogonality_penalty`. Defaults to 0.0, with `preset="paper"` to 0.1.
        orthogonality: Which weights of an LSTM it reads: `"input_gate_recurrent"`,
            `"input_kernel"` or `"all"`. Dense and convolution layers have one kernel.
            Defaults to `"input_gate_recurrent"`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `stitch_1`, `stitch_2`,
        ... mix subspaces, with their weights as `.alpha`; `mixture_1`, ... mix the layers of
        task 1, ..., with their weights as `.beta`.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_sluice(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 2, [dense] * 2])
    >>> model.get_layer("stitch_1").alpha.shape, model.get_layer("mixture_2").beta.tolist()
    ((4, 4), [0.10000000149011612, 0.8999999761581421])
    """
    check_lists(stem=stem, layers=layers)
    num_subspaces = checks.count("num_subspaces", num_subspaces)
    checks.flag("normalize_alpha", normalize_alpha)
    checks.word("connections", connections, _CONNECTIONS)
    orthogonality_weight = checks.number("orthogonality_weight", orthogonality_weight, least=0)
    checks.word("orthogonality", orthogonality, tuple(PARTS))
    check_preset(preset, alpha, normalize_alpha, connections, beta)
    if preset == "cross_stitch":
        num_subspaces, connections = 1, "none"
    if preset == "paper":
        orthogonality_weight = orthogonality_weight or PAPER_ORTHOGONALITY
    names = list(as_tasks(tasks))
    num_lists = sum(isinstance(entry, list | tuple) for entry in layers)
    predicted_from = checked_levels(preset, levels, names, num_lists, num_subspaces)

    def stitch(index):
        settings: dict[str, Any] = {"alpha": alpha, "normalize": normalize_alpha}
        settings |= stitch_settings(preset, index, len(names), num_subspaces, predicted_from)
        return Sluice(num_subspaces, **settings, name=f"stitch_{index}")

    def prepare(component):
        if orthogonality_weight == 0:
            return component
        return _regularized(component, num_subspaces, orthogonality_weight, orthogonality)

    def connect(after_lists):
        by_task = list(zip(*after_lists, strict=True))
        if preset == "low_supervision":
            return [o[level - 1] for o, level in zip(by_task, predicted_from, strict=True)]
        return [
            _connected(list(outputs), connections, beta, number)
            for number, outputs in enumerate(by_task, start=1)
        ]

    return build_towers(
        inputs, tasks, layers, stitch,
        task_data=task_data, stem=stem, tower_units=tower_units, seed=seed, name=name,
        prepare=prepare, connect=connect,
    )  # fmt: skip


def _connected(outputs: Any, connections: Any, beta: Any, number: Any) -> Any:
    """Returns what the head of task `number` reads of its tower's layers."""
    if connections == "none":
        return outputs[-1]
    if connections == "concat":
        return LayerConcat(name=f"concat_{number}")(outputs)
    name = f"mixture_{number}"
    if connections == "skip":
        return LayerMixture(np.ones(len(outputs)), trainable=False, name=name)(outputs)
    return LayerMixture(beta, name=name)(outputs)


def _regularized(component: keras.Layer, num_subspaces: int, weight: Any, part: Any) -> Any:
    """Returns a layer like a component, with the orthogonality penalty on its kernels."""
    config = component.get_config()
    if isinstance(component, BiLSTM | keras.layers.LSTM):
        changes = lstm_orthogonality(part, num_subspaces, weight)
    elif "kernel_regularizer" in config and "recurrent_regularizer" not in config:
        changes = {"kernel_regularizer": SubspaceOrthogonality(num_subspaces, weight)}
    else:
        raise ValueError(
            f"orthogonality_weight knows Dense, convolution, LSTM and BiLSTM components, but "
            f"{component.name!r} is of class {type(component).__name__}. Give its layers "
            "keras_mtl.layers.SubspaceOrthogonality as a regularizer yourself."
        )
    taken = [argument for argument in changes if config[argument] is not None]
    if taken:
        raise ValueError(
            f"{component.name!r} has a {taken[0]} of its own, where orthogonality_weight would "
            "put its penalty. Leave out one of the two."
        )
    return new_layer_like(component, changes)
