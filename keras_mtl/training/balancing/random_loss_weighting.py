"""Task weights that are drawn anew for every batch."""

from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.training.balancing.base import Balancing, softmax_of_present


@keras.saving.register_keras_serializable("keras_mtl")
class RandomLossWeighting(Balancing):
    """Weighs tasks by chance: `compile(balancing=...)`, a baseline that is hard to beat.

    For every batch the weights are a softmax of standard normal draws, times the number of tasks
    that have labels in the batch. With separate data it needs batches of several tasks
    (`task_batches(order="mixed")`).

    Source: Lin, Ye, Zhang and Tsang, "Reasonable Effectiveness of Random Weighting: A Litmus
    Test for Multi-Task Learning", TMLR 2022. Differs from the paper: weights sum to the number of
    tasks instead of 1, so that learning rates need not change.

    Args:
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Weights:
        task_weights: `(num_tasks,)`, not trainable, of the last batch.

    Example:

    >>> RandomLossWeighting(seed=1).seed
    1
    """

    within_batches = True

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = checks.seed("seed", seed)

    def make_state(self, tasks: Any) -> None:
        super().make_state(tasks)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def next_weights(self, means: Any, present: Any) -> Any:
        draws = keras.random.normal((len(self.task_names),), seed=self.seed_generator)
        weights = softmax_of_present(draws, present)
        self.latest.assign(weights)
        return weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
