"""Parts of a network, each trained by an optimizer of its own."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import optimizer_by_part

SGD = keras.optimizers.SGD
TASKS = {"a": "binary", "b": "regression"}
IDS = np.array([[1, 2], [3, 1], [4, 4]], "int32")
LABELS = {"a": np.array([0.0, 1.0, 1.0]), "b": np.array([0.3, -1.0, 2.0])}
dense = partial(keras.layers.Dense, 4, activation="tanh")


def make(build=keras_mtl.build_gumbel_matrix, **settings):
    stem = [partial(keras.layers.Embedding, 9, 3, "normal"), keras.layers.Flatten]
    return build(
        keras.Input((2,), dtype="int32"), TASKS, [[dense] * 3], stem=stem, tower_units=(16,),
        seed=0, **settings,
    )  # fmt: skip


def moved(model):
    """Returns the paths of the variables that one step moves."""
    before = {v.path: np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables}
    model.train_on_batch(IDS, LABELS)
    return {
        v.path
        for v in model.trainable_variables
        if np.any(ops.convert_to_numpy(v) != before[v.path])
    }


@pytest.mark.parametrize(
    ("part", "paths"),
    [
        ("embeddings", {"stem_1/embeddings"}),
        ("towers", {f"tower_1_{n}/{w}" for n in (1, 2) for w in ("kernel", "bias")}),
        ("heads", {f"{task}/{w}" for task in TASKS for w in ("kernel", "bias")}),
        ("allocation", {"allocation_1/logits"}),
        ("b", {f"{layer}/{w}" for layer in ("tower_1_2", "b") for w in ("kernel", "bias")}),
    ],
)
def test_a_part_is_trained_by_its_own(part, paths):
    keras.backend.clear_session()
    model = make(init_probability=0.999)  # a task without a component learns nothing
    model.compile(optimizer_by_part(model, SGD(0.0), {part: SGD(0.1)}))
    assert moved(model) == paths


def test_separate_data_has_heads_and_no_tasks():
    model = make(task_data="separate")
    batch = {"inputs": IDS, "task_id": np.array([0, 1, 0], "int32")}
    model.compile(optimizer_by_part(model, SGD(0.0), {"heads": SGD(0.1)}))
    before = [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]
    labels = {"binary": np.array([0.0, np.nan, 1.0]), "regression": np.array([np.nan, 1.0, np.nan])}
    model.train_on_batch(batch, labels)
    changed = {
        v.path
        for v, old in zip(model.trainable_variables, before, strict=True)
        if np.any(ops.convert_to_numpy(v) != old)
    }
    assert changed == {"heads/kernel", "heads/bias"}
    with pytest.raises(ValueError, match="parts names 'b', which this network has not. Its parts:"):
        optimizer_by_part(model, SGD(0.1), {"b": SGD(0.1)})


def test_a_saved_network_goes_on_with_its_optimizers(tmp_path):
    model = make(keras_mtl.build_mmoe)
    adam = keras.optimizers.Adam
    parts = {"towers": adam(0.05), "embeddings": keras_mtl.VisitedAdam(0.02)}
    model.compile(optimizer_by_part(model, adam(0.01), parts))
    model.train_on_batch(IDS, LABELS)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.train_on_batch(IDS, LABELS)
    for one, other in zip(model.variables, again.variables, strict=True):
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (one, other)), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "parts must be a dict, part -> optimizer"),
        ({"tower": SGD()}, "parts names 'tower', which this network has not. Its parts: embed"),
        ({"heads": SGD(), "b": SGD()}, "parts 'heads' and 'b' both have 'b/kernel'. Leave one"),
        ({"heads": "sgd"}, r"parts\['heads'\] must be a single Keras optimizer"),
        ({"heads": SGD(global_clipnorm=1.0)}, "must be the same for all optimizers"),
    ],
)
def test_wrong_parts_are_named(parts, message):
    with pytest.raises(ValueError, match=message):
        optimizer_by_part(make(), SGD(0.1), parts)


def test_an_optimizer_trains_one_part():
    same = SGD(0.1)
    with pytest.raises(ValueError, match="Every part needs an optimizer of its own"):
        optimizer_by_part(make(), same, {"heads": same})
    with pytest.raises(ValueError, match="parts names 'allocation', which this network has not"):
        optimizer_by_part(make(keras_mtl.build_shared_bottom), SGD(), {"allocation": SGD()})
