"""The learned choice of one component for each task: routing networks."""

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.routers.allocation import take_rows
from keras_mtl.layers.routers.choice_policy import ChoicePolicy
from keras_mtl.layers.routers.policy_learning import (
    advantages,
    expected_return,
    sums_by_choice,
    weighted,
    with_batch,
)
from keras_mtl.types import Shape, Tensor

_NUM_RECENT = 256  # decisions that the collaboration reward looks back on


@keras.saving.register_keras_serializable("keras_mtl")
class RoutingPolicy(ChoicePolicy):
    """Sends each task to one component, and learns to which from rewards.

    Each task has a row of probabilities. In training a component is drawn from it, in inference
    it is the likeliest, the first of equals. The choice has no gradient: after each training
    step the model says how well every example was answered, and the row moves towards
    components whose return, the reward of all that followed, is above the task's baseline.

    What a component returns is a running mean over the rows that a task sent there, the last 2000
    at most, weighted by 0.99 for each of the task's batches since; its advantage is that less
    what the task's row expects. It has none before the task was ever sent there: a return of 0
    would be a guess. A batch moves the row once:
    `policy += learning_rate * weight * advantage`, projected back on the simplex. The weight is
    `1 - policy` of an advantage above 0 and `policy` of others (`"wpl"`). The gradient of the
    expected return (`"reinforce"`) has no weight, and the mean return in the batch itself, of
    components that it drew. With `"softmax"` there is no table: the optimizer learns scores,
    from the term `-log(policy) * weight * advantage`, the mean over a task's labelled rows.

    Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission,
    sections 2.2 and A.1; the weighting is that of Abdallah and Lesser's weighted policy learner.
    Differs from the source: Algorithm 1 prints the likeliest component in training too, its
    code draws; the weight is that of an expected advantage, where the code weighs the return of
    each row, and the noise of single returns pulls policies to uniform; the baseline is what the
    row expects, where the code has one for each component (`baseline="action"`), so that nothing
    is left to learn from once returns are known; the collaboration reward has its weight once,
    not squared.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components in this layer (columns).
        projection: How a row stays a row of probabilities: `"clip"` cuts to [0, 1] and
            divides by the sum, `"euclidean"` takes the nearest point, `"softmax"` learns scores.
            Defaults to `"clip"`.
        learner: `"wpl"` or `"reinforce"`. Defaults to `"wpl"`.
        baseline: `"row"`, the return that the policy of the task expects, or `"action"`, what
            was known of the component alone. Defaults to `"row"`.
        reward: `"accuracy"`: 1 for a correct answer and -1 for a wrong one, the mean over an
            example's steps or labels; regression has minus the loss. `"loss"`: minus the loss of
            every task. Defaults to `"accuracy"`.
        learning_rate: Of the table, above 0. Defaults to 0.05.
        collaboration: Weight of a reward for choosing what the layer chose lately: the share of
            its last 256 decisions, of all tasks, times the size of the final reward. Defaults
            to 0.0.
        epsilon: Least probability of a component, below `1 / num_components`: at 0 it may
            never be drawn again, and what is best for a network that has learned nothing yet may
            be worst later. Rows that are there stay where they are. `None`: `0.05 /
            num_components`, of a softmax none. Components with batch statistics want 0: examples
            that come by chance move the statistics of others' tasks. Defaults to `None`.
        draws: `"example"` or `"task"`: one draw serves all of a task's examples in the batch.
            Defaults to `"example"`.
        warm_up: Training batches in which all tasks use the first component and no policy
            learns; `keras_mtl.CopyComponents` then gives the others its weights. Defaults to 0.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        wpl_form: `"original"`, or `"swapped"`: weights of advantages above 0 and of others change
            places, as Algorithm 3 of "Routing Networks", ICLR 2018, is reported to print them,
            so that steps grow towards certainty. Defaults to `"original"`.

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.
        training: Whether to draw (`True`) or take the likeliest.

    Output shape:
        `(batch, num_components)`: 1 at the chosen component, else 0.

    Weights:
        policy: `(num_tasks, num_components)`, not trainable: probabilities, uniform at the
            start.
        scores: with `"softmax"` in its place, of the same shape, zeros at the start.
        returns: `(num_tasks, num_components)`, not trainable: estimates of returns.
        batches: `()`, int32, not trainable: training batches seen.
        recent: `(256,)`, int32, not trainable: last decisions, -1 for none, where there is a
            `collaboration`.
        num_returns: `(num_tasks, num_components)`, not trainable: weight of the rows behind each
            estimate, 2000 at most. At 0 nothing is known, as after reading a file from before
            there was one.

    Raises:
        ValueError: An unknown choice, a number out of its range.

    Example:

    >>> policy = RoutingPolicy(num_tasks=3, num_components=4, seed=0)
    >>> keras.ops.convert_to_numpy(policy(keras.ops.array([2]))).tolist()
    [[1.0, 0.0, 0.0, 0.0]]
    >>> drawn = policy(keras.ops.array([0, 0, 2]), training=True)
    >>> _ = policy.learn(rewards=keras.ops.ones((3,)), valid=keras.ops.array([1.0, 1.0, 0.0]))
    >>> policy.policy.numpy()[2].tolist()  # the third example had no label
    [0.25, 0.25, 0.25, 0.25]
    """

    def __init__(
        self,
        num_tasks: int,
        num_components: int,
        projection: str = "clip",
        learner: str = "wpl",
        baseline: str = "row",
        reward: str = "accuracy",
        learning_rate: float = 0.05,
        collaboration: float = 0.0,
        epsilon: float | None = None,
        draws: str = "example",
        warm_up: int = 0,
        seed: int | None = None,
        wpl_form: str = "original",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_tasks, num_components, projection, epsilon, draws, seed=seed, **kwargs)
        self.learner = checks.word("learner", learner, ("wpl", "reinforce"))
        self.wpl_form = checks.word("wpl_form", wpl_form, ("original", "swapped"))
        self.baseline = checks.word("baseline", baseline, ("row", "action"))
        self.reward = checks.word("reward", reward, ("accuracy", "loss"))
        self.learning_rate = checks.number("learning_rate", learning_rate, above=0)
        self.collaboration = checks.number("collaboration", collaboration, least=0)
        self.warm_up = checks.count("warm_up", warm_up, least=0)
        self.decisions: Any = None

    def build(self, task_id_shape: Shape) -> None:
        super().build(task_id_shape)
        table = (self.num_tasks, self.num_components)
        self.returns = self.add_state("returns", table)
        self.batches = self.add_state("batches", (), "int32")
        if self.collaboration:
            self.recent = self.add_state("recent", (_NUM_RECENT,), "int32", start=-1)
        self.num_returns = self.add_state("num_returns", table)

    def call(self, task_id: Tensor, training: bool = False) -> Any:
        if not (training and self.trainable):
            return super().call(task_id)
        task_id = ops.cast(task_id, "int32")
        rows = self.drawn(task_id)
        if self.warm_up:
            first = ops.zeros((self.num_tasks,), "int32")
            first = take_rows(ops.one_hot(first, self.num_components), task_id)
            rows = ops.where(self.batches < self.warm_up, first, rows)
        self.batches.assign_add(1)
        self.decisions = (task_id, rows)
        return ops.cast(rows, self.compute_dtype)

    def bonus(self, rewards: Any) -> Any:
        """Returns the reward of each row for choosing what was chosen lately, and remembers it.

        Args:
            rewards: `(rows,)`: the final reward of each row of the last call.
        """
        if not self.collaboration:
            return ops.zeros_like(rewards)
        _, rows = self.decisions
        action = ops.cast(ops.argmax(rows, axis=-1), "int32")
        before = ops.expand_dims(ops.convert_to_tensor(self.recent), axis=-1)
        chosen = ops.cast(before == ops.arange(self.num_components, dtype="int32"), "float32")
        shares = ops.sum(chosen, axis=0) / at_least_one(ops.sum(chosen))
        self.recent.assign(ops.concatenate([before[:, 0], action])[-_NUM_RECENT:])
        return self.collaboration * ops.take(shares, action) * ops.abs(rewards)

    def learn(self, rewards: Any, valid: Any) -> Any:
        """Learns from the decisions of the last call in training, and forgets them.

        Args:
            rewards: `(rows,)`: the return of each row's decision.
            valid: `(rows,)`: 1 where there is a reward, 0 where there is none.

        Returns:
            What the optimizer minimizes for the policy to learn; zero, unless it is a softmax.
        """
        (task_id, rows), self.decisions = self.decisions, None  # JAX must not keep what it traces
        policy = ops.stop_gradient(self.probabilities())
        valid = ops.cast(valid, "float32") * ops.cast(self._known(task_id, rewards), "float32")
        count, total = sums_by_choice(self.num_tasks, task_id, rows, rewards, valid)
        lesson = self._lesson(policy, count, total)
        return self.follow(lesson, count, self.learning_rate)

    def _known(self, task_id: Tensor, rewards: Any) -> Any:
        """Returns from which rows there is something to learn."""
        known = (task_id >= 0) & (task_id < self.num_tasks) & ops.isfinite(rewards)
        return known & (self.batches > self.warm_up)

    def _lesson(self, policy: Any, count: Any, total: Any) -> Any:
        """Moves the estimates of returns, and returns by how much to raise each choice."""
        before = ops.convert_to_tensor(self.returns)
        num_before = ops.convert_to_tensor(self.num_returns)
        returns, num_returns = with_batch(before, num_before, count, total)
        compared = before
        if self.baseline == "row":
            compared = expected_return(policy, returns, num_returns)
        if self.baseline == "row" and self.learner == "wpl":
            lesson = advantages(returns, num_returns, compared)
        else:
            lesson = advantages(total / at_least_one(count), count, compared)
        if self.learner == "wpl":
            lesson = weighted(lesson, policy, self.wpl_form)
        self.returns.assign(returns)
        self.num_returns.assign(num_returns)
        return lesson

    def load_own_variables(self, store: Any) -> None:
        """Takes what a file holds, also one that does not say how many rows it has seen."""
        saved = {key: store[key] for key in store.keys()}
        saved.setdefault(str(len(self.weights) - 1), np.zeros(self.num_returns.shape))
        super().load_own_variables(saved)

    def get_config(self) -> dict[str, Any]:
        own = ("learner", "wpl_form", "baseline", "reward")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in own},
            "learning_rate": self.learning_rate,
            "collaboration": self.collaboration,
            "warm_up": self.warm_up,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        own = {name: value for name, value in config.items() if name != "returns_rate"}
        return cls(**{"epsilon": 0.0, **own})
