"""Whether freezing keeps what was trained."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import check_freeze, export

BACKEND = keras.backend.backend()
FORMAT = "onnx" if BACKEND == "torch" else "tf_saved_model"


def sign_network(probability, **settings):
    """Returns a network whose every component tells the sign of its input, and examples.

    Components are used with `probability`; without any, the answer is always class 0. That is
    how it is in inference below one half, unless `min_components` keeps some.
    """
    layers = [[partial(keras.layers.Dense, 2)] * 8]
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((1,)), {"sign": 2}, layers, init_probability=probability,
        task_data="separate", **{"min_components": 0, **settings},
    )  # fmt: skip
    for component in model.get_layer("modular_1").components:
        component.set_weights([np.array([[-1.0, 1.0]]), np.zeros(2)])
    model.get_layer("heads").set_weights([np.eye(2), np.zeros(2)])
    model.compile("sgd")
    x = np.array([[-1.0], [1.0]] * 10, "float32")
    data = keras_mtl.task_batches(
        model.tasks, {"sign": (x, (x[:, 0] > 0).astype(int))}, batch_size=10, order="sequential"
    )
    return model, data


def test_half_is_one_bit_and_certainty_is_none(build, allocate):
    model = build(tasks={"a": 2, "b": 3})
    assert check_freeze(model).bits == pytest.approx(0.0, abs=1e-3)
    zeros = np.zeros((2, 4))
    allocate(model, [zeros, np.zeros((2, 3))], log_odds=0.0)
    assert check_freeze(model).bits == pytest.approx(2 * 4 + 2 * 3)


def test_the_least_certain_choice_is_named(build):
    model = build()
    logits = np.full((4, 3, 2), [15.0, 0.0])
    logits[1, 2] = [np.log(0.4), np.log(0.6)]
    model.get_layer("allocation_2").row_blocks[0].assign(logits)
    check = check_freeze(model)
    assert check.least_certain[:3] == ("age", "allocation_2", 3)
    assert check.least_certain.probability == pytest.approx(0.4)
    assert check.agreement["age"] == pytest.approx(0.6, abs=1e-3)
    assert check.agreement["income"] == pytest.approx(1.0, abs=1e-3)
    assert "least certain is task 'age' in 'allocation_2', component 3" in str(check)
    assert check.problems() == []  # most batches draw what is frozen


def test_an_undecided_allocation_is_a_problem(build, allocate):
    model = build()
    allocate(model, [np.ones((4, 4)), np.ones((4, 3))], log_odds=0.0)
    (problem,) = check_freeze(model).problems()
    assert "undecided" in problem and "Train longer" in problem and "entropy_weight" in problem


def test_a_given_allocation_needs_no_check():
    model = keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 2, "b": 3}, [[partial(keras.layers.Dense, 4)] * 2]
    )
    check = check_freeze(model)
    assert (check.bits, check.least_certain, check.problems()) == (0.0, None, [])
    assert str(check) == "Nothing to check: no allocation of this model is learned."


def test_an_allocation_that_was_settled_needs_no_check(build, allocate):
    model = build()
    allocate(model, [np.ones((4, 4)), np.ones((4, 3))], log_odds=0.0)
    for name in ("allocation_1", "allocation_2"):
        model.get_layer(name).freeze()
    assert check_freeze(model).least_certain is None


@pytest.mark.slow
def test_a_network_that_relies_on_its_draws_is_found_out():
    model, data = sign_network(probability=0.48)
    check = check_freeze(model, data)
    assert check.score == "mean_accuracy"
    assert check.frozen == 0.5  # no component has a probability of one half: zeros
    assert check.sampled_mean == 1.0
    assert any("Freezing costs quality. mean_accuracy is 0.5" in p for p in check.problems())
    assert "over 5 sampled allocations" in str(check)


def test_kept_components_are_what_is_frozen_and_scored():
    model, data = sign_network(probability=0.3, min_components=2)
    model.compile("sgd", run_eagerly=BACKEND != "jax")
    check = check_freeze(model, data, num_samples=2)
    assert check.agreement["sign"] == pytest.approx(0.3**2 * 0.7**6)
    assert check.least_certain[:3] == ("sign", "allocation_1", 1)
    assert check.least_certain.probability == pytest.approx(0.3)
    assert check.frozen == 1.0


@pytest.mark.slow
def test_a_draw_without_a_component_is_scored_as_training_sees_it():
    model, data = sign_network(probability=0.05, min_components=1)
    check = check_freeze(model, data, num_samples=40)
    assert check.frozen == 1.0 and set(check.sampled) == {0.5, 1.0}
    share_of_empty = np.mean(np.array(check.sampled) == 0.5)
    assert share_of_empty == pytest.approx(0.95**8, abs=0.2)  # of 40 draws
    literal, data = sign_network(probability=0.05)
    assert check_freeze(literal, data, num_samples=40).sampled == check.sampled


@pytest.mark.slow
def test_a_network_that_does_not_care_is_not_blamed_for_its_score():
    model, data = sign_network(probability=0.52)
    check = check_freeze(model, data)
    assert check.frozen == check.sampled_mean == 1.0
    assert [problem[:27] for problem in check.problems()] == ["The allocation is undecided"]


@pytest.mark.slow
def test_without_accuracy_the_loss_counts_and_penalties_do_not(build):
    model = build(tasks={"age": 3, "height": "regression"}, entropy_weight=5.0)
    model.compile("sgd")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 5)).astype("float32")
    y = {"age": rng.integers(3, size=12), "height": rng.normal(size=12).astype("float32")}
    model.get_layer("allocation_1").row_blocks[0].assign(rng.normal(size=(2, 4, 2)))
    check = check_freeze(model, (x, y))
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert check.score == "loss"
    assert logs["entropy_penalty"] > 1
    assert check.frozen == pytest.approx(logs["loss"] - logs["entropy_penalty"], abs=1e-5)
    assert len(set(check.sampled)) > 1


@pytest.mark.slow
def test_equal_seeds_draw_equal_allocations():
    model, data = sign_network(probability=0.3)
    first, second = (check_freeze(model, data, seed=3).sampled for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_the_model_is_left_bit_for_bit_as_it_was():
    model, data = sign_network(probability=0.3)
    before = [weight.copy() for weight in model.get_weights()]
    check_freeze(model, data)
    with pytest.raises(ValueError, match="x must be a dict"):
        check_freeze(model, (np.ones((3, 9)), np.ones(3)))
    for old, new in zip(before, model.get_weights(), strict=True):
        assert old.tobytes() == new.tobytes()


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing")
def test_forced_allocations_retrace_nothing():
    model, data = sign_network(probability=0.3)
    model.evaluate(data, verbose=0)
    layer, traces = model.get_layer("allocation_1"), []
    inner = layer.call
    layer.call = lambda *args, **kwargs: (traces.append(1), inner(*args, **kwargs))[1]
    check_freeze(model, data)
    assert traces == []


def test_one_sample_is_too_few(build):
    with pytest.raises(ValueError, match="num_samples must be at least 2.*Received: 1"):
        check_freeze(build(), num_samples=1)


@pytest.mark.slow
def test_export_passes_validation_data_on(tmp_path):
    model, data = sign_network(probability=0.48)
    with (
        pytest.warns(UserWarning, match="Freezing costs quality"),
        pytest.warns(UserWarning, match="The allocation is undecided"),
        pytest.warns(UserWarning, match="Task 'sign' has no component"),
    ):
        export(model, tmp_path / "1", format=FORMAT, validation_data=data)


# Policies that choose one component


@pytest.fixture(params=["clip", "softmax"])
def routed(request):
    """A network whose component tells the sign of a number or its opposite, 0.6 to 0.4."""
    model = keras_mtl.build_routing_network(
        keras.Input((1,)), {"sign": 2, "same": 2},
        [[partial(keras.layers.Dense, 1, use_bias=False)] * 2], projection=request.param,
    )  # fmt: skip
    policy = np.array([[0.4, 0.6], [0.0, 1.0]])
    layer = model.get_layer("allocation_1")
    if request.param == "softmax":
        layer.scores.assign(np.log(np.maximum(policy, 1e-12)))
    else:
        layer.policy.assign(policy)
    for component, slope in zip(model.get_layer("modular_1").components, (-1, 1), strict=True):
        component.set_weights([np.array([[slope]])])
    for task in model.tasks:
        model.get_layer(task).set_weights([np.array([[-1, 1]]), np.zeros(2)])
    model.compile("sgd")
    x = np.array([[-1.0], [1.0]] * 5, "float32")
    return model, (x, dict.fromkeys(model.tasks, (x[:, 0] > 0).astype(int)))


def test_the_entropy_of_a_policy_is_that_of_its_choice(routed):
    check = check_freeze(routed[0])
    assert check.bits == pytest.approx(-0.4 * np.log2(0.4) - 0.6 * np.log2(0.6), abs=1e-5)
    assert check.least_certain[:3] == ("sign", "allocation_1", 2)
    assert check.agreement == pytest.approx({"sign": 0.6, "same": 1.0}, abs=1e-5)
    assert check.problems() == []


@pytest.mark.slow
def test_components_of_a_policy_are_drawn_one_at_a_time(routed):
    model, data = routed
    before = [weight.copy() for weight in model.get_weights()]
    check = check_freeze(model, data, num_samples=40)
    assert check.frozen == 1.0  # of both tasks, of which one is right or wrong by the draw
    assert set(check.sampled) == {0.5, 1.0}
    assert 0.3 < np.mean(np.array(check.sampled) == 0.5) < 0.5
    for old, new in zip(before, model.get_weights(), strict=True):
        assert old.tobytes() == new.tobytes()


def test_an_undecided_policy_is_a_problem():
    model = keras_mtl.build_routing_network(
        keras.Input((5,)), {"a": 2, "b": 3}, [[partial(keras.layers.Dense, 4)] * 8] * 2
    )
    check = check_freeze(model)
    assert check.bits == pytest.approx(2 * 2 * 3)
    assert check.least_certain.probability == pytest.approx(1 / 8)
    (problem,) = check.problems()
    assert "undecided" in problem and "policy" in problem
