import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl.layers import RoutingPolicy
from keras_mtl.layers.routers.simplex import clipped_to_simplex, nearest_on_simplex
from tests.gradients import gradient

TASK_ID = np.array([2, 0, 1, 1, 2, 0, 0], "int32")  # B = 7 rows, T = 3 tasks, C = 4
TABLE = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], "float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def policy_of(table=TABLE, **settings):
    """Returns a policy with a given table, or the scores that stand for it."""
    table = np.array(table, "float32")
    floor = {} if settings.get("projection") == "softmax" else {"epsilon": 0.0}
    policy = RoutingPolicy(*table.shape, **{"seed": 1, **floor, **settings})
    policy.build((None,))
    if policy.projection == "softmax":
        policy.scores.assign(np.log(table))
    else:
        policy.policy.assign(table)
    return policy


def taught(policy, task_id, actions, rewards, valid=None):
    """Lets a policy learn from given decisions, as if it had made them in a step."""
    policy.batches.assign(policy.batches + 1)
    rows = ops.one_hot(np.array(actions, "int32"), policy.num_components)
    policy.decisions = (ops.convert_to_tensor(np.array(task_id, "int32")), rows)
    rewards = ops.convert_to_tensor(np.array(rewards, "float32"))
    valid = ops.ones_like(rewards) if valid is None else np.array(valid, "float32")
    return policy.learn(rewards, valid)


# What it answers


def test_inference_takes_the_likeliest_component_and_the_first_of_equals():
    expected = np.eye(4)[[0, 3, 0, 0, 0, 3, 3]]
    for _ in range(2):
        np.testing.assert_array_equal(array(policy_of()(TASK_ID)), expected)
    np.testing.assert_array_equal(policy_of().matrix(), np.eye(4)[[3, 0, 0]])


@pytest.mark.slow
@pytest.mark.parametrize("projection", ["clip", "softmax"])
@pytest.mark.parametrize("draws", ["example", "task"])
def test_components_are_drawn_as_often_as_the_policy_says(draws, projection):
    policy = policy_of(draws=draws, projection=projection)
    if draws == "example":
        rows = array(policy(np.repeat(np.arange(3), 4000), training=True)).reshape(3, 4000, 4)
    else:
        drawn = [array(policy(np.arange(3), training=True)) for _ in range(800)]
        rows = np.stack(drawn, axis=1)
    np.testing.assert_array_equal(rows.sum(axis=-1), np.ones(rows.shape[:2]))
    assert set(np.unique(rows)) == {0, 1}
    deviation = np.sqrt(TABLE * (1 - TABLE) / rows.shape[1])
    assert np.all(np.abs(rows.mean(axis=1) - TABLE) < 4 * deviation)


def test_a_draw_serves_an_example_or_all_examples_of_a_task():
    task_id = np.repeat(np.arange(3), 50)
    blocks = array(policy_of(draws="task")(task_id, training=True)).reshape(3, 50, 4)
    assert np.all(blocks == blocks[:, :1])
    blocks = array(policy_of(draws="example")(task_id, training=True)).reshape(3, 50, 4)
    assert np.all(np.any(blocks != blocks[:, :1], axis=(1, 2)))


def test_a_component_of_no_probability_is_never_drawn():
    policy = policy_of([[0.0, 0.5, 0.0, 0.5]])
    assert array(policy(np.zeros(2000, "int32"), training=True)).sum(axis=0)[[0, 2]].tolist() == [
        0,
        0,
    ]


@pytest.mark.parametrize("draws", ["example", "task"])
@pytest.mark.parametrize("training", [True, False])
def test_an_id_out_of_range_is_nan_and_teaches_nothing(draws, training):
    policy = policy_of(draws=draws)
    rows = array(policy(np.array([0, -1, 3], "int32"), training=training))
    np.testing.assert_array_equal(np.isnan(rows).all(axis=1), [False, True, True])
    if training:
        policy.learn(ops.ones((3,)), np.ones(3, "float32"))
        np.testing.assert_array_equal(array(policy.policy)[1:], TABLE[1:])
        assert np.all(np.isfinite(array(policy.policy)))


def test_a_policy_that_is_not_trainable_draws_and_learns_no_more():
    policy = policy_of()
    policy.trainable = False
    np.testing.assert_array_equal(array(policy(TASK_ID, training=True)), array(policy(TASK_ID)))
    assert policy.decisions is None


def test_in_the_warm_up_all_tasks_use_the_first_component_and_nothing_is_learned():
    policy = policy_of(warm_up=2)
    for _ in range(2):
        rows = array(policy(TASK_ID, training=True))
        np.testing.assert_array_equal(rows, np.eye(4)[[0] * 7])
        policy.learn(ops.ones((7,)), np.ones(7, "float32"))
        np.testing.assert_array_equal(array(policy.policy), TABLE)
        np.testing.assert_array_equal(array(policy.returns), np.zeros((3, 4)))
    drawn = array(policy(np.repeat(TASK_ID, 9), training=True))
    assert np.any(drawn[:, 1:])
    policy.learn(ops.convert_to_tensor(drawn[:, 2]), np.ones(63, "float32"))
    assert np.all(array(policy.policy)[:, 2] > TABLE[:, 2])


# Projections


def test_the_projection_of_probabilities_is_themselves():
    for project in (clipped_to_simplex, nearest_on_simplex):
        for floor in (0.0, 0.05):
            projected = array(project(ops.convert_to_tensor(TABLE), floor))
            np.testing.assert_allclose(projected, TABLE, rtol=1e-5)
        floored = np.array([[0.05, 0.05, 0.85, 0.05]], "float32")
        projected = array(project(ops.convert_to_tensor(floored), 0.05))
        np.testing.assert_allclose(projected, floored, rtol=1e-5)


def test_clipping_cuts_and_divides_by_the_sum():
    rows = np.array([[1.5, 0.25, -0.2, 0.0], [-0.1, -1.0, 0.0, -2.0]], "float32")
    expected = [[0.8, 0.2, 0, 0], [0.25] * 4]
    np.testing.assert_allclose(array(clipped_to_simplex(rows)), expected, rtol=1e-6)
    floored = array(clipped_to_simplex(np.array([[0.55, 0.25, -0.2, 0.05]], "float32"), 0.05))
    np.testing.assert_allclose(
        floored, [[0.05 + 0.8 * 0.5 / 0.7, 0.05 + 0.8 * 0.2 / 0.7, 0.05, 0.05]], rtol=1e-5
    )


def test_the_nearest_point_is_nearer_than_any_other():
    rows = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    others = np.random.default_rng(1).dirichlet(np.ones(5) / 2, size=5000)
    for floor in (0.0, 0.1):
        nearest = array(nearest_on_simplex(ops.convert_to_tensor(rows), floor))
        np.testing.assert_allclose(nearest.sum(axis=1), np.ones(40), rtol=1e-5)
        assert np.all(nearest >= floor - 1e-6)
        allowed = floor + (1 - 5 * floor) * others
        distances = np.linalg.norm(rows[:, None] - allowed, axis=2).min(axis=1)
        assert np.all(np.linalg.norm(rows - nearest, axis=1) <= distances + 1e-5)
    expected = [[1.0, 0.0, 0.0], [0.45, 0.55, 0.0]]  # the second is shifted by -0.05
    rows = ops.convert_to_tensor(np.array([[3.0, 1.0, 0.5], [0.4, 0.5, -0.1]], "float32"))
    np.testing.assert_allclose(array(nearest_on_simplex(rows)), expected, rtol=1e-5, atol=1e-7)


def test_shifting_the_least_to_zero_explodes_where_clipping_does_not():
    """What the public code of the paper did: its router jumped once and froze."""

    def shifted(table):
        table = table - ops.min(table, axis=-1, keepdims=True) + 1e-6
        return table / ops.sum(table, axis=-1, keepdims=True)

    def steepness(project):
        table = keras.Variable(np.full((1, 20), 1 / 20, "float32"))
        slope = gradient(lambda: ops.log(project(ops.convert_to_tensor(table)))[0, 3], table)
        return np.linalg.norm(slope)

    assert steepness(shifted) > 1e5
    np.testing.assert_allclose(steepness(clipped_to_simplex), np.sqrt(20 * 19), rtol=1e-3)


# Learning


def test_the_weighted_policy_learner_by_hand():
    policy = policy_of([[0.5, 0.3, 0.2]], learning_rate=0.1)
    taught(policy, [0] * 4, [0, 0, 1, 2], [1.0, 0.0, 0.0, -1.0])
    # The row expects 0.5 * 0.5 + 0.2 * -1 = 0.05 of returns 0.5, 0 and -1, so the advantages are
    # 0.45, -0.05 and -1.05, and their weights 1 - 0.5, 0.3 and 0.2.
    np.testing.assert_allclose(array(policy.returns), [[0.5, 0, -1]], rtol=1e-6)
    np.testing.assert_array_equal(array(policy.num_returns), [[2, 1, 1]])
    moved = [0.5 + 0.1 * 0.45 * 0.5, 0.3 - 0.1 * 0.05 * 0.3, 0.2 - 0.1 * 1.05 * 0.2]
    np.testing.assert_allclose(array(policy.policy)[0], moved, rtol=1e-5)  # their sum is 1
    taught(policy, [0] * 3, [2] * 3, [1.0] * 3)  # -1 once, which counts 0.99, 1 three times
    last = (3 - 0.99) / 3.99
    np.testing.assert_allclose(array(policy.returns), [[0.5, 0, last]], rtol=1e-6)
    np.testing.assert_allclose(array(policy.num_returns), [[1.98, 0.99, 3.99]], rtol=1e-6)
    expected = 0.5 * moved[0] + last * moved[2]  # all move, drawn or not
    change = [(0.5 - expected) * (1 - moved[0]), -expected * moved[1],
              (last - expected) * (1 - moved[2])]  # fmt: skip
    moved = np.array(moved) + 0.1 * np.array(change)
    np.testing.assert_allclose(array(policy.policy)[0], moved / moved.sum(), rtol=1e-5)


def test_nothing_is_said_of_a_component_that_was_never_drawn():
    policy = policy_of([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], learning_rate=0.1)
    taught(policy, [0, 0, 0, 1], [0, 0, 2, 2], [1.0, 0.0, -1.0, -1.0])
    expected = (0.5 * 0.5 + 0.2 * -1) / 0.7
    moved = [0.5 + 0.1 * (0.5 - expected) * 0.5, 0.3, 0.2 - 0.1 * (1 + expected) * 0.2]
    np.testing.assert_allclose(array(policy.policy)[0], moved / np.sum(moved), rtol=1e-5)
    np.testing.assert_allclose(array(policy.policy)[1], [0.5, 0.3, 0.2], rtol=1e-6)  # only one


def test_all_returns_may_be_higher_by_a_number():
    """As minus a loss is: what a return of 0 would mean is unknown."""
    policies = [policy_of([[0.5, 0.3, 0.2]], learning_rate=0.1) for _ in range(2)]
    for policy, more in zip(policies, (0.0, -7.0), strict=True):
        taught(policy, [0, 0, 0], [0, 0, 2], [1.0 + more, 0.0 + more, -1.0 + more])
    one, other = (array(policy.policy) for policy in policies)
    assert one[0, 0] > 0.51
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_swapped_form_by_hand():
    policy = policy_of([[0.5, 0.3, 0.2]], learning_rate=0.1, wpl_form="swapped")
    taught(policy, [0] * 4, [0, 0, 1, 2], [1.0, 0.0, 0.0, -1.0])
    moved = [0.5 + 0.1 * 0.45 * 0.5, 0.3 - 0.1 * 0.05 * 0.7, 0.2 - 0.1 * 1.05 * 0.8]
    np.testing.assert_allclose(array(policy.policy)[0], moved / np.sum(moved), rtol=1e-5)


def test_reinforce_by_hand():
    policy = policy_of([[0.5, 0.3, 0.2]], learner="reinforce", learning_rate=0.1)
    policy.returns.assign([[0.5, 0.2, 0.0]])
    policy.num_returns.assign([[2, 9, 0]])
    taught(policy, [0, 0, 0], [0, 0, 2], [1.0, 0.0, -1.0])
    # The row expects 0.25 + 0.06 - 0.2 = 0.11; the second was not drawn and does not move.
    moved = np.array([0.5 + 0.1 * (0.5 - 0.11), 0.3, 0.2 - 0.1 * 1.11])
    np.testing.assert_allclose(array(policy.policy)[0], moved / moved.sum(), rtol=1e-5)


def test_an_estimate_of_a_return_forgets_beyond_2000_rows_and_with_each_batch():
    policy = policy_of([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    policy.num_returns.assign([[1950, 0], [2000, 2000], [7, 0]])
    taught(policy, np.repeat([0, 1], 100), np.zeros(200), np.ones(200))
    expected = [[100 / (0.99 * 1950 + 100), 0], [100 / 2080, 0], [0, 0]]
    np.testing.assert_allclose(array(policy.returns), expected, rtol=1e-5)
    found = array(policy.num_returns)
    np.testing.assert_allclose(found, [[2000, 0], [2000, 1980], [7, 0]], rtol=1e-6)


def test_a_floor_is_shared_out_over_components_unless_it_is_given():
    assert RoutingPolicy(3, 4).epsilon == 0.0125
    assert RoutingPolicy(3, 4, epsilon=0.0).epsilon == 0
    assert RoutingPolicy(3, 4, projection="softmax").epsilon == 0
    older = RoutingPolicy(3, 4, epsilon=0.0).get_config()
    del older["epsilon"]
    assert RoutingPolicy.from_config(older).epsilon == 0


def test_a_baseline_of_the_action_by_hand():
    policy = policy_of([[0.5, 0.3, 0.2]], baseline="action", learning_rate=0.1)
    policy.returns.assign([[0.2, 0.9, -0.5]])
    taught(policy, [0, 0, 0], [0, 0, 2], [1.0, 0.0, -1.0])
    moved = np.array([0.5 + 0.1 * (0.5 - 0.2) * 0.5, 0.3, 0.2 - 0.1 * (1.0 - 0.5) * 0.2])
    np.testing.assert_allclose(array(policy.policy)[0], moved / moved.sum(), rtol=1e-5)


def test_with_a_baseline_of_the_action_known_returns_teach_nothing():
    policies = {baseline: policy_of(baseline=baseline) for baseline in ("row", "action")}
    for policy in policies.values():
        policy.returns.assign([[0.5, -0.5, 0, 0], [0] * 4, [0] * 4])
        policy.num_returns.assign([[9, 9, 0, 0], [0] * 4, [0] * 4])
        taught(policy, [0, 0], [0, 1], [0.5, -0.5])
    np.testing.assert_allclose(array(policies["action"].policy), TABLE, rtol=1e-6)
    assert array(policies["row"].policy)[0, 0] > TABLE[0, 0] + 1e-3


@pytest.mark.parametrize("projection", ["clip", "euclidean"])
@pytest.mark.parametrize("learner", ["wpl", "reinforce"])
def test_advantages_raise_lower_or_leave_a_probability_of_that_task_alone(projection, learner):
    for reward, compare in ((1.0, np.greater), (-1.0, np.less), (0.0, np.isclose)):
        policy = policy_of(projection=projection, learner=learner)
        policy.num_returns.assign(np.ones((3, 4)))  # all were drawn once, and returned 0
        taught(policy, [1, 1], [2, 2], [reward] * 2)
        after = array(policy.policy)
        assert compare(after[1, 2], TABLE[1, 2])
        np.testing.assert_array_equal(after[[0, 2]], TABLE[[0, 2]])
        np.testing.assert_allclose(after.sum(axis=1), np.ones(3), rtol=1e-6)


def test_a_rare_component_that_is_rewarded_moves_more_than_a_frequent_one():
    policy = policy_of([[0.8, 0.2], [0.8, 0.2]], baseline="action", projection="euclidean")
    taught(policy, [0, 1], [0, 1], [1.0, 1.0])
    moves = array(policy.policy) - [[0.8, 0.2], [0.8, 0.2]]
    np.testing.assert_allclose(moves[1, 1] / moves[0, 0], 0.8 / 0.2, rtol=1e-3)


@pytest.mark.parametrize("projection", ["clip", "euclidean"])
@pytest.mark.parametrize("epsilon", [0.0, 0.02])
def test_rows_stay_probabilities_whatever_happens(projection, epsilon):
    policy = policy_of(
        projection=projection, learning_rate=3.0, learner="reinforce", epsilon=epsilon
    )
    rng = np.random.default_rng(0)
    for _ in range(8):
        policy(TASK_ID, training=True)
        policy.learn(ops.convert_to_tensor(3 * rng.normal(size=7).astype("float32")), np.ones(7))
        table = array(policy.policy)
        assert np.all(table >= epsilon - 1e-6)
        np.testing.assert_allclose(table.sum(axis=1), np.ones(3), rtol=1e-5)


def test_one_component_keeps_probability_one():
    policy = policy_of([[1.0], [1.0]], epsilon=0.3)
    for reward in (1.0, -1.0):
        taught(policy, [0, 1], [0, 0], [reward, 3 * reward])
        np.testing.assert_array_equal(array(policy.policy), [[1.0], [1.0]])


def test_rows_without_a_reward_teach_nothing():
    policy = policy_of()
    taught(policy, TASK_ID, [0, 1, 2, 3, 0, 1, 2], [1.0, np.nan, 1, 1, 1, -1, 1], [0] * 7)
    np.testing.assert_array_equal(array(policy.policy), TABLE)
    np.testing.assert_array_equal(array(policy.returns), np.zeros((3, 4)))
    some = policy_of()
    taught(some, TASK_ID, [0, 1, 2, 3, 0, 1, 2], [9.0, 9, 1, -1, 9, 9, 9], [0, 0, 1, 1, 0, 0, 0])
    alone = policy_of()
    taught(alone, [1, 1], [2, 3], [1.0, -1.0])
    np.testing.assert_array_equal(array(some.policy), array(alone.policy))


@pytest.mark.parametrize(("learner", "lessons"), [
    ("wpl", (0.45 * 0.5, -0.05 * 0.3, -1.05 * 0.2)), ("reinforce", (0.45, -0.05, -1.05)),
])  # fmt: skip
def test_a_softmax_learns_from_the_slope_of_its_advantage(learner, lessons):
    policy = policy_of([[0.5, 0.3, 0.2]], projection="softmax", learner=learner)
    actions, rewards = [0, 0, 1, 2], [1.0, 0.0, 0.0, -1.0]
    slope = gradient(lambda: taught(policy, [0] * 4, actions, rewards), policy.scores)
    expected = sum(lessons[a] * (np.array([0.5, 0.3, 0.2]) - np.eye(3)[a]) for a in actions) / 4
    np.testing.assert_allclose(slope[0], expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    {}, {"projection": "euclidean"}, {"learner": "reinforce"}, {"epsilon": 0.01},
    {"draws": "task", "learning_rate": 0.1},
])  # fmt: skip
def test_a_two_armed_bandit_finds_its_best_arm(settings):
    policy = policy_of([[0.5, 0.5], [0.5, 0.5]], **settings)
    task_id = np.repeat(np.arange(2, dtype="int32"), 8)
    for _ in range(300):
        arm = array(policy(task_id, training=True)).argmax(axis=1)
        policy.learn(np.where(arm == 1 - task_id, 1.0, -1.0).astype("float32"), np.ones(16))
    table = array(policy.policy)
    assert table[0, 1] > 0.9 and table[1, 0] > 0.9


class Bandits(keras.Model):
    """As many bandits as the policy has tasks: arms succeed in 85 %, the best one in 90 %."""

    def __init__(self, policy):
        super().__init__()
        self.policy = policy
        self.best = np.arange(policy.num_tasks) % policy.num_components
        self.chances = 0.85 + 0.05 * np.eye(policy.num_components, dtype="float32")[self.best]
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, task_id, training=False):
        return self.policy(task_id, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        chance = ops.sum(y_pred * ops.take(self.chances, x, axis=0), axis=-1)
        right = keras.random.uniform(ops.shape(chance), seed=self.seed_generator) < chance
        rewards = 2.0 * ops.cast(right, "float32") - 1.0
        return self.policy.learn(rewards, ops.ones_like(rewards))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.parametrize("settings", [
    {}, {"projection": "euclidean"}, {"learner": "reinforce"}, {"projection": "softmax"},
])  # fmt: skip
def test_the_best_of_ten_noisy_arms_is_found(settings):
    bandits = Bandits(policy_of(np.full((20, 10), 0.1), **settings))
    bandits.compile(keras.optimizers.Adam(0.02))  # of scores
    task_id = np.repeat(np.arange(20, dtype="int32"), 128)
    for _ in range(1500):
        bandits.train_on_batch(task_id, task_id)
    found = array(bandits.policy.probabilities())[np.arange(20), bandits.best]
    assert (found > 0.5).sum() >= 18, found


def test_a_file_that_does_not_count_rows_is_read():
    for settings in ({"collaboration": 0.3}, {"projection": "softmax"}):
        old, new = RoutingPolicy(3, 4, **settings), RoutingPolicy(3, 4, **settings)
        for layer in (old, new):
            layer.build((None,))
            for number, weight in enumerate(layer.weights, start=1 if layer is old else 7):
                weight.assign(ops.full(weight.shape, number, weight.dtype))
        store = {str(place): array(weight) for place, weight in enumerate(old.weights[:-1])}
        new.load_own_variables(store)
        for before, after in zip(old.weights[:-1], new.weights[:-1], strict=True):
            np.testing.assert_array_equal(array(before), array(after))
        np.testing.assert_array_equal(array(new.num_returns), np.zeros((3, 4)))
    old_config = {**new.get_config(), "returns_rate": 0.1}
    del old_config["wpl_form"]
    assert RoutingPolicy.from_config(old_config).get_config() == new.get_config()


# Collaboration


def test_the_bonus_is_the_share_of_equal_decisions_lately():
    policy = policy_of(np.full((3, 4), 0.25), collaboration=0.6)
    task_id = ops.convert_to_tensor(np.arange(3, dtype="int32"))

    def bonus(actions, rewards):
        policy.decisions = (task_id, ops.one_hot(np.array(actions, "int32"), 4))
        return array(policy.bonus(ops.convert_to_tensor(np.array(rewards, "float32"))))

    np.testing.assert_array_equal(bonus([0, 1, 1], [1, 1, 1]), [0, 0, 0])
    np.testing.assert_allclose(
        bonus([1, 0, 3], [1, -0.5, 1]), [0.6 * 2 / 3, 0.6 / 3 * 0.5, 0], rtol=1e-6
    )
    np.testing.assert_allclose(
        bonus([3, 3, 3], [1, 1, 1]), [0.1, 0.1, 0.1], rtol=1e-6
    )  # before: 0, 1, 1, 1, 0, 3
    assert array(policy.recent)[-9:].tolist() == [0, 1, 1, 1, 0, 3, 3, 3, 3]


def test_one_task_that_is_sure_gets_the_whole_bonus():
    policy = policy_of([[0.0, 1.0]], collaboration=0.3)
    for _ in range(3):
        policy(np.zeros(200, "int32"), training=True)
        rewards = ops.convert_to_tensor(np.full(200, -2.0, "float32"))
        last = array(policy.bonus(rewards))
        policy.learn(rewards, np.ones(200))
    np.testing.assert_allclose(last, np.full(200, 0.6), rtol=1e-6)


# Errors


@pytest.mark.parametrize(("settings", "message"), [
    ({"projection": "shift"}, "projection must be .clip., .euclidean. or .softmax."),
    ({"learner": "sarsa"}, "learner must be .wpl. or .reinforce."),
    ({"wpl_form": "printed"}, "wpl_form must be .original. or .swapped."),
    ({"baseline": "mean"}, "baseline must be .row. or .action."),
    ({"reward": "f1"}, "reward must be .accuracy. or .loss."),
    ({"draws": "batch"}, "draws must be .example. or .task."),
    ({"learning_rate": 0}, "learning_rate must be a number above 0. Received: 0"),
    ({"collaboration": -1}, "collaboration must be a number of at least 0. Received: -1"),
    ({"epsilon": 0.25}, "each of 4 components, must be at least 0 and below 0.25"),
    ({"epsilon": 0.1, "projection": "softmax"}, "takes no epsilon"),
    ({"warm_up": -2}, "warm_up must be an integer of at least 0. Received: -2"),
])  # fmt: skip
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        RoutingPolicy(3, 4, **settings)
