"""A row of probabilities for each task, from which one component is drawn."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.averages import at_least_one
from keras_mtl.layers.routers.allocation import Allocation, take_rows
from keras_mtl.layers.routers.gumbel_choice import drawn_from, gumbel_noise
from keras_mtl.layers.routers.simplex import PROJECTIONS
from keras_mtl.replicas import drawn_by_row
from keras_mtl.types import Shape, Tensor

_CHANCES = 0.05  # that rows leave to all components together, unless they are told


class ChoicePolicy(Allocation):
    """Abstract: one component for each task, drawn in training, the likeliest in inference.

    Either a table of probabilities, which a final class moves and projects back on the simplex,
    or the softmax of scores, which an optimizer learns. The final class says in `learn` what the
    choices of a batch have taught.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components in this layer (columns).
        projection: How a row stays a row of probabilities: `"clip"`, `"euclidean"` (`simplex.py`)
            or `"softmax"`.
        epsilon: Least probability of a component, below `1 / num_components`; `None` for 0.05 in
            all, of a softmax none.
        draws: `"example"` or `"task"`: one draw serves all of a task's examples in the batch.
        seed: Integer seed of the draws, or `None`.
    """

    def __init__(
        self,
        num_tasks: int,
        num_components: int,
        projection: str,
        epsilon: float | None,
        draws: str,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_tasks, num_components, **kwargs)
        self.projection = checks.word("projection", projection, (*PROJECTIONS, "softmax"))
        self.draws = checks.word("draws", draws, ("example", "task"))
        self.epsilon = self._checked_epsilon(epsilon)
        self.seed = checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def _checked_epsilon(self, epsilon: Any) -> Any:
        if epsilon is None:
            return 0.0 if self.projection == "softmax" else _CHANCES / self.num_components
        epsilon = checks.number("epsilon", epsilon, least=0)
        if epsilon * self.num_components >= 1:
            raise ValueError(
                f"epsilon, the least probability of each of {self.num_components} components, must "
                f"be at least 0 and below {1 / self.num_components:.3g}. Received: {epsilon}"
            )
        if epsilon and self.projection == "softmax":
            raise ValueError("A softmax never reaches 0 and takes no epsilon. Leave it out.")
        return epsilon

    def build(self, task_id_shape: Shape) -> None:
        table = (self.num_tasks, self.num_components)
        if self.projection == "softmax":
            self.scores = self.add_weight(
                shape=table, initializer="zeros", dtype="float32", name="scores"
            )
        else:
            self.policy = self.add_state("policy", table, start=1.0 / self.num_components)

    def add_state(
        self, name: str, shape: Shape, dtype: str = "float32", start: float = 0.0
    ) -> keras.Variable:
        """Makes a variable that no optimizer trains."""
        return self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(start),
            dtype=dtype,
            trainable=False,
            name=name,
        )

    def drawn(self, task_id: Tensor) -> Any:
        """Returns (rows, C) float32: 1 at a component drawn for each row, else 0."""
        policy = ops.stop_gradient(self.probabilities())
        if self.draws == "task":
            noise = gumbel_noise(policy.shape, self.seed_generator)
            return take_rows(drawn_from(policy, noise), task_id)
        rows = take_rows(policy, task_id)
        noise = drawn_by_row(gumbel_noise, ops.shape(rows), self.seed_generator)
        return drawn_from(rows, noise)

    @property
    def chooses_one(self) -> bool:
        return True

    def rows(self, training: bool) -> Tensor:
        likeliest = ops.argmax(self.probabilities(), axis=-1)
        return ops.one_hot(likeliest, self.num_components, dtype="float32")

    def probabilities(self) -> Tensor:
        if self.projection == "softmax":
            return ops.softmax(ops.convert_to_tensor(self.scores), axis=-1)
        return ops.add(self.policy, 0.0)  # a copy, where arrays would share the table's memory

    def follow(self, lesson: Any, count: Any, learning_rate: float) -> Any:
        """Raises each choice by as much as it is said to, where a task made any.

        Args:
            lesson: (T, C) by how much.
            count: (T, C) how often each task made each choice.
            learning_rate: Factor of the lesson, unless the policy is a softmax.

        Returns:
            What the optimizer minimizes for that; zero, unless the policy is a softmax.
        """
        if self.projection == "softmax":
            log_policy = ops.log_softmax(ops.convert_to_tensor(self.scores), axis=-1)
            num_rows = at_least_one(ops.sum(count, axis=1, keepdims=True))
            return -ops.sum(log_policy * lesson * count / num_rows)
        policy = ops.convert_to_tensor(self.policy)
        moved = PROJECTIONS[self.projection](policy + learning_rate * lesson, self.epsilon)
        present = ops.any(count > 0, axis=1, keepdims=True)
        self.policy.assign(ops.where(present, moved, policy))
        return ops.zeros(())

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        names = ("scores", "policy", "returns", "num_returns")
        return {name: {0: tasks} for name in names}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_components": self.num_components,
            "projection": self.projection,
            "epsilon": self.epsilon,
            "draws": self.draws,
            "seed": self.seed,
        }
