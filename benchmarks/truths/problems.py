"""The problems: data of a seed, layers, what there is to find, and what chance and oracle reach."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

import keras_mtl
from benchmarks.related_sequences.run import TURNS
from benchmarks.truths import measures
from keras_mtl.data import (
    synthetic_bandits,
    synthetic_clusters,
    synthetic_depths,
    synthetic_example_depths,
    synthetic_sequences,
    synthetic_views,
)

UNITS = 16
dense = partial(keras.layers.Dense, UNITS, activation="relu")


@dataclasses.dataclass(frozen=True)
class Problem:
    """One problem, with the data of a seed.

    Attributes:
        tasks: As for builders.
        inputs: As for builders.
        layers: As for builders; `None` where methods bring their own.
        data: Dict with `"train"`, `"validation"` and `"test"`, as `keras_mtl.compare` takes them.
        found: Function of a model that returns how much of the structure it found, or `None`.
        chance: What `found` is by luck, and the accuracy of who knows nothing.
        oracle: What `found` is of who knows the structure, and the best accuracy there is.
        epochs: Of training.
        task_data: As for builders.
        judged: Tasks whose accuracy counts.
    """

    tasks: dict
    inputs: Any
    layers: Any
    data: dict
    found: Callable
    chance: tuple[float, float]
    oracle: tuple[float, float]
    epochs: int
    task_data: str = "shared"
    judged: tuple[str, ...] = ()


def separate(tasks, train, test, seed, validation, batch_size):
    """Returns the parts of data of which each task has its own."""
    batches = partial(keras_mtl.task_batches, tasks)
    cut = {name: len(x) - validation for name, (x, _) in train.items()}
    used = {name: (x[: cut[name]], y[: cut[name]]) for name, (x, y) in train.items()}
    held_out = {name: (x[cut[name] :], y[cut[name] :]) for name, (x, y) in train.items()}
    return {
        "train": batches(used, batch_size=batch_size, seed=seed, order="mixed"),
        "validation": batches(held_out, batch_size=500, order="sequential"),
        "test": batches(test, batch_size=1000, order="sequential"),
    }


def shared(train, test, validation):
    """Returns the parts of data that all tasks share."""
    x, y = train
    cut = len(x) - validation
    return {
        "train": (x[:cut], {name: labels[:cut] for name, labels in y.items()}),
        "validation": (x[cut:], {name: labels[cut:] for name, labels in y.items()}),
        "test": test,
    }


def clusters(seed, num_disturbing=0):
    """Three pairs of tasks, each pair one function; or two, and two tasks that disturb."""
    sizes = (2, 2) if num_disturbing else (2, 2, 2)
    tasks, train, test, truth = synthetic_clusters(
        sizes, num_disturbing=num_disturbing, num_train=500, input_dim=8, seed=seed
    )
    x = {name: own for name, (own, _) in test.items()}
    return Problem(
        tasks, keras.Input((8,)), [[dense] * len(tasks)] * 2,
        separate(tasks, train, test, seed, validation=200, batch_size=96),
        lambda model: measures.groups_found(model, x, truth),
        chance=(0.5, 0.5), oracle=(1.0, 0.95), epochs=60, task_data="separate",
        judged=tuple(name for name in tasks if name.startswith("cluster")),
    )  # fmt: skip


def reads(row, num_views):
    """Returns a component that reads one view."""
    only = keras.layers.Cropping1D((row, num_views - 1 - row))
    return keras.Sequential([only, keras.layers.Flatten(), dense()])


def views(seed, num_views=4):
    """Each task needs the one component that reads its view."""
    tasks, train, test = synthetic_views(num_views, num_train=1500, seed=seed)
    return Problem(
        tasks, keras.Input((num_views, 6)),
        [[partial(reads, row, num_views) for row in range(num_views)]],
        shared(train, test, validation=500),
        lambda model: measures.own_component(model, test[0], range(num_views)),
        chance=(1 / num_views, 0.5), oracle=(1.0, 0.95), epochs=60,
    )  # fmt: skip


def bandit(seed, num_arms=10):
    """Each task has one arm that is better; components only pass what their arm says."""
    tasks, train, test, chances = synthetic_bandits(3, num_arms, num_train=4500, seed=seed)
    x = {name: own for name, (own, _) in test.items()}
    arms = [partial(keras.layers.Cropping1D, (arm, num_arms - 1 - arm)) for arm in range(num_arms)]
    best = chances.argmax(axis=1)
    return Problem(
        tasks, keras.Input((num_arms, 1)), [arms, keras.layers.Flatten],
        separate(tasks, train, test, seed, validation=500, batch_size=128),
        lambda model: measures.own_component(model, x, best),
        chance=(1 / num_arms, float(chances.mean())), oracle=(1.0, float(chances.max())),
        epochs=30, task_data="separate",
    )  # fmt: skip


BLOCKS = [[partial(keras_mtl.layers.ResidualDense, UNITS)]] * 4


def task_depths(seed):
    """Two tasks are linear, two the sign of a product of three inputs."""
    tasks, train, test, deep = synthetic_depths(seed=seed)
    return Problem(
        tasks, keras.Input((8,)), BLOCKS, shared(train, test, validation=1000),
        lambda model: (blocks := measures.executed(model, test[0]))
        and measures.deep_tasks_found(blocks, deep),
        chance=(0.5, 0.5), oracle=(1.0, 1.0), epochs=60,
    )  # fmt: skip


def example_depths(seed):
    """Half of the examples are linear, half the sign of a product of three inputs."""
    tasks, train, test, (_, deep) = synthetic_example_depths(seed=seed)
    return Problem(
        tasks, keras.Input((8,)), BLOCKS, shared(train, test, validation=1000),
        lambda model: measures.deep_examples_found(model, test[0], deep),
        chance=(0.0, 0.5), oracle=(1.0, 1.0), epochs=60,
    )  # fmt: skip


def sequences(seed, switch):
    """Another pair of three tasks is related in each quarter of a sequence, or marked part."""
    tasks, train, test, truth = synthetic_sequences(
        TURNS, kind="tagging", switch=switch, signal=0.8, num_train=800, seed=seed
    )
    x = {name: own for name, (own, _) in test.items()}
    return Problem(
        tasks, keras.Input(x["task_1"].shape[1:]), None,
        separate(tasks, train, test, seed, validation=200, batch_size=48),
        lambda model: measures.relatedness_found(model, x, truth),
        chance=(0.0, 1 / 3), oracle=(1.0, float("nan")), epochs=40, task_data="separate",
    )  # fmt: skip


PROBLEMS = {
    "clusters": clusters,
    "disturbing tasks": partial(clusters, num_disturbing=2),
    "views": views,
    "bandit": bandit,
    "task depths": task_depths,
    "example depths": example_depths,
    "sequences by position": partial(sequences, switch="position"),
    "sequences by content": partial(sequences, switch="content"),
}
