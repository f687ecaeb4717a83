"""Follows the allocation logits through every door, from layer to server."""

import json
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.models.tower_networks import EAGER

TASKS = {"first": 3, "second": 4, "third": 3}
ROWS = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]])  # component 4 is nobody's


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="SavedModel needs TensorFlow or JAX")
def test_allocation_logits_keep_their_name_axes_and_meaning(tmp_path):
    pytest.importorskip("tensorflow")
    dense = partial(keras.layers.Dense, 6, activation="relu")
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), TASKS, [[dense] * 4], task_data="separate", init_probability=0.9
    )

    # 1, 2: layer and builder
    layer = model.get_layer("allocation_1")
    logits = next(v for v in model.trainable_variables if v.path == "allocation_1/logits")
    assert tuple(logits.shape) == (3, 4, 2)
    start = logits.numpy()
    np.testing.assert_allclose(start[..., 0] - start[..., 1], np.log(0.9 / 0.1), rtol=1e-5)
    assert list(model.tasks) == list(TASKS)

    # 3: one update moves the logits of the batch's task most, and the counter by one
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    data = {"second": (x, np.arange(8) % 4)}
    batches = keras_mtl.task_batches(TASKS, data, batch_size=8)
    model.compile(
        keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.0), 0.1), run_eagerly=EAGER
    )
    model.fit(batches, epochs=1, verbose=0)
    moved = np.abs(logits.numpy() - start).sum(axis=(1, 2))
    assert moved[1] > 0 and moved[0] == moved[2] == 0
    assert int(layer.router.updates.numpy()) == 1

    # 4, 5: analysis and plot, the same matrix in the same orientation
    logits.assign(np.stack([np.where(ROWS, 4.0, -4.0), np.zeros_like(ROWS)], axis=-1))
    np.testing.assert_array_equal(keras_mtl.allocation(model)[0], ROWS)
    pytest.importorskip("matplotlib")
    axes = keras_mtl.plots.plot_allocation(model)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(TASKS)
    np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), ROWS)

    # 6: frozen, the logits are gone and so is the component that nobody uses
    frozen = keras_mtl.freeze(model)
    names = " ".join(variable.path for variable in frozen.variables)
    assert "logits" not in names and "component_1_4" not in names
    assert "component_1_3" in names

    # 7: the file keeps path and value
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    again = next(v for v in reloaded.trainable_variables if v.path == "allocation_1/logits")
    np.testing.assert_array_equal(again.numpy(), logits.numpy())

    # 8, 9: the export holds the matrix as text, and answers by task name
    path = keras_mtl.export(model, tmp_path / "served" / "1")
    written = json.loads((tmp_path / "served/1/assets.extra/allocation.json").read_text())
    assert written["layers"]["allocation_1"] == {
        task: row.tolist() for task, row in zip(TASKS, ROWS, strict=True)
    }
    served = keras_mtl.load_served(path)
    for batch in (1, 6):
        inputs = {"inputs": x[:batch], "task_id": np.full(batch, 2, "int32")}
        expected = keras.ops.convert_to_numpy(model(inputs, training=False))[:, :3]
        np.testing.assert_allclose(served.predict("third", x[:batch]), expected, atol=1e-6)
    with pytest.raises(ValueError, match="fourth"):
        served.predict("fourth", x)
