import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import Allocation, BlockPolicy
from keras_mtl.layers.routers import gumbel
from tests.gradients import gradient

TASK_ID = np.array([2, 0, 1, 1, 2], "int32")
PROBABILITY = [[0.9], [0.2], [0.6]]


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def policy(**settings):
    layer = BlockPolicy(3, **{"init_probability": PROBABILITY, "temperature": 1.0, **settings})
    layer.build(TASK_ID.shape)
    return layer


@pytest.fixture
def noise(monkeypatch):
    """Gives the draws of three tasks noise by hand."""
    given = np.array([[-1.0], [0.5], [0.3]], "float32")
    monkeypatch.setattr(gumbel, "logistic_noise", lambda shape, seed: ops.convert_to_tensor(given))
    return given


def test_in_inference_a_task_executes_the_block_when_that_is_likely():
    execute, logits = policy()(TASK_ID)
    assert array(execute).tolist() == [[1], [1], [0], [0], [1]]
    expected = np.log(np.concatenate([PROBABILITY, 1 - np.array(PROBABILITY)], axis=1))
    np.testing.assert_allclose(array(logits), expected, rtol=1e-5)


def test_an_even_chance_executes():
    assert array(policy(init_probability=0.5)(TASK_ID)[0]).min() == 1


def test_the_first_logit_is_execute():
    layer = policy(init_probability=0.5)
    layer.row_blocks[0].assign([[[0, 9]], [[9, 0]], [[1, 1]]])
    assert array(layer(TASK_ID)[0])[:, 0].tolist() == [1, 0, 1, 1, 1]


def test_a_relaxed_draw_by_hand(noise):
    odds = np.log(np.array(PROBABILITY) / (1 - np.array(PROBABILITY)))
    for temperature in (1.0, 3.0):
        execute, _ = policy(temperature=temperature)(TASK_ID, training=True)
        expected = 1 / (1 + np.exp(-(odds + noise) / temperature))
        np.testing.assert_allclose(array(execute), expected[TASK_ID], rtol=1e-5)
        assert 0 < array(execute).min() and array(execute).max() < 1


def test_at_a_low_temperature_relaxed_and_hard_draws_are_one(noise):
    relaxed = array(policy(temperature=1e-4)(TASK_ID, training=True)[0])
    hard = array(policy(temperature=1e-4, hard=True)(TASK_ID, training=True)[0])
    np.testing.assert_allclose(relaxed, hard, atol=1e-6)
    assert set(hard.flatten()) == {0, 1}


def test_relaxed_and_hard_draws_have_one_gradient(noise):
    found = []
    for hard in (False, True):
        layer = policy(temperature=2.0, hard=hard)
        slope = gradient(
            lambda layer=layer: ops.sum(layer(TASK_ID, training=True)[0]), layer.row_blocks[0]
        )
        found.append(slope)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    np.testing.assert_allclose(found[0][..., 0], -found[0][..., 1], rtol=1e-5)
    assert np.all(found[0][..., 0] > 0)


@pytest.mark.slow
def test_a_hard_draw_executes_as_often_as_its_probability():
    layer = policy(hard=True, seed=0)
    draws = np.mean(
        [array(layer(np.arange(3), training=True)[0])[:, 0] for _ in range(600)], axis=0
    )
    bound = 4 * np.sqrt(0.25 / 600)
    np.testing.assert_allclose(draws, np.array(PROBABILITY)[:, 0], atol=bound)


def test_one_draw_serves_all_examples_of_a_task():
    draws = array(policy(seed=0)(TASK_ID, training=True)[0])[:, 0]
    assert draws[0] == draws[4] and draws[2] == draws[3] and len(set(draws)) == 3


def test_until_its_start_all_tasks_execute_the_block():
    layer = policy(init_probability=0.1, start=2, seed=0)
    for _ in range(2):
        assert array(layer(TASK_ID)[0]).min() == 1
        slope = gradient(lambda: ops.sum(layer(TASK_ID, training=False)[0]), layer.row_blocks[0])
        assert np.all(slope == 0)
        assert array(layer(TASK_ID, training=True)[0]).min() == 1
    assert array(layer(TASK_ID, training=True)[0]).max() < 1  # the third batch
    assert array(layer(TASK_ID)[0]).max() == 0
    assert int(layer.batches.numpy()) == 3


def test_an_unknown_task_is_nan():
    assert np.isnan(array(policy()(np.array([3, -1]))[0])).all()


def test_it_is_an_allocation_of_one_component():
    layer = policy()
    assert isinstance(layer, Allocation) and layer.matrix().tolist() == [[1], [0], [1]]
    np.testing.assert_allclose(array(layer.probabilities()), PROBABILITY, rtol=1e-5)


def test_it_survives_the_config_round_trip():
    layer = policy(start=7, hard=True, seed=3)
    copy = BlockPolicy.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.router.hard and copy.start == 7


def test_a_block_may_be_skipped_there_is_no_minimum():
    layer = policy(init_probability=0.1)
    assert layer.min_components == 0 and "min_components" not in layer.get_config()
    assert layer.matrix().tolist() == [[0], [0], [0]]


def test_a_start_is_a_number_of_batches():
    with pytest.raises(ValueError, match="start must be an integer of at least 0. Received: -1"):
        BlockPolicy(3, start=-1)


def test_a_probability_is_between_0_and_1():
    with pytest.raises(ValueError, match="init_probability must be strictly between 0 and 1"):
        BlockPolicy(3, init_probability=1.0)
