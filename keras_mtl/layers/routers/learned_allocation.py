"""The base of learned allocations: a Bernoulli variable for each task and component."""

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.growing import take_over_each
from keras_mtl.layers.places import in_blocks
from keras_mtl.layers.routers.allocation import Allocation
from keras_mtl.layers.routers.decisions import kept_below_half
from keras_mtl.layers.routers.gumbel import GumbelRouter
from keras_mtl.schedules import deserialize_setting, serialize_setting
from keras_mtl.types import Setting, Shape, Tensor


class LearnedAllocation(Allocation):
    """Abstract: learns log-odds, draws from them in training, and takes the likeliest in inference.

    A final class makes its `rows` of `decided`, and its `probabilities` of `chances`.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components (columns).
        init_probability: Chance at the start: a number, or a matrix of tasks and components.
        temperature: As in `GumbelRouter`.
        hard: As in `GumbelRouter`. Defaults to `True`.
        parameterization: `"two_logits"` or `"log_odds"`. Defaults to `"two_logits"`.
        num_added_tasks: How many of the last rows were added after training. Each is a variable
            of its own; only the newest trains. Defaults to 0.
        min_components: How many components a task has at least in inference. Defaults to 0.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
    """

    def __init__(
        self,
        num_tasks: int,
        num_components: int,
        init_probability: Any,
        temperature: Setting,
        hard: bool = True,
        parameterization: str = "two_logits",
        num_added_tasks: int = 0,
        min_components: int = 0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_tasks, num_components, **kwargs)
        words = ("two_logits", "log_odds")
        self.parameterization = checks.word("parameterization", parameterization, words)
        self.init_probability = checked_probability(
            init_probability, self.num_tasks, self.num_components
        )
        self.num_added_tasks = checks.count(
            "num_added_tasks", num_added_tasks, 0, self.num_tasks - 1
        )
        self.min_components = checked_minimum(min_components, self.num_components, self.name)
        self.seed = checks.seed("seed", seed)
        self.router = GumbelRouter(
            temperature, seed=seed, hard=hard, dtype="float32", name="router"
        )
        self.router.draws_by_row = False

    def build(self, task_id_shape: Shape) -> None:
        probability = np.broadcast_to(
            self.init_probability, (self.num_tasks, self.num_components)
        ).astype("float32")
        num_first = self.num_tasks - self.num_added_tasks
        blocks = np.split(probability, range(num_first, self.num_tasks))
        self.row_blocks = [
            self._add_rows(f"logits_added_{index}" if index else "logits", block)
            for index, block in enumerate(blocks)
        ]
        for rows in self.row_blocks[:-1]:
            rows.trainable = False
        self.router.build((self.row_blocks[-1].shape[0], self.num_components))

    def _add_rows(self, name: str, probability: Any) -> Any:
        if self.parameterization == "two_logits":
            start = np.log(np.stack([probability, 1 - probability], axis=-1))
        else:
            start = np.log(probability) - np.log1p(-probability)
        return self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype),
            dtype="float32",
            autocast=False,
            name=name,
        )

    def decided(self, training: bool) -> Tensor:
        """Returns a draw of all tasks' rows, or the most likely rows, `(T, C)`."""
        draws = training and self.trainable
        *settled, newest = [self._log_odds(block) for block in self.row_blocks]
        decided = [ops.cast(odds >= 0, "float32") + self._kept(odds) for odds in settled]
        decided.append(self.router(newest, training=draws))
        if not draws:
            decided[-1] = decided[-1] + self._kept(newest)
        return ops.concatenate(decided, axis=0)

    def _kept(self, log_odds: Any) -> Any:
        return kept_below_half(log_odds, self.min_components)

    def chances(self) -> Tensor:
        """Returns the probabilities of which `decided` draws, `(T, C)`."""
        return ops.sigmoid(self._all_log_odds())

    def empty_rows(self) -> Tensor:
        return ops.convert_to_numpy(ops.all(self._all_log_odds() < 0, axis=-1))

    def _all_log_odds(self) -> Tensor:
        return ops.concatenate([self._log_odds(block) for block in self.row_blocks], axis=0)

    def _log_odds(self, block: Any) -> Any:
        block = ops.convert_to_tensor(block)
        if self.parameterization == "two_logits":
            return block[..., 0] - block[..., 1]
        return block

    def freeze(self) -> None:
        """Ends learning: training then uses the most likely matrix too, without draws.

        Compile the model again afterwards, so that its optimizer forgets the logits.
        """
        self.trainable = False

    def grown(self, new: Any) -> Any:
        """Has a row for the new task too, a variable of its own, which alone learns."""
        return new_layer_like(
            self,
            {
                "num_tasks": self.num_tasks + 1,
                "num_added_tasks": self.num_added_tasks + 1,
                "init_probability": self._extended_probability(new),
            },
        )

    def _extended_probability(self, new: Any) -> Any:
        old, probability = self.init_probability, new.init_probability
        if probability is None and old.ndim == 0:
            return float(old)
        if probability is None:
            raise ValueError(
                f"{self.name!r} started from a matrix of probabilities, which has no entry for "
                f"task {new.name!r}. Give init_probability."
            )
        old = np.broadcast_to(old, (self.num_tasks, self.num_components))
        return np.vstack([old, np.full((1, self.num_components), probability)]).tolist()

    def take_over(self, old: Any) -> None:
        take_over_each(old.row_blocks, self.row_blocks)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return in_blocks("logits", 0, tasks, self.num_added_tasks)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "init_probability": self.init_probability.tolist(),
            "temperature": serialize_setting(self.router.temperature),
            "num_added_tasks": self.num_added_tasks,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "temperature": deserialize_setting(config["temperature"])})


def checked_minimum(min_components: int, num_components: int, layer: keras.Layer) -> Any:
    """Returns `min_components` of a layer as an integer."""
    try:
        return checks.count("min_components", min_components, 0, num_components)
    except ValueError as error:
        raise ValueError(
            "min_components is how many components a task keeps at least, from 0 to the number "
            f"of components. Layer {layer!r} has {num_components}. Received: {min_components!r}"
        ) from error


def checked_probability(probability: Any, num_tasks: int, num_components: int) -> Any:
    """Returns `init_probability` as an array of shape () or (T, C)."""
    wanted = "strictly between 0 and 1: a number, or a matrix of tasks and components"
    probability = checks.array("init_probability", probability, wanted).astype("float64")
    rounded = probability.astype("float32")  # what logits are made of
    if not np.all((rounded > 0) & (rounded < 1)):
        raise ValueError(
            "init_probability must be strictly between 0 and 1, also as a float32: a pair that "
            "starts at 0 or 1 has infinite logits and can never change. "
            f"Received: {probability.tolist()}"
        )
    if probability.shape not in ((), (num_tasks, num_components)):
        raise ValueError(
            f"init_probability must be a number or a matrix with a row for each of {num_tasks} "
            f"tasks and a column for each of {num_components} components. "
            f"Received shape: {probability.shape}"
        )
    return probability
