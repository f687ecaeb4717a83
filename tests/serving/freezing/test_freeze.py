"""A frozen network is the trained one, without what nobody uses."""

import functools
import warnings
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

MIXED = {
    "digit": 5,
    "even": "binary",
    "marks": keras_mtl.Task("multilabel", 3),
    "size": "regression",
}


def task_routing(inputs, tasks, layers, **settings):
    """A list holds one layer, whose channels are masked."""
    layers = [entry[:1] if isinstance(entry, list) else entry for entry in layers]
    return keras_mtl.build_task_routing(inputs, tasks, layers, **settings)


BUILDERS = [
    keras_mtl.build_gumbel_matrix,
    keras_mtl.build_shared_bottom,
    keras_mtl.build_no_sharing,
    keras_mtl.build_fixed_random,
    keras_mtl.build_routing_network,
    keras_mtl.build_single_tasks,
    keras_mtl.build_cross_stitch,
    partial(keras_mtl.build_sluice, connections="none", num_subspaces=3),
    partial(keras_mtl.build_low_supervision, levels={"size": 6}),
    keras_mtl.build_dselect_k,
    partial(keras_mtl.build_mmoe, tower_units=(5,)),
    partial(keras_mtl.build_mmoeex, exclusivity=0.75),
    keras_mtl.build_moe,
    keras_mtl.build_ple,
    partial(keras_mtl.build_snr, tower_units=(5,)),
    partial(keras_mtl.build_snr, connection="sum"),
    task_routing,
]


def layers(num_components=4):
    conv = partial(keras.layers.Conv2D, 3, 3, padding="same", activation="relu")
    dense = partial(keras.layers.Dense, 6, activation="relu")
    return [
        [conv] * num_components,
        partial(keras.layers.AveragePooling2D, 2),
        keras.layers.BatchNormalization,
        keras.layers.Flatten,
        partial(keras.layers.Dropout, 0.5),
        [dense] * num_components,
    ]


def network(builder=keras_mtl.build_gumbel_matrix, tasks=MIXED, task_data="separate", **arguments):
    made_of = layers(5 if builder is keras_mtl.build_ple else 4)
    model = builder(keras.Input((6, 6, 2)), tasks, made_of, task_data=task_data, **arguments)
    return scrambled(model)


@functools.cache
def of_four_kinds():
    """Returns a network that tests only read."""
    return network()


def scrambled(model, seed=0):
    """Gives every weight and logit random values, every task a component in each layer."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "moving" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.path.endswith("logits") and len(variable.shape) == 3:
            values = rng.normal(size=variable.shape)
            values[:, 0, 0] = values[:, 0, 1] + 1
            variable.assign(values)
        elif "float" in variable.dtype:
            variable.assign(0.3 * rng.normal(size=variable.shape))
    return model


def answers(model, x, task):
    """Returns what the trained network answers for one task, its own columns only."""
    place, size = list(model.tasks).index(task), model.tasks[task].size
    if model.task_data == "shared":
        return np.asarray(keras.ops.convert_to_numpy(model(x, training=False)[task]))
    outputs = model({"inputs": x, "task_id": np.full(len(x), place, "int32")}, training=False)
    outputs = outputs[model.tasks[task].kind] if isinstance(outputs, dict) else outputs
    return keras.ops.convert_to_numpy(outputs)[:, :size]


def images(number):
    return np.random.default_rng(number).normal(size=(number, 6, 6, 2)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize(  # each in one mode of data: the matrix of builders has both
    ("builder", "task_data"),
    [(builder, ("separate", "shared")[index % 2]) for index, builder in enumerate(BUILDERS)],
)
def test_frozen_answers_are_the_networks_own(builder, task_data):
    model = network(builder, task_data=task_data)
    frozen = keras_mtl.freeze(model)
    for batch in (1, 7):
        x = images(batch)
        outputs = frozen(x, training=False)
        assert set(outputs) == set(MIXED)
        for task in MIXED:
            expected = answers(model, x, task)
            np.testing.assert_allclose(
                keras.ops.convert_to_numpy(outputs[task]), expected, rtol=1e-6, atol=1e-6
            )


@pytest.mark.parametrize("task", MIXED)
def test_one_tasks_network_takes_x_and_returns_a_tensor(task):
    model = of_four_kinds()
    alone = keras_mtl.freeze(model, task)
    x = images(7)
    output = keras.ops.convert_to_numpy(alone(x))
    assert output.shape == (7, model.tasks[task].size)
    np.testing.assert_allclose(output, answers(model, x, task), rtol=1e-6, atol=1e-6)


def test_a_frozen_network_holds_active_components_only():
    model = network(tasks={"a": 5, "b": 4})
    first = model.get_layer("allocation_1").row_blocks[0]
    active = np.array([[1, 0, 1, 0], [0, 0, 1, 0]])
    first.assign(np.stack([np.where(active, 5.0, -5.0), np.zeros((2, 4))], axis=-1))
    names = {layer.name for layer in keras_mtl.freeze(model).layers}
    assert {"component_1_1", "component_1_3"} <= names
    assert not {"component_1_2", "component_1_4"} & names
    assert "component_1_1" not in {layer.name for layer in keras_mtl.freeze(model, "b").layers}


def test_a_frozen_network_is_made_of_stock_layers_without_randomness():
    frozen = keras_mtl.freeze(of_four_kinds())
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in frozen.layers)
    assert frozen.input.name == "inputs"
    assert [v for v in frozen.variables if "seed" in v.path or "logits" in v.path] == []


def test_dropped_words_are_those_of_training_only():
    words = keras.Input((5,), dtype="int32")
    stem = [
        partial(keras_mtl.layers.WordDropout, 0.5),
        partial(keras.layers.Embedding, 9, 4),
        keras.layers.Flatten,
    ]
    model = keras_mtl.build_shared_bottom(
        words, {"a": 2}, [partial(keras.layers.Dense, 3)], stem=stem
    )
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)


def test_what_tasks_share_is_stored_and_computed_once():
    tasks = {"a": 5, "b": 4}
    model = network(keras_mtl.build_shared_bottom, tasks=tasks)
    frozen = keras_mtl.freeze(model)
    assert frozen.count_params() == model.count_params()
    convolutions = [layer for layer in frozen.layers if layer.name.startswith("component_1")]
    assert len(convolutions) == 4
    assert all(len(layer._inbound_nodes) == 1 for layer in convolutions)


def test_a_frozen_network_does_not_change_when_training_goes_on():
    model = network()
    frozen = keras_mtl.freeze(model)
    x = images(3)
    before = keras.ops.convert_to_numpy(frozen(x)["digit"])
    scrambled(model, seed=1)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(frozen(x)["digit"]), before)


def test_a_sum_of_components_survives_freezing():  # as their mean does in all other tests
    model = network(combine="sum")
    x = images(7)
    frozen = keras.ops.convert_to_numpy(keras_mtl.freeze(model, "marks")(x))
    np.testing.assert_allclose(frozen, answers(model, x, "marks"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layer", ["allocation_1", "allocation_2"])
def test_a_task_without_a_component_warns_by_name_and_sees_zeros(layer):
    model = network(tasks={"a": 5, "b": 4}, min_components=0)
    logits = model.get_layer(layer).row_blocks[0]
    values = logits.numpy().copy()
    values[1, :, 0] = values[1, :, 1] - 1
    logits.assign(values)
    with pytest.warns(UserWarning, match=f"Task 'b' has no component in '{layer}'"):
        frozen = keras_mtl.freeze(model)
    x = images(7)
    output = keras.ops.convert_to_numpy(frozen(x)["b"])
    np.testing.assert_allclose(output, answers(model, x, "b"), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        output, np.tile(output[:1], (7, 1)), rtol=1e-6
    )  # a row's place rounds
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_mtl.freeze(model, "a")


def test_frozen_networks_reload(tmp_path):
    frozen = keras_mtl.freeze(of_four_kinds())
    frozen.save(tmp_path / "frozen.keras")
    reloaded = keras.models.load_model(tmp_path / "frozen.keras")
    x = images(7)
    for task, output in frozen(x).items():
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(reloaded(x)[task]), keras.ops.convert_to_numpy(output)
        )


def test_a_grown_network_freezes():
    model = keras_mtl.add_task(network(tasks={"a": 5, "b": 4}), "c", 7)
    x = images(7)
    for task, output in keras_mtl.freeze(model)(x).items():
        expected = answers(model, x, task)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(output), expected, rtol=1e-6, atol=1e-6
        )


def test_components_may_be_whole_networks():
    def block():
        return keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])

    model = keras_mtl.build_gumbel_matrix(
        keras.Input((5,)), {"a": 2, "b": 3}, [[block] * 3], task_data="separate"
    )
    scrambled(model)
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    output = keras.ops.convert_to_numpy(keras_mtl.freeze(model, "b")(x))
    np.testing.assert_allclose(output, answers(model, x, "b"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("task_data", ["separate", "shared"])
def test_padding_stays_padding_after_components(task_data):
    embed = partial(keras.layers.Embedding, 9, 4, mask_zero=True)
    lstm = partial(keras.layers.LSTM, 3, return_sequences=True)
    layers = [[lstm] * 3, keras.layers.GlobalAveragePooling1D]
    tokens = keras.Input((None,), dtype="int32")
    model = keras_mtl.build_gumbel_matrix(
        tokens, {"a": 5, "b": 4}, layers, stem=[embed], task_data=task_data
    )
    scrambled(model)
    x = np.pad(np.random.default_rng(0).integers(1, 9, (6, 3)), ((0, 0), (0, 2)))
    for task, output in keras_mtl.freeze(model)(x).items():
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(output), answers(model, x, task), rtol=1e-6, atol=1e-6
        )


def test_unknown_tasks_and_frozen_models_are_refused():
    model = of_four_kinds()
    with pytest.raises(ValueError, match="Unknown task 'c'. Tasks of this model: digit, even, m"):
        keras_mtl.freeze(model, "c")
    with pytest.raises(ValueError, match="has no tasks to freeze"):
        keras_mtl.freeze(keras_mtl.freeze(model))


@keras.saving.register_keras_serializable("test")
class Both(keras.layers.Layer):
    """An answer that needs the ways of two tasks: the probability of both."""

    def call(self, first, second):
        return first * second

    def frozen(self, call, first, second):
        return keras.layers.Multiply()([call.answer("a"), second])


def test_an_answer_may_need_the_ways_of_several_tasks():
    layers = [[partial(keras.layers.Dense, 4, activation="tanh")] * 2]
    model = keras_mtl.build_no_sharing(
        keras.Input((5,)), {"a": "binary", "b": "binary"}, layers, partition=["a", "b"]
    )
    both = Both(name="both")(model.output["a"], model.output["b"])
    joint = type(model)(model.input, {"a": model.output["a"], "b": both})
    scrambled(joint)
    x = np.random.default_rng(1).normal(size=(7, 5)).astype("float32")
    for frozen in (keras_mtl.freeze(joint)(x)["b"], keras_mtl.freeze(joint, "b")(x)):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(frozen), answers(joint, x, "b"), rtol=1e-6, atol=1e-6
        )
