import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import RampSchedule
from keras_mtl.layers import AdversarialPenalty, OrthogonalityPenalty
from tests.gradients import gradient, gradients

RNG = np.random.default_rng(0)
TASK_ID = np.array([2, 0, 1, 1, 2], "int32")  # B = 5, T = 3
SHARED = RNG.normal(size=(5, 4)).astype("float32")  # 4 shared units
PRIVATE = [RNG.normal(size=(5, 2)).astype("float32") for _ in range(3)]  # 2 private ones
FEATURES = np.arange(10, dtype="float32").reshape(5, 2)


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def value(layer, *inputs):
    """Returns what a layer adds to the loss, after a check that logs are told the same."""
    layer(FEATURES, *inputs)
    (loss,) = layer.losses
    layer._clear_losses()
    (latest,) = layer.penalties.values()
    assert float(array(latest.value)) == float(array(loss))
    return float(array(loss))


def loss_of(layer, *inputs):
    layer(FEATURES, *inputs)
    (loss,) = layer.losses
    layer._clear_losses()
    return loss


# A classifier to be misled


def adversary(weight=1.0):
    layer = AdversarialPenalty(3, weight)
    layer.build((5, 2), (5, 4), (5,))
    layer.kernel.assign(RNG.normal(size=(4, 3)))
    layer.bias.assign([0.5, -1.0, 0.25])
    return layer


def guesses(layer):
    kernel, bias = layer.get_weights()[:2]
    scores = np.exp(SHARED @ kernel + bias)
    return scores / scores.sum(axis=1, keepdims=True)


def test_a_classifier_without_an_idea_costs_log_of_the_number_of_tasks():
    layer = AdversarialPenalty(3, weight=0.5)
    layer.build((5, 2), (5, 4), (5,))
    layer.kernel.assign(np.zeros((4, 3)))
    np.testing.assert_allclose(value(layer, SHARED, TASK_ID), 0.5 * np.log(3), rtol=1e-6)


def test_the_penalty_is_the_mean_cross_entropy_of_the_tasks():
    layer = adversary(weight=0.2)
    expected = -0.2 * np.mean(np.log(guesses(layer)[np.arange(5), TASK_ID]))
    np.testing.assert_allclose(value(layer, SHARED, TASK_ID), expected, rtol=1e-5)


def test_the_classifier_learns_to_guess_and_the_states_to_hide():
    layer, states = adversary(weight=0.2), keras.Variable(SHARED)
    wrong = 0.2 * (guesses(layer) - np.eye(3)[TASK_ID]) / 5
    kernel, bias, hidden = gradients(
        lambda: loss_of(layer, ops.convert_to_tensor(states), TASK_ID),
        [layer.kernel, layer.bias, states],
    )
    np.testing.assert_allclose(kernel, SHARED.T @ wrong, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, wrong.sum(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(hidden, -wrong @ layer.get_weights()[0].T, rtol=1e-4, atol=1e-6)


def test_examples_of_no_task_cost_nothing():
    layer = adversary()
    unknown = np.array([2, -1, 3, 1, 2], "int32")
    known = [0, 3, 4]
    expected = -np.log(guesses(layer)[known, unknown[known]]).sum() / 5
    np.testing.assert_allclose(value(layer, SHARED, unknown), expected, rtol=1e-5)


# Inner products of shared and private states


def test_the_sum_is_that_of_squared_inner_products_of_units():
    shared = np.array([[1, 0], [2, 1], [0, 3]], "float32")
    first = np.array([[1], [1], [2]], "float32")  # inner products 3 and 7
    second = np.array([[0], [2], [-1]], "float32")  # inner products 4 and -1
    layer = OrthogonalityPenalty(1.0, "sum")
    layer(FEATURES[:3], shared, [first, second])
    assert [float(array(loss)) for loss in layer.losses] == [9 + 49 + 16 + 1]
    layer = OrthogonalityPenalty(0.5, "sum")
    layer(FEATURES[:3], shared, [first, second], np.array([0, 1, 0], "int32"))
    # Task 0 has the first and last rows: 1 and 6. Task 1 has the second: 4 and 2.
    assert [float(array(loss)) for loss in layer.losses] == [0.5 * (1 + 36 + 16 + 4)]


@pytest.mark.parametrize("reduction", ["sum", "normalised_mean"])
def test_orthogonal_states_cost_nothing(reduction):
    shared = np.array([[1, -1], [1, -1], [-1, 1], [-1, 1]], "float32")
    private = np.array([[1, 2], [-1, -2], [1, 2], [-1, -2]], "float32")
    layer = OrthogonalityPenalty(1.0, reduction)
    layer(np.zeros((4, 2), "float32"), shared, [private, -private])
    np.testing.assert_allclose([float(array(loss)) for loss in layer.losses], [0], atol=1e-12)


def test_states_along_one_line_that_agree_cost_one():
    line = np.array([[3, 3], [1, 1], [-2, -2], [0, 0], [9, 9]], "float32")
    for private in (line, 2 - line, line[:, :1]):
        found = value(OrthogonalityPenalty(1.0), line, [private])
        np.testing.assert_allclose(found, 1, rtol=1e-5)


def reference(shared, private):
    """Centred, rows of length 1, then the mean over pairs of units of squared sums."""
    directions = []
    for states in (shared, private):
        centred = states - states.mean(axis=0)
        directions.append(centred / np.linalg.norm(centred, axis=1, keepdims=True))
    return np.mean((directions[0].T @ directions[1]) ** 2)


def test_the_normalised_mean_is_the_reference_times_pairs_of_units_over_examples_squared():
    expected = 0.3 * sum(reference(SHARED, states) for states in PRIVATE) * 4 * 2 / 5**2
    found = value(OrthogonalityPenalty(0.3), SHARED, PRIVATE)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("task_id", [None, TASK_ID], ids=["shared", "separate"])
def test_the_normalised_mean_does_not_depend_on_the_size_of_the_batch(task_id):
    whose = [] if task_id is None else [task_id]
    once = value(OrthogonalityPenalty(1.0), SHARED, PRIVATE, *whose)
    layer = OrthogonalityPenalty(1.0)
    layer(
        np.tile(FEATURES, (3, 1)),
        np.tile(SHARED, (3, 1)),
        [np.tile(states, (3, 1)) for states in PRIVATE],
        *[np.tile(ids, 3) for ids in whose],
    )
    np.testing.assert_allclose([float(array(loss)) for loss in layer.losses], [once], rtol=1e-5)
    assert 0 < once < 3


def test_a_batch_pays_for_the_tasks_it_holds_by_their_share():
    shared, private = RNG.normal(size=(2, 6, 4)).astype("float32")
    task_id = np.array([1, 0, 1, 1, 0, 1], "int32")
    streams = [private, private[:, ::-1] + 1]
    layer = OrthogonalityPenalty(1.0)
    layer(np.zeros((6, 2), "float32"), shared, streams, task_id)
    expected = 0.0
    for task, (share, count) in enumerate([(2 / 6, 2), (4 / 6, 4)]):
        rows = task_id == task
        expected += share * reference(shared[rows], streams[task][rows]) * 4 * 4 / count**2
    np.testing.assert_allclose([float(array(loss)) for loss in layer.losses], [expected], rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "normalised_mean"])
def test_only_a_tasks_own_examples_count_for_its_private_states(reduction):
    others = [
        np.where((TASK_ID == task)[:, None], states, 99).astype("float32")
        for task, states in enumerate(PRIVATE)
    ]
    found = value(OrthogonalityPenalty(1.0, reduction), SHARED, others, TASK_ID)
    expected = value(OrthogonalityPenalty(1.0, reduction), SHARED, PRIVATE, TASK_ID)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_gradient_of_the_sum_is_twice_the_weight_times_s_s_h():
    states, layer = keras.Variable(PRIVATE[0]), OrthogonalityPenalty(0.3, "sum")
    layer.build((5, 2), (5, 4), [(5, 2)])
    found = gradient(lambda: loss_of(layer, SHARED, [ops.convert_to_tensor(states)]), states)
    expected = 2 * 0.3 * SHARED @ SHARED.T @ PRIVATE[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "normalised_mean"])
def test_states_that_say_nothing_have_a_finite_gradient(reduction):
    constant = np.ones((5, 2), "float32")
    for shared, private in ((SHARED[:, :2], constant), (constant, PRIVATE[0])):
        states = keras.Variable(np.stack([shared, private]))
        layer = OrthogonalityPenalty(1.0, reduction)
        layer.build((5, 2), (5, 2), [(5, 2)] * 3, (5,))

        def loss(states=states, layer=layer):
            first, second = ops.unstack(ops.convert_to_tensor(states), 2)
            return loss_of(layer, first, [second, second, second], np.array([0, 1, 1, 1, 1]))

        assert np.all(np.isfinite(gradient(loss, states)))


def test_a_single_example_of_a_task_has_no_direction():
    one = np.array([2, 0, 1, 0, 0], "int32")
    changed = [PRIVATE[0], PRIVATE[1] * 7, PRIVATE[2] - 3]
    first, second = (value(OrthogonalityPenalty(1.0), SHARED, x, one) for x in (PRIVATE, changed))
    assert first == second > 0


# Both


@pytest.fixture(params=["adversarial", "orthogonality"])
def penalty(request):
    """A layer and its call arguments after the features."""
    if request.param == "adversarial":
        return AdversarialPenalty(3, 0.2), [SHARED, TASK_ID]
    return OrthogonalityPenalty(0.2, "sum"), [SHARED, PRIVATE, TASK_ID]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_pass_through_as_they_are(penalty, dtype):
    layer, inputs = penalty
    features = FEATURES.astype(dtype)
    outputs = layer(features, *inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    np.testing.assert_array_equal(array(outputs), FEATURES)


def test_half_precision_states_are_judged_in_full(penalty):
    layer, inputs = penalty
    rounded = keras.tree.map_structure(
        lambda x: x if x.dtype == "int32" else x.astype("float16"), inputs
    )
    full = keras.tree.map_structure(
        lambda x: x if x.dtype == "int32" else x.astype("float32"), rounded
    )
    assert value(layer, *rounded) == value(layer, *full)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_mixed_policy_changes_no_penalty(penalty, policy):
    layer, inputs = penalty
    mixed = type(layer).from_config(layer.get_config() | {"dtype": policy})
    expected = value(layer, *inputs)
    mixed(FEATURES, *inputs)
    mixed._clear_losses()
    mixed.set_weights(layer.get_weights())
    assert value(mixed, *inputs) == expected


def test_a_weight_may_follow_the_batches(penalty):
    like, inputs = penalty
    layer = type(like).from_config(like.get_config() | {"weight": RampSchedule(6.0, 2)})
    layer(FEATURES, *inputs)
    layer.set_weights([*like_weights(like, inputs), *layer.get_weights()[-2:]])
    full, found = value(like, *inputs) / 0.2, []
    for training in (True, False, True, True):
        layer._clear_losses()
        layer(FEATURES, *inputs, training=training)
        found.append(float(array(layer.losses[0])) / full)
    assert found == pytest.approx([0, 3, 3, 6], rel=1e-5)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config() and callable(copy.weight)


def like_weights(layer, inputs):
    """Returns the values of the weights that learn."""
    layer(FEATURES, *inputs)
    return layer.get_weights()[: len(layer.trainable_weights)]


def test_batches_are_counted_where_a_schedule_asks_for_them_only(penalty):
    layer, inputs = penalty  # files from before schedules were taken hold no counter
    layer(FEATURES, *inputs)
    assert not [weight.name for weight in layer.weights if weight.name == "updates"]


def test_a_frozen_network_has_no_penalty(penalty):
    layer, inputs = penalty
    assert layer.frozen(None, FEATURES, *inputs) is FEATURES


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), "1"])
@pytest.mark.parametrize(
    "make",
    [lambda w, **k: AdversarialPenalty(3, w, **k), OrthogonalityPenalty],
    ids=["adversarial", "orthogonality"],
)
def test_a_weight_that_is_no_number_of_at_least_0_is_an_error(make, weight):
    with pytest.raises(ValueError, match="weight must be a number of at least 0 or a schedule. "):
        make(weight, name="apart")


def test_an_unknown_reduction_is_an_error():
    wanted = 'reduction must be "normalised_mean" or "sum". Received: \'mean\''
    with pytest.raises(ValueError, match=wanted):
        OrthogonalityPenalty(reduction="mean")
