"""Weights and the policy over blocks learn in turns."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import PolicyPhases, alternating_optimizer
from keras_mtl.layers import ResidualDense

TASKS = {"animal": 3, "alive": "binary"}
PHASES = PolicyPhases(warm_up=1, weights=2, policy=2)
X = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
Y = {"animal": np.arange(12) % 3, "alive": (np.arange(12) % 2).astype("float32")}


def network(phases=PHASES, **settings):
    model = keras_mtl.build_adashare(
        keras.Input((5,)), TASKS, [[partial(ResidualDense, 5)]] * 2, phases=phases,
        cycles_per_block=0, seed=0, **settings,
    )  # fmt: skip
    optimizer = alternating_optimizer(
        keras.optimizers.SGD(0.1, momentum=0.9), keras.optimizers.Adam(0.1), phases
    )
    model.compile(optimizer)
    return model


def state(model):
    """Returns two dicts of arrays: of the policy and of everything else that optimizers move."""
    groups = {"policy": {}, "weights": {}}
    for variable in model.trainable_variables:
        group = "policy" if "policy_" in variable.path else "weights"
        groups[group][variable.path] = np.array(variable.numpy())
    for optimizer in model.optimizer.optimizers:
        group = "policy" if isinstance(optimizer, keras.optimizers.Adam) else "weights"
        for variable in optimizer.variables:
            groups[group][f"optimizer/{variable.path}"] = np.array(variable.numpy())
    return groups


def same(one, two):
    return {path: bool(np.array_equal(one[path], two[path])) for path in one}


def batches(model, number):
    """Trains on so many batches and returns the state before the first and after each."""
    states = [state(model)]
    for _ in range(number):
        model.train_on_batch(X, Y)
        states.append(state(model))
    return states


@pytest.mark.slow
def test_a_phase_leaves_the_other_group_bit_for_bit():
    model = network()
    model.optimizer.build(model.trainable_variables)
    states = batches(model, 7)
    for step, (before, after) in enumerate(zip(states, states[1:], strict=False)):
        resting, learning = "policy", "weights"
        if step in (3, 4):  # a warm-up of 1, weights for 2, then the policy for 2
            resting, learning = learning, resting
        assert all(same(before[resting], after[resting]).values()), step
        moved = [path for path, equal in same(before[learning], after[learning]).items() if equal]
        assert not [path for path in moved if "learning_rate" not in path], step


@pytest.mark.slow
def test_each_optimizer_counts_the_batches_of_its_own_phase():
    model = network()
    batches(model, 7)
    counts = {type(o).__name__: int(o.iterations.numpy()) for o in model.optimizer.optimizers}
    assert counts == {"SGD": 5, "Adam": 2} and int(model.optimizer.iterations.numpy()) == 7


@pytest.mark.slow
def test_a_phase_moves_its_group_as_that_optimizer_alone_would():
    turns, alone = network(), network()
    alone.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    for model in (turns, alone):
        model.train_on_batch(X, Y)  # the warm-up: weights only
    for variable, other in zip(turns.trainable_variables, alone.trainable_variables, strict=True):
        if "policy_" not in variable.path:
            np.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_training_goes_on_in_its_phase_after_saving_and_loading(tmp_path):
    model = network()
    batches(model, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before, after = batches(loaded, 1)  # the second batch of the policy's phase
    assert all(same(before["weights"], after["weights"]).values())
    assert not all(same(before["policy"], after["policy"]).values())
    assert int(loaded.optimizer.iterations.numpy()) == 5


def test_rows_that_were_added_belong_to_the_policy():
    grown = keras_mtl.add_task(network(), "size", "regression")
    optimizer = alternating_optimizer(
        keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1), PolicyPhases(0, 1, 1)
    )
    optimizer.build(grown.trainable_variables)
    (adam,) = [o for o in optimizer.optimizers if isinstance(o, keras.optimizers.Adam)]
    added = [v.path for v in grown.trainable_variables if "policy_" in v.path]
    assert len(added) == 2 and all("logits_added_1" in path for path in added)
    assert len(adam._trainable_variables) == 2


# Phases of builder, optimizer and batches


def optimizer_of(phases):
    return alternating_optimizer(keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1), phases)


@pytest.mark.parametrize("temperature", [None, 2.0])
def test_phases_of_builder_and_optimizer_that_differ_are_named(temperature):
    model = network(temperature=temperature)
    model.compile(optimizer_of(PolicyPhases(1, 2, 2)))  # the same numbers
    message = (
        r"The network was built with PolicyPhases\(1, weights=2, policy=2\), alternating_optimizer "
        r"with PolicyPhases\(1, weights=2, policy=3\). Give the same"
    )
    for wrap in (lambda x: x, keras.optimizers.LossScaleOptimizer):
        with pytest.raises(ValueError, match=message):
            model.compile(wrap(optimizer_of(PolicyPhases(1, 2, 3))))


def test_phases_of_batches_that_differ_are_named():
    batches = keras_mtl.data.alternating_batches((X, Y), (X, Y), PolicyPhases(0, 2, 2), 4)
    message = r"The batches were made with PolicyPhases\(0, weights=2, policy=2\), alternating"
    with pytest.raises(ValueError, match=message):
        network().fit(batches, verbose=0)


def test_a_network_without_a_policy_does_not_take_turns():
    fixed = keras_mtl.build_dynashare(keras.Input((5,)), TASKS, [[partial(ResidualDense, 5)]] * 2)
    frozen = network()
    for layer in frozen.layers:
        if layer.name.startswith("policy_"):
            layer.freeze()
    for model in (fixed, frozen):
        with pytest.raises(ValueError, match="no policy that learns. Give compile the optimizer"):
            model.compile(optimizer_of(PHASES))


def test_a_task_that_was_added_may_have_phases_of_its_own():
    grown = keras_mtl.add_task(network(), "size", "regression")
    grown.compile(optimizer_of(PolicyPhases(0, 1, 1)))


def test_an_old_file_with_phases_that_differ_loads(tmp_path):
    model = network()
    model.optimizer.phases = PolicyPhases(0, 9, 9)
    model.save(tmp_path / "old.keras")
    with pytest.warns(UserWarning, match="policy=9.* The network was loaded, and not compiled"):
        loaded = keras.models.load_model(tmp_path / "old.keras")
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("wrong", ["adam", None])
def test_both_are_single_keras_optimizers(wrong):
    for arguments in ((wrong, keras.optimizers.Adam()), (keras.optimizers.Adam(), wrong)):
        with pytest.raises(ValueError, match="must be a single Keras optimizer"):
            alternating_optimizer(*arguments, PHASES)
