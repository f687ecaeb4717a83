"""The cell of a modular encoder, and its fused form over whole sequences."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import RecurrentModular, RecurrentModularCell
from tests.gradients import gradients
from tests.layers.modular import (
    GivenNoise,
    array,
    encoder,
    force,
    lstm,
    mlp,
    normal,
    scrambled,
    without_preference,
)

X = normal(5, 3, 6)  # B = 5 examples, 3 steps, 6 features
LENGTHS = np.array([3, 1, 2, 3, 2])
MASK = np.arange(3) < LENGTHS[:, None]


def cell_of(num_cells=2, cell_units=4, num_sub_encoders=(3, 2), units=(6, 5), **settings):
    """Makes a cell with random weights: 2 LSTM cells of 4 units, layers of 3 and 2 above."""
    settings = {"policy_units": (7,), "temperature": 1.0, "seed": 0, **settings}
    cell = RecurrentModularCell(num_cells, cell_units, num_sub_encoders, units, **settings)
    cell.build((None, 6))
    return scrambled(cell)


def stepped(cell, x, states=None, before_step=lambda step: None, training=False):
    """Returns outputs of a cell at every step, and the states after the last."""
    states = cell.get_initial_state(len(x)) if states is None else states
    outputs = []
    for step in range(x.shape[1]):
        before_step(step)
        output, states = cell(x[:, step], states, training=training)
        outputs.append(array(output))
    return np.stack(outputs, axis=1), states


def flat(outputs):
    """Returns the outputs of all sub-encoders side by side, as the cell has them."""
    return array(outputs).reshape(*outputs.shape[:2], -1)


# Values


def test_the_formulas_hold_in_inference():
    cell = cell_of()
    outputs, decisions = RecurrentModular(cell)(X)
    expected, opened = encoder(cell, X)
    assert outputs.shape == (5, 3, 3 + 2, 5) and decisions.shape == (5, 3, 2 * 3 + 3 * 2)
    assert 0.2 < opened.mean() < 0.8
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_the_formulas_hold_in_training(monkeypatch):
    cell, given = cell_of(), GivenNoise(monkeypatch)
    first, second = cell.sub_encoders
    noise = [given.draw(first, 5, 3, 3, 2, seed=1), given.draw(second, 5, 3, 2, 3, seed=2)]
    outputs, decisions = RecurrentModular(cell)(X, training=True)
    expected, opened = encoder(cell, X, noise)
    assert np.any(opened != encoder(cell, X)[1])
    np.testing.assert_array_equal(array(decisions), opened)
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-4, atol=1e-4)


def test_decisions_are_counted_by_layers_below():
    assert cell_of().num_connections == 2 * 3 + 3 * 2
    assert RecurrentModularCell(3, 5, (3, 3), (4,)).num_connections == 18  # as in the paper
    assert RecurrentModularCell(3, 5, (4, 1, 2), (4,)).num_connections == 12 + 4 + 2


def test_it_is_a_chain_with_one_cell_one_sub_encoder_and_open_connections():
    cell = cell_of(1, 4, (1, 1), (6, 5))
    force(cell.sub_encoders, True)
    first = mlp(cell.sub_encoders[0].networks[0], lstm(cell.lstms[0], X))
    second = mlp(cell.sub_encoders[1].networks[0], first)
    found = array(RecurrentModular(cell)(X)[0])
    np.testing.assert_allclose(found, np.stack([first, second], axis=2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_all_open_is_the_plain_mean_of_the_layer_below_and_all_closed_a_constant(opened):
    cell = cell_of()
    force(cell.sub_encoders, opened)
    outputs, decisions = RecurrentModular(cell)(X, training=True)
    assert np.all(array(decisions) == opened)
    sources, expected = [lstm(layer, X) for layer in cell.lstms], []
    for layer in cell.sub_encoders:
        read = np.mean(sources, axis=0) * opened
        sources = [mlp(network, read) for network in layer.networks]
        expected += sources
    np.testing.assert_allclose(array(outputs), np.stack(expected, axis=2), rtol=1e-4, atol=1e-4)


# Step by step


def test_the_fused_form_is_the_cell_stepped_by_hand_with_the_same_noise(monkeypatch):
    cell, given = cell_of(), GivenNoise(monkeypatch)
    for layer, shape in zip(cell.sub_encoders, [(5, 3, 3, 2), (5, 3, 2, 3)], strict=True):
        given.draw(layer, *shape)
    whole = flat(RecurrentModular(cell)(X, training=True)[0])
    steps = given.step_by_step()
    outputs, _ = stepped(cell, X, training=True, before_step=lambda step: next(steps))
    np.testing.assert_allclose(outputs, whole, rtol=1e-6, atol=1e-6)
    assert np.any(np.abs(whole - flat(RecurrentModular(cell)(X)[0])) > 0.1)  # noise decides


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
def test_the_fused_form_is_the_stock_recurrence_over_the_cell_in_inference(mask):
    cell = cell_of()
    unroll = mask is not None  # on JAX a scan over padding takes the first state for the output
    outputs = array(keras.layers.RNN(cell, return_sequences=True, unroll=unroll)(X, mask=mask))
    fused = flat(RecurrentModular(cell)(X, mask=mask)[0])
    valid = np.ones((5, 3), bool) if mask is None else mask
    np.testing.assert_allclose(outputs[valid], fused[valid], rtol=1e-6, atol=1e-6)


def test_states_can_be_handed_over():
    cell = cell_of()
    whole = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    outputs, *states = whole(X)
    first, *handed = whole(X[:, :2])
    second, *at_the_end = whole(X[:, 2:], initial_state=handed)
    joined = np.concatenate([array(first), array(second)], axis=1)
    np.testing.assert_allclose(joined, array(outputs), rtol=1e-6, atol=1e-6)
    assert len(states) == len(at_the_end) == 4
    for one, two in zip(states, at_the_end, strict=True):
        assert one.shape == (5, 4)
        np.testing.assert_allclose(array(one), array(two), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(array(states[2]), lstm(cell.lstms[1], X)[:, -1], rtol=1e-4)


@pytest.mark.slow
def test_the_cell_learns_in_an_unrolled_recurrence():
    cell = RecurrentModularCell(2, 4, (3, 2), (6,), temperature=1.0, seed=0)
    inputs = keras.Input((3, 6))
    outputs = keras.layers.RNN(cell, unroll=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(outputs))
    before = {variable.path: array(variable) for variable in model.trainable_variables}
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
    model.fit(X, X.sum(axis=(1, 2)), batch_size=5, epochs=2, verbose=0)
    moved = {v.path for v in model.trainable_variables if np.any(array(v) != before[v.path])}
    assert moved == set(before)


# Time


def test_no_step_depends_on_what_comes_after_it():
    layer = RecurrentModular(cell_of())
    later = X.copy()
    later[:, 2] += 1
    before, after = (flat(layer(x)[0]) for x in (X, later))
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert np.any(before[:, 2] != after[:, 2])


def test_above_the_cells_steps_know_nothing_of_each_other():
    cell, order = cell_of(), [2, 0, 1]
    sources = normal(5, 3, 2, 4)
    for whole, mixed in zip(cell.encode(sources), cell.encode(sources[:, order]), strict=True):
        np.testing.assert_allclose(array(whole)[:, order], array(mixed), rtol=1e-6, atol=1e-6)


def test_padding_changes_nothing_before_it():
    layer = RecurrentModular(cell_of())
    outputs, decisions = layer(X, mask=MASK)
    for row, length in enumerate(LENGTHS[:3]):  # 3, 1, 2
        alone = layer(X[row : row + 1, :length])
        for padded, short in zip((outputs, decisions), alone, strict=True):
            np.testing.assert_allclose(
                array(padded)[row, :length], array(short)[0], rtol=1e-5, atol=1e-6
            )


def test_states_stand_still_in_padding():
    layer = RecurrentModular(cell_of())
    gap = np.array([[True, False, True]] * 5)
    np.testing.assert_allclose(
        flat(layer(X, mask=gap)[0])[:, 2], flat(layer(X[:, [0, 2]])[0])[:, 1], rtol=1e-5, atol=1e-6
    )


def test_outputs_and_decisions_have_the_mask_of_the_sequence():
    inputs = keras.Input((3, 6))
    masked = keras.layers.Masking()(inputs)
    layer = RecurrentModular(RecurrentModularCell(2, 4, (3,), (6,)))
    for output in layer(masked):
        assert output._keras_mask is not None and output._keras_mask.shape == (None, 3)


# Gradients


def test_a_source_that_nobody_reads_has_no_gradient(monkeypatch):
    cell, given = cell_of(), GivenNoise(monkeypatch)
    for layer, shape in zip(cell.sub_encoders, [(5, 3, 3, 2), (5, 3, 2, 3)], strict=True):
        given.draw(without_preference(layer), *shape)[:] = 50
    given.noise[id(cell.sub_encoders[0].router.seed_generator)][..., 1] = -50  # the second cell
    fused, variables = RecurrentModular(cell), cell.trainable_variables
    fused.build(X.shape)
    slopes = gradients(lambda: ops.sum(fused(X, training=True)[0]), variables)
    reached = {v.path.split("/")[-3] for v, g in zip(variables, slopes, strict=True) if g.any()}
    assert "lstm_1" in reached and "lstm_2" not in reached


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_gradients_are_finite_when_all_is_decided(opened):
    cell = cell_of()
    force(cell.sub_encoders, opened)
    fused = RecurrentModular(cell)
    fused.build(X.shape)
    slopes = gradients(lambda: ops.sum(fused(X, training=True)[0]), cell.trainable_variables)
    assert all(np.all(np.isfinite(slope)) for slope in slopes)
    reached = [v.path for v, g in zip(cell.trainable_variables, slopes, strict=True) if g.any()]
    assert any("lstm" in path for path in reached) == opened


# Size, ties, precision


def count(cell):
    return sum(int(np.prod(variable.shape)) for variable in cell.trainable_variables)


def test_the_number_of_weights_is_the_papers():
    lstm_cell = 4 * ((6 + 5) * 5 + 5)  # s = 240
    network = (5 * 7 + 7) + (7 * 5 + 5)  # r = 82
    policy = (5 * 3 + 3) + (3 * 2 + 2)  # p = 26
    cell = cell_of(2, 5, (3, 2), (7, 5), policy_units=(3,))
    assert count(cell) == 2 * lstm_cell + 5 * (network + policy) == 1020


@pytest.mark.parametrize("num_layers", [1, 2, 4])
def test_tied_layers_are_one(num_layers):
    cell = cell_of(2, 5, (3,) * num_layers, (7, 5), policy_units=(3,), tie_layers=True)
    assert count(cell) == 2 * 240 + 3 * (82 + 26)
    assert cell.num_connections == 2 * 3 + (num_layers - 1) * 9


def test_tied_layers_are_untied_ones_with_equal_weights():
    tied = cell_of(2, 5, (3, 3), (7, 5), tie_layers=True)
    untied = cell_of(2, 5, (3, 3), (7, 5))
    for one, two in zip(tied.lstms, untied.lstms, strict=True):
        two.set_weights(one.get_weights())
    for layer in untied.sub_encoders:
        layer.set_weights(tied.sub_encoders[0].get_weights())
    for one, two in zip(RecurrentModular(tied)(X), RecurrentModular(untied)(X), strict=True):
        np.testing.assert_allclose(array(one), array(two), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_tied_layers_read_cells_of_another_width_through_one_projection(num_layers):
    cell = cell_of(2, 5, (3,) * num_layers, (7, 4), policy_units=(3,), tie_layers=True)
    network, policy = (4 * 7 + 7) + (7 * 4 + 4), (4 * 3 + 3) + (3 * 2 + 2)
    assert count(cell) == 2 * 240 + 5 * 4 + 3 * (network + policy)
    for one, two in zip(RecurrentModular(cell)(X), encoder(cell, X), strict=True):
        np.testing.assert_allclose(array(one), two, rtol=1e-4, atol=1e-5)
    outputs = keras.layers.RNN(cell, return_sequences=True)(X)
    fused = array(RecurrentModular(cell)(X)[0])
    np.testing.assert_allclose(array(outputs), fused.reshape(5, 3, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tie_layers", [False, True], ids=["untied", "tied"])
def test_layers_draw_separately(tie_layers):
    cell = cell_of(3, 5, (3, 3), (5,), tie_layers=tie_layers)
    for layer in cell.sub_encoders:
        without_preference(layer)
    decisions = array(cell.encode(normal(40, 3, 5), training=True)[1])
    assert decisions.shape == (40, 18) and np.any(decisions[:, :9] != decisions[:, 9:])


def test_policies_are_as_large_as_sub_encoders_unless_said():
    assert RecurrentModularCell(2, 4, (3,), (6, 5)).policy_units == (6, 5)
    assert RecurrentModularCell(2, 4, (3,), (6, 5), ()).policy_units == ()


def test_half_precision_is_that_of_outputs_and_states():
    half = {"dtype": "mixed_bfloat16"}
    cell = RecurrentModularCell(2, 4, (3, 2), (6,), **half)
    outputs, *states = keras.layers.RNN(cell, return_state=True, **half)(X)
    fused, decisions = RecurrentModular(cell, **half)(X, training=True)
    for tensor in (outputs, *states, fused, decisions):
        assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    assert {variable.dtype for variable in cell.trainable_variables} == {"float32"}


def test_a_layer_around_a_cell_survives_its_config():
    layer = RecurrentModular(cell_of(temperature=0.5, tie_layers=False), name="encoder")
    copy = RecurrentModular.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.cell is not layer.cell and copy.cell.temperature == 0.5


# Errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cells": 0}, "num_cells must be an integer of at least 1. Received: 0"),
        ({"num_sub_encoders": ()}, "num_sub_encoders must be a tuple of at least 1 sizes"),
        ({"num_sub_encoders": (3, 0)}, r"num_sub_encoders\[1\] must be an integer of at least 1"),
        ({"units": ()}, "units must be a tuple of at least 1 sizes"),
    ],
)
def test_something_of_everything_is_needed(settings, message):
    settings = {"num_cells": 2, "cell_units": 4, **settings}
    with pytest.raises(ValueError, match=message):
        RecurrentModularCell(**settings)


def test_tied_layers_must_fit_each_other():
    settings = {"cell_units": 5, "units": (7, 5), "num_sub_encoders": (3, 2)}
    with pytest.raises(ValueError, match="every layer must have as many of them"):
        RecurrentModularCell(2, tie_layers=True, **settings)


def test_a_temperature_is_above_0():
    with pytest.raises(ValueError, match="temperature must be a number above 0 or a schedule"):
        RecurrentModularCell(2, 4, temperature=-1.0)


@pytest.mark.parametrize("shape", [(5, 6), (5, 3, 6, 2)])
def test_what_is_read_is_a_sequence(shape):
    layer = RecurrentModular(RecurrentModularCell(2, 4, (3,), (6,)), name="encoder")
    with pytest.raises(ValueError, match=r"'encoder' reads sequences, \(batch, steps, features\)"):
        layer.build(shape)
