import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import InstanceGate
from tests.gradients import gradients
from tests.layers.modular import array, sigmoid

IMAGES = np.random.default_rng(0).normal(size=(6, 4, 3, 5)).astype("float32")


def gate_of(shape=IMAGES.shape, seed=0, **settings):
    """Makes a gate with random weights and statistics."""
    gate = InstanceGate(8, seed=seed, **settings)
    gate.build(shape)
    rng = np.random.default_rng(1)
    for variable in gate.weights:
        if variable.dtype == "float32":
            low = 0.5 if "variance" in variable.path else -1.0
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return gate


def odds_of(gate, mean):
    """Returns the log-odds of opening, by hand, in inference."""
    hidden = mean @ array(gate.hidden.kernel) + array(gate.hidden.bias)
    norm = gate.normalization
    scale = array(norm.gamma) / np.sqrt(array(norm.moving_variance) + norm.epsilon)
    hidden = (hidden - array(norm.moving_mean)) * scale + array(norm.beta)
    scores = np.maximum(hidden, 0) @ array(gate.scores.kernel) + array(gate.scores.bias)
    return scores[:, 1] - scores[:, 0]


def test_the_formula_holds_in_inference():
    gate, mean = gate_of(), IMAGES.mean(axis=(1, 2))
    gate.scores.bias.assign([0, 0])
    gate.scores.bias.assign([array(gate.scores.bias)[0] + np.median(odds_of(gate, mean)), 0])
    odds = odds_of(gate, mean)
    assert (odds > 0).sum() == (odds < 0).sum() == 3
    np.testing.assert_array_equal(array(gate(IMAGES))[:, 0], odds >= 0)


@pytest.mark.parametrize("shape", [(6, 5), (6, 7, 5), (6, 2, 2, 2, 5)])
def test_it_reads_features_of_any_number_of_places(shape):
    x = np.random.default_rng(2).normal(size=shape).astype("float32")
    gate = gate_of(shape)
    mean = x.reshape(6, -1, 5).mean(axis=1)
    np.testing.assert_array_equal(array(gate(x))[:, 0], odds_of(gate, mean) >= 0)


def test_padding_is_left_out_of_the_mean():
    x = np.random.default_rng(2).normal(size=(6, 7, 5)).astype("float32")
    mask = np.arange(7) < np.array([[7], [3], [1], [2], [5], [0]])
    gate = gate_of(x.shape)
    mean = np.array([row[valid].mean(axis=0) if valid.any() else np.zeros(5)
                     for row, valid in zip(x, mask, strict=True)])  # fmt: skip
    np.testing.assert_array_equal(array(gate(x, mask=mask))[:, 0], odds_of(gate, mean) >= 0)


def test_at_the_start_most_gates_are_open():
    gate = InstanceGate(seed=0)
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype("float32")
    assert array(gate(x)).min() == 1
    assert abs(array(gate(x, training=True)).mean() - sigmoid(1.9)) < 0.025  # 0.87


def test_each_example_has_a_draw_of_its_own_in_training_only():
    gate = gate_of()
    same = np.repeat(IMAGES[:1], 400, axis=0)
    draws = array(gate(same, training=True))
    assert set(draws.flatten()) == {0, 1}
    assert len(set(array(gate(same)).flatten())) == 1
    assert len(set(array(gate_of(stochastic=True)(same)).flatten())) == 2


def test_every_weight_learns_through_the_decision():
    gate = gate_of()
    weight = ops.convert_to_tensor(np.arange(6, dtype="float32")[:, None])
    slopes = gradients(
        lambda: ops.sum(gate(IMAGES, training=True) * weight), gate.trainable_variables
    )
    for variable, slope in zip(gate.trainable_variables, slopes, strict=True):
        assert np.all(np.isfinite(slope)), variable.path
        assert np.any(slope) or variable is gate.hidden.bias, variable.path  # normalized away


def test_a_gate_needs_a_hidden_unit():
    with pytest.raises(
        ValueError, match="A gate needs at least one hidden unit. Received: units=0"
    ):
        InstanceGate(0)


def test_stock_layers_decide_the_same():
    gate, names = gate_of(), []

    def copy(layer, name):
        names.append(name)
        return layer

    stock = gate.stock_call(ops.convert_to_tensor(IMAGES), copy=copy)
    np.testing.assert_array_equal(array(stock), array(gate(IMAGES)))
    assert [name.removeprefix(f"{gate.name}_") for name in names] == [
        "hidden", "normalization", "scores"
    ]  # fmt: skip
