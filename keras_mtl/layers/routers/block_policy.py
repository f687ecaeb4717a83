"""The learned choice of the tasks that execute a block."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.growing import take_over_each
from keras_mtl.layers.routers.learned_allocation import LearnedAllocation
from keras_mtl.phases import checked_phases
from keras_mtl.schedules import deserialize_setting
from keras_mtl.types import Setting, Shape, Tensor

_SHARP = 0.2  # at this temperature four of five even draws are within .1 of 0 or 1


@keras.saving.register_keras_serializable("keras_mtl")
class BlockPolicy(LearnedAllocation):
    """Learns which tasks execute a block and which skip it.

    As an `AllocationMatrix` of one component it learns a probability for each task. In training
    each task draws how far it executes the block, by default a relaxed number in (0, 1) that serves
    all its examples of the batch; in inference it executes the block when its probability is at
    least one half, and skips it else: there is no `min_components`. Until training batch `start`
    all tasks execute the block, whatever is drawn.

    Source: Sun et al., "AdaShare: Learning What To Share For Efficient Deep Multi-Task
    Learning", NeurIPS 2020, section 3; Rahimian et al., "DynaShare", ICLR 2022 submission,
    Eqs. 1 and 2. Index 0 of the logits is execute, as in their code; DynaShare's Eq. 1 has it
    last.

    Args:
        num_tasks: Number of tasks.
        init_probability: Chance, strictly between 0 and 1, that a task executes the block at
            the start: a number or a `(num_tasks, 1)` matrix. Defaults to 0.5.
        temperature: As in `GumbelRouter`. Defaults to `None`, a `TemperatureSchedule()`.
        hard: Whether draws are 0 or 1, straight-through, instead of relaxed. Defaults to `False`.
        start: Training batches before the block may be skipped. Defaults to 0.
        num_added_tasks: As of `AllocationMatrix`. Defaults to 0.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.
        phases: `keras_mtl.PolicyPhases` in whose cycles `start` was counted, for the optimizer to
            have the same. `None` takes those of the temperature, if it has any. Defaults to
            `None`.

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.
        training: Whether to draw (`True`) or take the most likely choice.

    Output shape:
        A pair: `(batch, 1)`, numbers in [0, 1], the part of the block's answer that counts;
        and the logits of all tasks, `(num_tasks, 2)`, for penalties.

    Weights:
        logits, logits_added_1, ...: as of `AllocationMatrix`, `(rows, 1, 2)`, index 0 = execute.
        router: as of `GumbelRouter`.
        batches: `()`, int32, not trainable: training batches seen.

    Raises:
        ValueError: As of `AllocationMatrix`, a negative `start`.

    Example:

    >>> policy = BlockPolicy(3, init_probability=[[0.9], [0.2], [0.5]], temperature=1.0, seed=0)
    >>> execute, logits = policy(keras.ops.array([0, 1, 2, 1]))
    >>> keras.ops.convert_to_numpy(execute).tolist(), tuple(logits.shape)
    ([[1.0], [0.0], [1.0], [0.0]], (3, 2))
    >>> draw, _ = policy(keras.ops.array([0, 1, 2, 1]), training=True)
    >>> bool(keras.ops.all((draw > 0) & (draw < 1))), bool(draw[1] == draw[3])
    (True, True)
    """

    def __init__(
        self,
        num_tasks: int,
        init_probability: float = 0.5,
        temperature: Setting | None = None,
        hard: bool = False,
        start: int = 0,
        num_added_tasks: int = 0,
        seed: int | None = None,
        phases: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_tasks, 1, init_probability, temperature, hard,
            num_added_tasks=num_added_tasks, seed=seed, **kwargs,
        )  # fmt: skip
        self.start = checks.count("start", start, least=0)
        if phases is not None:
            checked_phases(phases)
        self.phases = getattr(temperature, "phases", None) if phases is None else phases

    def build(self, task_id_shape: Shape) -> None:
        super().build(task_id_shape)
        self.batches = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="batches"
        )

    def call(self, task_id: Tensor, training: bool = False) -> Any:
        execute = super().call(task_id, training=training)
        return execute, ops.concatenate([block[:, 0] for block in self.row_blocks], axis=0)

    def rows(self, training: bool) -> Any:
        rows = self._or_all(self.decided(training))
        if training:
            self.batches.assign_add(1)
        return rows

    def probabilities(self) -> Any:
        return self._or_all(self.chances())

    def _or_all(self, rows: Any) -> Tensor:
        """Returns rows, or ones as long as no task may skip the block."""
        return ops.where(self.batches >= self.start, rows, ops.ones_like(rows))

    def why_not_yet(self) -> str | None:
        """Returns why the policy should not be taken yet, or `None` where it may be."""
        if int(self.batches.numpy()) < self.start:
            return f"no task may skip its block before training batch {self.start}"
        temperature = float(ops.convert_to_numpy(self.router.temperature_now()))
        if self.router.hard or temperature <= _SHARP:
            return None
        return f"at its temperature, {temperature:.2g}, training executes blocks in part"

    def compute_output_shape(self, task_id_shape: Shape) -> Any:
        return (task_id_shape[0], 1), (self.num_tasks, 2)

    def frozen(self, call: Callable[..., Any], task_id: Tensor) -> Any:
        return self.matrix()[task_id], None

    def take_over(self, old: Any) -> None:
        super().take_over(old)
        take_over_each([old.batches], [self.batches])  # old tasks skip blocks as they did

    def get_config(self) -> dict[str, Any]:
        phases = self.phases and keras.saving.serialize_keras_object(self.phases)
        own = {"hard": self.router.hard, "start": self.start, "phases": phases}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return super().from_config({**config, "phases": deserialize_setting(config.get("phases"))})
