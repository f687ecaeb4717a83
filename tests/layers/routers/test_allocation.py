import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import AllocationMatrix, FixedAllocation
from keras_mtl.layers.routers.gumbel import logistic_noise
from tests.gradients import gradient

TASK_ID = np.array([2, 0, 0, 1, 2], "int32")  # B = 5 examples, T = 3 tasks, C = 4 components


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, "float64")))


def built(*arguments, **settings):
    allocation = AllocationMatrix(*arguments, **settings)
    allocation.build((None,))
    return allocation


def logits_of(allocation):
    (logits,) = allocation.row_blocks
    return logits


def reloaded(layer, tmp_path):
    inputs = keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras").layers[-1]


# Fixed allocations


def test_each_example_gets_the_row_of_its_task():
    matrix = np.array([[1, 0, 0.25, 0], [0, 1, 0, 0], [1, 1, 0, 0.5]], "float32")
    layer = FixedAllocation(matrix)
    np.testing.assert_array_equal(array(layer(TASK_ID)), matrix[[2, 0, 0, 1, 2]])
    np.testing.assert_array_equal(layer.matrix(), matrix)
    np.testing.assert_array_equal(array(layer.probabilities()), matrix)


def test_equal_rows_are_the_same_for_all():
    assert FixedAllocation([[1, 0], [1, 0], [1, 0]]).same_for_all
    assert not FixedAllocation([[1, 0], [1, 0], [1, 1]]).same_for_all
    assert not AllocationMatrix(2, 3).same_for_all


@pytest.mark.parametrize("wrong", [[1, 0, 1], [[0.5, 1.5]], [[-0.1, 1.0]], [[float("nan"), 1.0]]])
def test_a_fixed_allocation_is_a_matrix_of_numbers_from_0_to_1(wrong):
    with pytest.raises(ValueError, match="matrix of numbers in .0, 1.. Received"):
        FixedAllocation(wrong)


# Ids out of range


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_an_id_out_of_range_gives_nan_and_leaves_other_examples_alone(learned, training):
    layer = AllocationMatrix(3, 4, seed=0) if learned else FixedAllocation(np.ones((3, 4)))
    rows = array(layer(np.array([-1, 2, 3, 0, 99], "int32"), training=training))
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [True, False, True, False, True])
    assert np.isfinite(rows[[1, 3]]).all()


# The start


def test_a_number_starts_every_pair():
    allocation = built(3, 4, init_probability=0.8)
    assert tuple(logits_of(allocation).shape) == (3, 4, 2)
    np.testing.assert_allclose(
        array(logits_of(allocation)), np.full((3, 4, 2), np.log([0.8, 0.2])), rtol=1e-6
    )
    np.testing.assert_allclose(array(allocation.probabilities()), np.full((3, 4), 0.8), rtol=1e-6)


def test_a_matrix_starts_each_pair_on_its_own():
    start = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.9, 0.95, 0.99, 0.01]]
    for parameterization in ("two_logits", "log_odds"):
        allocation = built(3, 4, init_probability=start, parameterization=parameterization)
        np.testing.assert_allclose(array(allocation.probabilities()), start, rtol=1e-5)


def test_log_odds_are_one_number_per_pair():
    allocation = built(3, 4, init_probability=0.8, parameterization="log_odds")
    np.testing.assert_allclose(
        array(logits_of(allocation)), np.full((3, 4), np.log(4.0)), rtol=1e-6
    )


@pytest.mark.parametrize("probability", [0, 1, -0.5, 1.5, float("nan"), [[0.5, 1.0]] * 3])
def test_a_probability_outside_0_and_1_is_an_error(probability):
    with pytest.raises(ValueError, match="init_probability must be strictly between 0 and 1"):
        AllocationMatrix(3, 2, init_probability=probability)


@pytest.mark.parametrize("shape", [(4, 3), (3,), (3, 4, 1)])
def test_a_matrix_of_another_shape_is_an_error(shape):
    with pytest.raises(ValueError, match="row for each of 3 tasks and a column for each of 4"):
        AllocationMatrix(3, 4, init_probability=np.full(shape, 0.5))


def test_an_unknown_parameterization_is_an_error():
    with pytest.raises(ValueError, match='"two_logits" or "log_odds". Received: \'probit\''):
        AllocationMatrix(3, 4, parameterization="probit")


# Decisions


@pytest.mark.parametrize("parameterization", ["two_logits", "log_odds"])
def test_a_tie_is_active_in_inference(parameterization):
    allocation = built(3, 4, init_probability=0.5, parameterization=parameterization)
    np.testing.assert_array_equal(allocation.matrix(), np.ones((3, 4)))


def test_inference_takes_the_most_likely_matrix():
    start = [[0.9, 0.4, 0.5, 0.1], [0.2, 0.6, 0.3, 0.7], [0.1, 0.1, 0.1, 0.1]]
    allocation = built(3, 4, init_probability=start, min_components=0)
    expected = [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(allocation.matrix(), expected)
    np.testing.assert_array_equal(array(allocation(TASK_ID)), np.array(expected)[TASK_ID])


def test_one_draw_serves_all_examples_of_a_task_and_tasks_draw_apart():
    rows = array(AllocationMatrix(3, 40, seed=1)(TASK_ID, training=True))
    np.testing.assert_array_equal(rows[0], rows[4])
    np.testing.assert_array_equal(rows[1], rows[2])
    assert np.any(rows[0] != rows[1]) and np.any(rows[1] != rows[3])
    assert set(np.unique(rows)) == {0.0, 1.0}


def test_a_batch_of_one_task_and_a_mixed_batch_draw_the_same_rows():
    mixed = array(AllocationMatrix(3, 40, seed=7)(TASK_ID, training=True))
    alone = array(AllocationMatrix(3, 40, seed=7)(np.array([2, 2], "int32"), training=True))
    np.testing.assert_array_equal(alone, mixed[[0, 4]])


def test_rows_are_in_the_compute_dtype_and_logits_in_float32():
    allocation = AllocationMatrix(3, 4, dtype="mixed_bfloat16")
    rows = allocation(TASK_ID, training=True)
    assert keras.backend.standardize_dtype(rows.dtype) == "bfloat16"
    assert logits_of(allocation).dtype == "float32"


def test_probabilities_are_returned_beside_the_rows_on_request():
    allocation = AllocationMatrix(3, 4, init_probability=0.3, return_probabilities=True)
    rows, probabilities = allocation(TASK_ID)
    assert tuple(rows.shape) == (5, 4)
    np.testing.assert_allclose(array(probabilities), np.full((3, 4), 0.3), rtol=1e-5)


# A minimum of components


UNLIKELY = [[0.4, 0.1, 0.45, 0.45], [0.2, 0.6, 0.3, 0.3], [0.1, 0.1, 0.1, 0.1]]


@pytest.mark.parametrize("parameterization", ["two_logits", "log_odds"])
@pytest.mark.parametrize(
    ("min_components", "expected"),
    [
        (0, [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]),
        (1, [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]),
        (2, [[0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 0]]),
        (3, [[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 0]]),
        (4, [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]),
    ],
)
def test_a_row_keeps_its_most_likely_components_of_equals_the_first(
    parameterization, min_components, expected
):
    settings = dict(parameterization=parameterization, min_components=min_components)
    allocation = built(3, 4, init_probability=UNLIKELY, **settings)
    np.testing.assert_array_equal(allocation.matrix(), expected)
    np.testing.assert_array_equal(array(allocation(TASK_ID)), np.array(expected)[TASK_ID])
    np.testing.assert_array_equal(allocation.empty_rows(), [True, False, True])


def test_one_component_is_kept_unless_told_otherwise():
    np.testing.assert_array_equal(built(1, 3, init_probability=0.2).matrix(), [[1, 0, 0]])


def test_the_minimum_leaves_draws_alone():
    def draws(min_components):
        allocation = built(3, 4, 0.2, seed=0, min_components=min_components)
        return np.stack([array(allocation(TASK_ID, training=True)) for _ in range(10)])

    np.testing.assert_array_equal(draws(2), draws(0))
    assert np.any(draws(2).sum(axis=-1) == 0)


def test_the_minimum_leaves_gradients_alone():
    def slope(min_components):
        allocation = built(3, 4, UNLIKELY, temperature=1.0, min_components=min_components)
        return gradient(lambda: ops.sum(allocation(TASK_ID)), logits_of(allocation))

    np.testing.assert_array_equal(slope(2), slope(0))
    assert np.all(slope(2) != 0)


def test_a_frozen_allocation_keeps_the_minimum_in_training():
    allocation = built(3, 4, UNLIKELY)
    allocation.freeze()
    np.testing.assert_array_equal(array(allocation(np.arange(3), training=True))[0], [0, 0, 1, 0])


def test_settled_rows_keep_the_minimum_beside_draws():
    allocation = built(3, 4, UNLIKELY, num_added_tasks=2, seed=0)
    expected = [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(allocation.matrix(), expected)
    for _ in range(3):
        rows = array(allocation(np.arange(3), training=True))
        np.testing.assert_array_equal(rows[:2], expected[:2])


def test_what_has_probability_0_is_never_kept():
    allocation = built(1, 3, min_components=2, parameterization="log_odds")
    logits_of(allocation).assign([[-np.inf, -3.0, -np.inf]])
    np.testing.assert_array_equal(allocation.matrix(), [[0, 1, 0]])


@pytest.mark.parametrize("wrong", [-1, 5, 0.5, "1", None])
def test_a_minimum_that_the_layer_does_not_have_is_an_error(wrong):
    wanted = f"from 0 to the number of components. Layer 'routes' has 4. Received: {wrong!r}"
    with pytest.raises(ValueError, match=wanted):
        AllocationMatrix(3, 4, min_components=wrong, name="routes")


def test_a_config_from_before_the_minimum_means_none():
    config = AllocationMatrix(3, 4, init_probability=0.2).get_config()
    assert config.pop("min_components") == 1
    assert AllocationMatrix.from_config(config).min_components == 0


# Gradients


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_two_logits_is_plus_and_minus_that_of_the_sigmoid(seed):
    start = np.array([[0.5, 0.3, 0.9, 0.5], [0.5, 0.5, 0.5, 0.2], [0.7, 0.5, 0.1, 0.5]])
    allocation = built(3, 4, init_probability=start, temperature=2.0, seed=seed)
    slope = np.arange(1.0, 21.0, dtype="float32").reshape(5, 4)

    def loss():
        return ops.sum(ops.multiply(slope, allocation(TASK_ID, training=True)))

    found = gradient(loss, logits_of(allocation))
    noise = array(logistic_noise((3, 4), keras.random.SeedGenerator(seed)))
    soft = sigmoid((np.log(start / (1 - start)) + noise) / 2.0)
    by_task = np.stack([slope[TASK_ID == task].sum(axis=0) for task in range(3)])
    expected = by_task * soft * (1 - soft) / 2.0
    np.testing.assert_allclose(found, np.stack([expected, -expected], -1), rtol=1e-3, atol=1e-5)


def test_only_the_rows_of_tasks_in_the_batch_have_a_gradient():
    allocation = built(3, 4, temperature=1.0, seed=0)
    task_id = np.array([1, 1], "int32")
    found = gradient(lambda: ops.sum(allocation(task_id, training=True)), logits_of(allocation))
    assert np.all(found[[0, 2]] == 0) and np.all(found[1] != 0)


def test_the_same_constant_on_both_logits_changes_nothing():
    def answers(shift):
        allocation = built(3, 4, init_probability=0.6, temperature=1.0, seed=2)
        logits = logits_of(allocation)
        logits.assign(logits + shift)
        slopes = gradient(lambda: ops.sum(allocation(TASK_ID, training=True)), logits)
        return array(allocation(TASK_ID, training=True)), array(allocation.probabilities()), slopes

    for plain, shifted in zip(answers(0.0), answers(3.0), strict=True):
        np.testing.assert_allclose(shifted, plain, rtol=1e-4)


def test_under_adam_two_logits_move_the_log_odds_twice_as_far():
    def moved(parameterization):
        allocation = built(2, 3, parameterization=parameterization, temperature=1.0)
        logits = logits_of(allocation)
        slope = gradient(lambda: ops.sum(allocation(np.array([0, 1]))), logits)
        optimizer = keras.optimizers.Adam(0.01)
        optimizer.apply([ops.convert_to_tensor(slope)], [logits])
        probability = array(allocation.probabilities()).astype("float64")
        return np.log(probability / (1 - probability))

    np.testing.assert_allclose(moved("log_odds"), np.full((2, 3), -0.01), rtol=1e-3)
    np.testing.assert_allclose(moved("two_logits"), np.full((2, 3), -0.02), rtol=1e-3)


# The counter, freezing, saving


def test_the_counter_moves_in_training_only():
    allocation = AllocationMatrix(3, 4, seed=0)
    for training in (True, False, True, False, False):
        allocation(TASK_ID, training=training)
    allocation.matrix()
    assert int(allocation.router.updates.value) == 2


def test_logits_and_counter_are_saved(tmp_path):
    allocation = built(3, 4, seed=0)
    logits = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    logits_of(allocation).assign(logits)
    allocation.router.updates.assign(17)
    loaded = reloaded(allocation, tmp_path)
    np.testing.assert_array_equal(array(logits_of(loaded)), logits)
    assert int(loaded.router.updates.value) == 17


def test_a_frozen_allocation_neither_draws_nor_counts_nor_trains():
    allocation = AllocationMatrix(3, 40, init_probability=0.51, seed=0)
    allocation(TASK_ID, training=True)
    allocation.freeze()
    np.testing.assert_array_equal(array(allocation(TASK_ID, training=True)), np.ones((5, 40)))
    assert int(allocation.router.updates.value) == 1
    assert allocation.trainable_variables == []


def test_a_frozen_allocation_stays_frozen_when_reloaded(tmp_path):
    allocation = built(3, 40, init_probability=0.51, seed=0)
    allocation.freeze()
    loaded = reloaded(allocation, tmp_path)
    np.testing.assert_array_equal(array(loaded(TASK_ID, training=True)), np.ones((5, 40)))
    assert int(loaded.router.updates.value) == 0
    assert loaded.trainable_variables == []


def test_the_config_holds_every_setting():
    settings = dict(
        init_probability=[[0.25, 0.5]] * 3, parameterization="log_odds", temperature=3.0,
        return_probabilities=True, num_added_tasks=1, min_components=2, seed=9,
    )  # fmt: skip
    config = AllocationMatrix.from_config(
        AllocationMatrix(3, 2, **settings).get_config()
    ).get_config()
    assert {key: config[key] for key in settings} == settings
    assert (config["num_tasks"], config["num_components"]) == (3, 2)


# Added rows


def grown_from(probability=0.51, **settings):
    """Three tasks, of which the last two were added one by one."""
    return built(3, 40, init_probability=probability, num_added_tasks=2, **settings)


def test_added_rows_are_variables_of_their_own_and_only_the_newest_trains():
    allocation = grown_from()
    assert [(v.name, tuple(v.shape)) for v in allocation.row_blocks] == [
        ("logits", (1, 40, 2)),
        ("logits_added_1", (1, 40, 2)),
        ("logits_added_2", (1, 40, 2)),
    ]
    assert [v.name for v in allocation.trainable_variables] == ["logits_added_2"]


def test_only_the_newest_row_samples():
    rows = array(grown_from(seed=0)(np.array([0, 1, 2], "int32"), training=True))
    np.testing.assert_array_equal(rows[:2], np.ones((2, 40)))
    assert 5 < rows[2].sum() < 35


def test_added_rows_keep_the_order_of_tasks():
    start = np.repeat([[0.9], [0.2], [0.7]], 40, axis=1)
    allocation = grown_from(start, parameterization="log_odds")
    np.testing.assert_allclose(array(allocation.probabilities()), start, rtol=1e-5)
    np.testing.assert_array_equal(allocation.matrix()[:, 1], [1, 0, 1])


def test_only_the_newest_row_has_a_gradient():
    allocation = grown_from(seed=0, temperature=1.0)
    newest = allocation.row_blocks[-1]
    task_id = np.array([0, 1, 2], "int32")
    assert np.all(gradient(lambda: ops.sum(allocation(task_id, training=True)), newest) != 0)


def test_added_rows_survive_saving(tmp_path):
    allocation = grown_from()
    for index, block in enumerate(allocation.row_blocks):
        block.assign(np.full(block.shape, index, "float32"))
    loaded = reloaded(allocation, tmp_path)
    for index, block in enumerate(loaded.row_blocks):
        assert np.all(array(block) == index)
    assert [v.name for v in loaded.trainable_variables] == ["logits_added_2"]
