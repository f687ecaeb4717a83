"""Networks of causal blocks whose gates decide at every step."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import ResidualConv1D
from tests.layers.modular import array
from tests.models.gates import gates_of, half_open
from tests.models.networks import EITHER

TASKS = {
    "ward": keras_mtl.Task("tagging", 4),
    "dies": keras_mtl.Task("binary", per_step=True),
    "stay": keras_mtl.Task("tagging", 3),
}
POLICY = [[1, 0, 1], [1, 1, 1], [0, 1, 1]]
LENGTHS = np.array([12, 5, 9, 1, 12, 7, 3, 10])
MASK = np.arange(12) < LENGTHS[:, None]
X = np.random.default_rng(0).normal(size=(8, 12, 3)).astype("float32")
PADDED = np.where(MASK[..., None], X, 0).astype("float32")
LAYERS = [[partial(ResidualConv1D, 5)], *[[partial(ResidualConv1D, 5)]] * 2]
MASKING = [keras.layers.Masking]
TASK_ID = np.array([0, 1, 2, 2, 1, 0, 1, 2], "int32")


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(x=X, num_steps=None, tasks=TASKS, layers=LAYERS, task_data="shared", **settings):
    settings = {"policy": POLICY, "target_rates": 0.5, "gates_per_step": True, **settings}
    model = keras_mtl.build_dynashare(
        keras.Input((num_steps, 3)), tasks, layers, task_data=task_data, seed=0, **settings
    )
    rng = np.random.default_rng(1)
    for variable in model.weights:  # numbers that are the same on every backend
        if "component" in variable.path or variable.path.endswith("kernel"):
            low = 0.5 if "variance" in variable.path else -0.5
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return half_open(model, inputs_of(x, task_data))


def inputs_of(x, task_data):
    return x if task_data == "shared" else {"inputs": x, "task_id": TASK_ID[: len(x)]}


def answers(model, x, task_data="shared"):
    outputs = model(inputs_of(x, task_data), training=False)
    return {name: array(output) for name, output in outputs.items()}


def said(model, x, task_data="shared"):
    """Returns what each gate decides."""
    inputs = inputs_of(x, task_data)
    return [array(keras.Model(model.input, gate.output)(inputs)) for gate in gates_of(model)]


def changed_after(step):
    x = X.copy()
    x[:, step:] = np.random.default_rng(5).normal(2, 2, size=x[:, step:].shape)
    return x


@EITHER
def test_no_answer_depends_on_later_steps(task_data):
    model = network(task_data=task_data)
    for gate in said(model, X, task_data):
        assert 0.2 < gate.mean() < 0.8 and gate.std(axis=1).max() > 0
    before = answers(model, X, task_data)
    for step in (3, 11):
        after = answers(model, changed_after(step), task_data)
        for name, output in before.items():
            np.testing.assert_allclose(after[name][:, :step], output[:, :step], atol=1e-6)
            assert np.abs(after[name][:, step:] - output[:, step:]).max() > 1e-3


@EITHER
def test_gates_of_whole_sequences_look_ahead(task_data):
    model = network(task_data=task_data, gates_per_step=False)
    before = answers(model, X, task_data)
    after = answers(model, changed_after(7), task_data)
    for name, output in before.items():
        assert np.abs(after[name][:, :7] - output[:, :7]).max() > 1e-3


@pytest.mark.slow
def test_padding_changes_nothing(task_data):
    model = network(PADDED, task_data=task_data, stem=MASKING)
    together = answers(model, PADDED, task_data)
    for row, length in enumerate(LENGTHS):
        own = inputs_of(PADDED[row : row + 1, :length], task_data)
        if task_data == "separate":
            own["task_id"] = TASK_ID[row : row + 1]
        for name, output in model(own, training=False).items():
            np.testing.assert_allclose(array(output)[0], together[name][row, :length], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stem", [[], MASKING], ids=["no mask", "mask"])
def test_frozen_it_answers_the_same(task_data, stem, tmp_path):
    model = network(PADDED, task_data=task_data, stem=stem)
    frozen = keras_mtl.freeze(model)
    modules = {type(layer).__module__ for layer in [*frozen.layers, *frozen.operations]}
    assert not [module for module in modules if module.startswith("keras_mtl")]
    frozen.save(tmp_path / "frozen.keras")
    loaded = keras.saving.load_model(tmp_path / "frozen.keras")
    valid = MASK if stem else np.ones_like(MASK)
    for task, name in enumerate(TASKS):
        if task_data == "shared":
            expected = answers(model, PADDED)[name]
        else:
            inputs = {"inputs": PADDED, "task_id": np.full(8, task, "int32")}
            expected = array(model(inputs, training=False)[TASKS[name].kind])
        alone = array(keras_mtl.freeze(model, name)(PADDED))
        expected = expected[..., : alone.shape[-1]]
        for found in (alone, array(frozen(PADDED)[name]), array(loaded(PADDED)[name])):
            np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stem", [[], MASKING], ids=["no mask", "mask"])
def test_rates_are_of_the_valid_steps_of_each_task(task_data, stem):
    rates = np.array([0.5, 0.25, 0.9])
    model = network(
        PADDED, task_data=task_data, stem=stem, target_rates=list(rates), target_weight=1.0
    )
    valid = MASK if stem else np.ones_like(MASK)
    answers(model, PADDED, task_data)
    expected = 0
    for number, gate in enumerate(said(model, PADDED, task_data)):
        for task in range(3):
            if task_data == "separate":
                rows, own = TASK_ID == task, valid[TASK_ID == task]
            else:  # a row for each task once their paths part, which they do at the first block
                rows, own = slice(8 * task, 8 * task + 8), valid
            rate = gate[rows][..., 0][own].mean()
            expected += POLICY[task][number] * (rate - rates[number]) ** 2
    penalty = model.get_layer("target_rate_penalty").penalties["target_rate_penalty"]
    assert float(array(penalty)) == pytest.approx(expected, rel=1e-4)


def test_gates_before_tasks_part_count_for_each_task():
    policy = [[1, 1, 1], [1, 1, 0], [1, 1, 1]]
    model = network(
        PADDED, stem=MASKING, policy=policy, target_rates=[0.9, 1, 1], target_weight=1.0
    )
    answers(model, PADDED)
    (gate,) = said(model, PADDED)
    assert gate.shape == (8, 12, 1)
    penalty = model.get_layer("target_rate_penalty").penalties["target_rate_penalty"]
    expected = 3 * (gate[MASK].mean() - 0.9) ** 2
    assert float(array(penalty)) == pytest.approx(expected, rel=1e-4)


@EITHER
def test_blocks_may_have_strides(task_data):
    layers = [
        [partial(ResidualConv1D, 4, strides=2)],
        [partial(ResidualConv1D, 4)],
        keras.layers.GlobalAveragePooling1D,
    ]
    tasks = {"dies": "binary", "ward": 3, "stay": 4}
    settings = {"tasks": tasks, "policy": None, "layers": layers}
    model = network(PADDED, stem=MASKING, task_data=task_data, **settings)
    assert [gate.shape for gate in said(model, PADDED, task_data)] == [(8, 6, 1)] * 2
    inputs = {"inputs": PADDED, "task_id": np.zeros(8, "int32")}
    name, inputs = ("dies", PADDED) if task_data == "shared" else ("binary", inputs)
    expected = array(model(inputs, training=False)[name])[:, :1]
    found = array(keras_mtl.freeze(model, "dies")(PADDED))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_gates_learn_and_the_model_is_saved(tmp_path):
    model = network(PADDED, stem=MASKING)
    before = [array(gate.hidden.kernel) for gate in gates_of(model)]
    labels = {
        "ward": np.where(MASK, 1, -1), "dies": np.where(MASK, 1.0, np.nan)[..., None],
        "stay": np.where(MASK, 2, -1),
    }  # fmt: skip
    model.compile("adam")
    history = model.fit(PADDED, labels, batch_size=4, epochs=1, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    for gate, kernel in zip(gates_of(model), before, strict=True):
        assert np.abs(array(gate.hidden.kernel) - kernel).max() > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [gate.per_step for gate in gates_of(loaded)] == [True] * 3
    expected = answers(model, PADDED)
    for name, found in answers(loaded, PADDED).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6)


def test_there_must_be_steps():
    block = partial(keras_mtl.layers.ResidualDense, 4)
    with pytest.raises(ValueError, match="'gate_1' decides at every step, so it reads sequences"):
        keras_mtl.build_dynashare(
            keras.Input((5,)), {"a": 3}, [[block]], target_rates=0.5, gates_per_step=True
        )


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="export needs TensorFlow")
@pytest.mark.parametrize("stem", [[], MASKING], ids=["no mask", "mask"])
def test_a_served_network_answers_the_same(tmp_path, stem):
    model = network(PADDED, stem=stem)
    served = keras_mtl.load_served(keras_mtl.export(model, tmp_path / "1"))
    valid = MASK if stem else np.ones_like(MASK)
    expected = answers(model, PADDED)
    for name in TASKS:
        found = served.predict(name, PADDED)
        np.testing.assert_allclose(found[valid], expected[name][valid], rtol=1e-5, atol=1e-6)
        short = served.predict(name, PADDED[:1, :7])
        np.testing.assert_allclose(short, expected[name][:1, :7], rtol=1e-5, atol=1e-6)
