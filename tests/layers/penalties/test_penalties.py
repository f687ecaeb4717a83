import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import RampSchedule
from keras_mtl.layers import AllocationMatrix, AllocationPenalty
from tests.gradients import gradient

# Two layers, T = 3 tasks, C = 2 and 4 components.
P = [
    np.array([[0.9, 0.7], [0.5, 0.5], [0.0, 1.0]], "float32"),
    np.array([[0.8, 0.6, 0.4, 0.2], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0]], "float32"),
]
FEATURES = np.arange(8, dtype="float32").reshape(4, 2)


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def losses_of(task_id, training=False, **settings):
    layer = AllocationPenalty(**settings)
    layer(FEATURES[: len(task_id)], np.array(task_id, "int32"), P, training=training)
    return [float(array(loss)) for loss in layer.losses]


def entropy(*probabilities):
    """In nats, of Bernoulli variables with none at 0 or 1."""
    p = np.array(probabilities)
    return -np.sum(p * np.log(p) + (1 - p) * np.log(1 - p))


# Budget


def test_budget_is_the_expected_fraction_above_the_limit():
    # Task 0 expects 0.9 + 0.7 + 0.8 + 0.6 + 0.4 + 0.2 = 3.6 of 6 components.
    np.testing.assert_allclose(losses_of([0], budget=0.4), [0.2], rtol=1e-5)
    np.testing.assert_allclose(losses_of([0], budget=0.4, budget_weight=5.0), [1.0], rtol=1e-5)


def test_budget_is_exactly_zero_at_the_limit_and_below():
    assert losses_of([1], budget=0.3334) == [0.0]  # 2 of 6
    assert losses_of([2], budget=1 / 6) == [0.0]  # 1 of 6


def test_a_budget_of_one_never_costs():
    layer = AllocationPenalty(budget=1.0)
    layer(FEATURES, np.zeros(4, "int32"), [np.ones((3, 4), "float32")])
    assert [float(array(loss)) for loss in layer.losses] == [0.0]


def test_a_batch_pays_for_the_tasks_it_holds():
    # Fractions 0.6, 1/3 and 1/6 are 0.5, 0.2333 and 0.0667 above 0.1.
    expected = (0.5 + 0.5 + 0.0667 + 0.2333) / 4
    np.testing.assert_allclose(losses_of([0, 0, 2, 1], budget=0.1), [expected], rtol=1e-3)


def test_a_global_budget_limits_the_mean_over_tasks_whichever_task_comes():
    # The mean of 0.6, 1/3 and 1/6 is 0.36667.
    for task_id in ([0], [1], [2, 2, 0]):
        found = losses_of(task_id, budget=0.3, budget_scope="global")
        np.testing.assert_allclose(found, [0.0666667], rtol=1e-4)
    assert losses_of([0], budget=0.4, budget_scope="global") == [0.0]


def allocation_and_loss(probability, budget, weight):
    allocation = AllocationMatrix(3, 4, init_probability=probability)
    allocation.build((None,))
    penalty = AllocationPenalty(budget, weight)
    penalty.build((None, 2), (None,), [(3, 4), (3, 2)])
    other = np.full((3, 2), probability, "float32")

    def loss():
        penalty(FEATURES, np.ones(4, "int32"), [allocation.probabilities(), other])
        (value,) = penalty.losses
        penalty._clear_losses()
        return value

    return allocation, loss


def test_the_budgets_gradient_is_weight_times_p_times_q_over_all_components():
    allocation, loss = allocation_and_loss(0.8, budget=0.5, weight=3.0)
    found = gradient(loss, allocation.row_blocks[0])
    slope = 3.0 * 0.8 * 0.2 / 6
    expected = np.zeros((3, 4, 2))
    expected[1] = [slope, -slope]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)


def test_within_the_budget_there_is_no_gradient():
    allocation, loss = allocation_and_loss(0.3, budget=0.5, weight=3.0)
    assert np.all(gradient(loss, allocation.row_blocks[0]) == 0)


# Entropy and disconnect


def test_entropy_is_the_sum_over_layers_and_components():
    expected = entropy(0.9, 0.7, 0.8, 0.6, 0.4, 0.2)
    np.testing.assert_allclose(losses_of([0], entropy_weight=0.1), [0.1 * expected], rtol=1e-5)
    np.testing.assert_allclose(losses_of([2], entropy_weight=1.0), [0.0], atol=1e-5)


def test_disconnect_is_the_chance_of_no_component_summed_over_layers():
    # Task 0: 0.1 * 0.3 + 0.2 * 0.4 * 0.6 * 0.8; task 2: 1.0 * 0.0 + 1.0.
    np.testing.assert_allclose(losses_of([0], disconnect_weight=1.0), [0.0684], rtol=1e-4)
    np.testing.assert_allclose(losses_of([2], disconnect_weight=2.0), [2.0], rtol=1e-6)


def test_penalties_at_probabilities_0_and_1_have_finite_gradients():
    probability = keras.Variable(np.array([[0.0, 1.0, 1.0, 0.5]], "float32"))
    layer = AllocationPenalty(budget=0.1, entropy_weight=1.0, disconnect_weight=1.0)
    layer.build((None, 2), (None,), [(1, 4)])

    def loss():
        layer(FEATURES, np.zeros(4, "int32"), [ops.convert_to_tensor(probability)])
        losses = layer.losses
        assert len(losses) == 3
        layer._clear_losses()
        return sum(losses)

    assert np.all(np.isfinite(gradient(loss, probability)))


# Weights


def test_a_schedule_as_weight_follows_the_training_batches():
    layer = AllocationPenalty(budget=0.1, budget_weight=RampSchedule(10.0, 4))
    values = []
    for training in (True, True, False, True, True, True, True):
        layer(FEATURES, np.zeros(4, "int32"), P, training=training)
        values.append(float(array(layer.penalties["budget_penalty"].value)))
    np.testing.assert_allclose(values, [0.0, 1.25, 2.5, 2.5, 3.75, 5.0, 5.0], rtol=1e-5)
    assert int(layer.updates.value) == 6


def test_repeats_multiply_because_the_losses_of_tasks_are_summed():
    np.testing.assert_allclose(losses_of([0], budget=0.4, num_repeats=3), [0.6], rtol=1e-5)


def test_penalties_in_use_are_named_and_others_are_not_computed():
    layer = AllocationPenalty(budget=0.4, entropy_weight=0.1, disconnect_weight=0.0)
    layer(FEATURES, np.zeros(4, "int32"), P)
    assert layer.in_use == ["budget", "entropy"]
    assert len(layer.losses) == 2
    values = {name: float(array(value.value)) for name, value in layer.penalties.items()}
    expected = {
        "budget_penalty": 0.2,
        "entropy_penalty": 0.1 * entropy(0.9, 0.7, 0.8, 0.6, 0.4, 0.2),
    }
    assert values == pytest.approx(expected, rel=1e-5)


def test_a_budget_weight_without_a_budget_is_not_in_use():
    assert AllocationPenalty(budget_weight=7.0).in_use == []


def test_a_budget_weight_without_a_budget_survives_the_config_round_trip():
    config = AllocationPenalty(budget_weight=7.0).get_config()
    assert AllocationPenalty.from_config(config).get_config()["budget_weight"] == 7.0


def test_features_pass_through_as_they_are():
    layer = AllocationPenalty(budget=0.4)
    np.testing.assert_array_equal(array(layer(FEATURES, np.zeros(4, "int32"), P)), FEATURES)


def test_schedules_survive_the_config_round_trip():
    layer = AllocationPenalty(0.5, RampSchedule(2.0, 10), "global", 0.1, RampSchedule(1.0, 5), 3)
    config = AllocationPenalty.from_config(layer.get_config()).get_config()
    assert config == layer.get_config()


# Errors


@pytest.mark.parametrize("budget", [0, -0.2, 1.1, float("nan")])
def test_a_budget_outside_0_and_1_is_an_error(budget):
    with pytest.raises(ValueError, match=r"budget must be a number in \(0, 1\]"):
        AllocationPenalty(budget)


@pytest.mark.parametrize("name", ["budget_weight", "entropy_weight", "disconnect_weight"])
def test_a_negative_weight_is_an_error(name):
    with pytest.raises(ValueError, match=f"{name} must be a number of at least 0 or a schedule"):
        AllocationPenalty(0.5, **{name: -0.1})


def test_an_unknown_scope_is_an_error():
    with pytest.raises(ValueError, match='budget_scope must be "task" or "global". .*\'layer\''):
        AllocationPenalty(0.5, budget_scope="layer")
