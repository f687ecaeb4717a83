import numpy as np
import pytest
from keras import ops

from keras_mtl import RampSchedule
from keras_mtl.layers import PolicyPenalty
from tests.layers.modular import array

FEATURES = np.ones((4, 2), "float32")


def logits_of(alphas):
    """Returns the logits of the blocks from the (tasks, blocks) chances to execute them."""
    alphas = np.asarray(alphas, "float64").T
    return list(np.log(np.stack([alphas, 1 - alphas], axis=-1)).astype("float32"))


def penalties(alphas, training=False, **settings):
    """Returns the sparsity and the sharing penalty, after a check that they are the losses."""
    settings = {"sparsity_weight": 1.0, "sharing_weight": 1.0, **settings}
    layer = PolicyPenalty(settings.pop("starts", [0] * len(alphas[0])), **settings)
    layer(FEATURES, logits_of(alphas), training=training)
    found = [float(array(layer.penalties[f"{n}_penalty"])) for n in ("sparsity", "sharing")]
    assert [float(array(loss)) for loss in layer.losses] == pytest.approx(found)
    return found


ALPHAS = [[0.9, 0.5, 0.2], [0.4, 0.5, 0.6]]


def test_sparsity_by_hand():
    expected = -np.log([[0.1, 0.5, 0.8], [0.6, 0.5, 0.4]]).mean(axis=1).sum()
    assert penalties(ALPHAS)[0] == pytest.approx(expected, rel=1e-5)


def test_sparsity_as_the_paper_prints_it():
    found = penalties(ALPHAS, sparsity="log_alpha")[0]
    assert found == pytest.approx(np.log(ALPHAS).sum(), rel=1e-5)


def test_sharing_by_hand_falls_with_the_depth():
    expected = 1 * 0.5 + 2 / 3 * 0 + 1 / 3 * 0.4
    assert penalties(ALPHAS)[1] == pytest.approx(expected, rel=1e-4)


def test_sharing_as_in_the_reference_code_grows_with_the_depth_on_logits():
    first = np.abs(np.log(0.9) - np.log(0.4)) / 3
    last = np.abs(np.log(0.2) - np.log(0.6)) * 3 / 3
    assert penalties(ALPHAS, sharing="reference")[1] == pytest.approx(first + last, rel=1e-5)


def test_every_pair_of_tasks_counts_once():
    found = penalties([[0.1], [0.3], [0.7]])[1]
    assert found == pytest.approx(0.2 + 0.6 + 0.4, rel=1e-4)


def test_the_order_of_tasks_is_nothing_to_the_penalties():
    assert penalties(ALPHAS) == pytest.approx(penalties(ALPHAS[::-1]), rel=1e-6)


def test_tasks_that_agree_share_for_nothing():
    assert penalties([[0.3, 0.8]] * 3)[1] == 0


def test_disagreeing_first_costs_as_many_times_as_there_are_blocks():
    first = [[0.2, 0.5, 0.5, 0.5], [0.7, 0.5, 0.5, 0.5]]
    last = [row[::-1] for row in first]
    assert penalties(first)[1] == pytest.approx(4 * penalties(last)[1], rel=1e-4)


def test_sparsity_grows_with_every_chance_and_is_0_when_all_blocks_are_skipped():
    assert penalties([[1e-7, 1e-7]])[0] == pytest.approx(0, abs=1e-6)
    base = penalties([[0.3, 0.8], [0.5, 0.9]])[0]
    for task in (0, 1):
        for block in (0, 1):
            alphas = np.array([[0.3, 0.8], [0.5, 0.9]])
            alphas[task, block] += 0.05
            assert penalties(alphas.tolist())[0] > base


def test_blocks_that_nobody_may_skip_yet_do_not_count():
    starts = [4, 2, 0]
    layer = PolicyPenalty(starts, sparsity_weight=1.0, sharing_weight=1.0)
    alphas = np.array(ALPHAS)
    for batch in range(6):
        layer(FEATURES, logits_of(ALPHAS), training=True)
        free = np.array(starts) <= batch
        sparsity = -np.log(1 - alphas[:, free]).mean(axis=1).sum()
        sharing = (np.array([1, 2 / 3, 1 / 3]) * np.abs(alphas[0] - alphas[1]))[free].sum()
        found = [float(array(layer.penalties[f"{n}_penalty"])) for n in ("sparsity", "sharing")]
        assert found == pytest.approx([sparsity, sharing], rel=1e-4), batch


def test_before_any_block_is_free_there_is_no_penalty():
    assert penalties(ALPHAS, starts=[1, 1, 1]) == [0, 0]


def test_weights_may_follow_the_batches():
    layer = PolicyPenalty([0], RampSchedule(6.0, 2), 0.0)
    found = []
    for _ in range(3):
        layer(FEATURES, logits_of([[0.5]]), training=True)
        found.append(float(array(layer.penalties["sparsity_penalty"])))
    assert found == pytest.approx([0, 3 * np.log(2), 6 * np.log(2)], rel=1e-5)


def test_features_pass_and_a_frozen_network_has_no_penalty():
    layer = PolicyPenalty([0])
    assert array(layer(FEATURES, logits_of([[0.5]]))).tolist() == FEATURES.tolist()
    assert layer.frozen(None, FEATURES, [None]) is FEATURES


def test_it_survives_the_config_round_trip():
    layer = PolicyPenalty([3, 0], RampSchedule(2.0, 9), 0.1, "log_alpha", "reference")
    assert PolicyPenalty.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sparsity": "alpha"}, 'sparsity must be "skip" or "log_alpha". Received: \'alpha\''),
        ({"sharing": "paper"}, 'sharing must be "decreasing" or "reference". Received: \'paper\''),
        ({"sparsity_weight": -1}, "sparsity_weight must be a number of at least 0 or a schedule"),
        ({"sharing_weight": -1}, "sharing_weight must be a number of at least 0 or a schedule"),
    ],
)
def test_forms_and_weights_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolicyPenalty([0], **wrong)


# Relative to the tasks' losses


def test_weights_are_relative_to_the_mean_loss_of_some_batches():
    layer = PolicyPenalty([0, 0, 0], 1.0, 1.0, relative_to=(1, 2))
    found = []
    for loss in (9.0, 2.0, 4.0, 7.0):
        layer(FEATURES, logits_of(ALPHAS), training=True)
        layer.see_task_loss(ops.convert_to_tensor(loss))
        found.append(float(array(layer.task_loss)))
    assert found == [0, 2, 3, 3]
    layer(FEATURES, logits_of(ALPHAS))
    relative = [float(array(layer.penalties[f"{n}_penalty"])) for n in ("sparsity", "sharing")]
    np.testing.assert_allclose(relative, 3 * np.array(penalties(ALPHAS)), rtol=1e-6)


@pytest.mark.parametrize("wrong", [3, (1,), (-1, 2), (0, 0), (0.5, 2), (1, 2, 3), "ab"])
def test_what_weights_are_relative_to_is_a_pair_of_numbers_of_batches(wrong):
    with pytest.raises(ValueError, match=r"relative_to must be \(first, number\) of training"):
        PolicyPenalty([0], relative_to=wrong)
