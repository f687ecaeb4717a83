"""Orders of an epoch: the index of every example's task, a pure function of (seed, epoch)."""

import dataclasses
import math
from typing import Any

import numpy as np

ORDERS = ("shuffled", "mixed", "sequential")
SAMPLINGS = ("uniform", "proportional", "temperature")


@dataclasses.dataclass(frozen=True)
class TrainingOrder:
    """Full batches of tasks in a random order, new in every epoch.

    Args:
        lengths: Number of examples by index of the task in `tasks`, `None` where
            it is unknown. Tasks without data are left out.
        batch_size: Number of examples in a batch.
        num_batches: Number of batches in an epoch.
        seed: Integer, at least 0.
        mixed: Whether the examples of an epoch are permuted over its batches.
        shares: Probability of each of `lengths` to be drawn for a batch, or `None`
            for rounds of one batch of each task.
    """

    lengths: dict[int, int | None]
    batch_size: int
    num_batches: int
    seed: int
    mixed: bool
    shares: np.ndarray | None

    @property
    def same_sizes(self) -> bool:
        """Whether all batches hold `batch_size` examples."""
        return True

    def slots(self, epoch: int) -> Any:
        """Returns one array for each batch: the indices of its examples' tasks."""
        rng = np.random.default_rng((self.seed, epoch))
        indices = np.array(list(self.lengths), "int32")
        if self.shares is None:
            rounds = np.tile(indices, (math.ceil(self.num_batches / len(indices)), 1))
            tasks = rng.permuted(rounds, axis=1).ravel()[: self.num_batches]
        else:
            tasks = rng.choice(indices, self.num_batches, p=self.shares)
        slots = np.repeat(tasks, self.batch_size)
        if self.mixed:
            slots = rng.permutation(slots)
        return slots.reshape(self.num_batches, self.batch_size)

    def alone(self, index: int) -> "TrainingOrder":
        """Returns as many batches of one task as it has here, for a network of that task."""
        share = np.mean(np.equal(self.slots(0), index))
        return dataclasses.replace(
            self,
            lengths={0: self.lengths[index]},
            num_batches=max(round(share * self.num_batches), 1),
            mixed=False,
            shares=None,
        )

    def rng(self, epoch: int, index: Any) -> Any:
        """Returns the random numbers of one task's examples in one epoch."""
        return np.random.default_rng((self.seed, epoch, 1 + index))

    def start(self, epoch: int) -> Any:
        """Returns how many examples a stream gave before: epochs follow each other."""
        return epoch * math.ceil(self.num_batches / len(self.lengths)) * self.batch_size


@dataclasses.dataclass(frozen=True)
class SequentialOrder:
    """Every example once, task after task; a task's last batch may be smaller.

    Args:
        lengths: Number of examples by index of the task in `tasks`.
        batch_size: Largest number of examples in a batch.
    """

    lengths: dict[int, int]
    batch_size: int
    mixed = False

    @property
    def num_batches(self) -> Any:
        return sum(math.ceil(length / self.batch_size) for length in self.lengths.values())

    @property
    def same_sizes(self) -> bool:
        return all(length % self.batch_size == 0 for length in self.lengths.values())

    def alone(self, index: int) -> "SequentialOrder":
        """Returns the batches of one task, for a network of that task."""
        return SequentialOrder({0: self.lengths[index]}, self.batch_size)

    def slots(self, epoch: int) -> list[Any]:
        return [
            np.full(min(self.batch_size, length - start), index, "int32")
            for index, length in self.lengths.items()
            for start in range(0, length, self.batch_size)
        ]

    def rng(self, epoch: int, index: Any) -> Any:
        return None

    def start(self, epoch: int) -> int:
        return 0


def passes(rng: np.random.Generator, length: Any, count: Any) -> Any:
    """Returns `count` rows of `length`: reshuffled passes, one after the other.

    Without random numbers (`rng=None`) the rows come as they lie.
    """
    repeats = np.tile(np.arange(length), (math.ceil(count / length), 1))
    if rng is not None:
        repeats = rng.permuted(repeats, axis=1)
    return repeats.ravel()[:count]


def uniform_steps(lengths: Any, batch_size: int) -> Any:
    """Returns the batches of an epoch: rounds until the longest task is through."""
    return math.ceil(max(lengths.values()) / batch_size) * len(lengths)


def sampling_shares(lengths: Any, sampling: Any, sampling_temperature: Any) -> Any:
    """Returns each task's chance to be drawn for a batch, `None` for equal rounds."""
    if sampling == "uniform":
        return None
    exponent = 1 / sampling_temperature if sampling == "temperature" else 1.0
    shares = np.array(list(lengths.values()), "float64") ** exponent
    return shares / shares.sum()
