"""Whether a network is ready to be frozen: how much its allocation leaves to chance."""

import dataclasses
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_mtl.analysis.allocation import allocation_layers
from keras_mtl.layers import AllocationMatrix, RoutingPolicy
from keras_mtl.layers.penalties import binary_entropy

_SURE = 30.0  # log-odds whose probability is 0 or 1 in float32, but for 1e-13


class Doubt(NamedTuple):
    """One undecided choice; `component` counts from 1, as in the names of components."""

    task: str
    layer: str
    component: int
    probability: float


@dataclasses.dataclass(frozen=True)
class FreezeCheck:
    """What `check_freeze` found. `str()` makes it readable.

    Attributes:
        bits: Entropy left in all learned allocations.
        least_certain: The `Doubt` about the choice of freezing that draws repeat least: mostly the
            one with the probability nearest one half, of policies that choose one component the
            least probable choice. `None` when no allocation is learned.
        agreement: Dict, task -> chance that a training batch draws just the components that
            freezing keeps.
        score: `"mean_accuracy"` (more is better), `"loss"` without penalties (less is
            better), or `None` without validation data.
        frozen: Score of the allocation that freezing keeps.
        sampled: Scores of allocations drawn from the probabilities.
    """

    bits: float = 0.0
    least_certain: Doubt | None = None
    agreement: dict[str, float] = dataclasses.field(default_factory=dict)
    score: str | None = None
    frozen: float | None = None
    sampled: tuple = ()

    @property
    def sampled_mean(self):
        return float(np.mean(self.sampled))

    @property
    def sampled_sd(self):
        return float(np.std(self.sampled, ddof=1))

    def problems(self):
        """Returns what speaks against freezing now, each with what to do; `[]` if nothing."""
        found = []
        if any(chance <= 0.5 for chance in self.agreement.values()):
            found.append(
                f"The allocation is undecided. {self._describe_bits()} Train longer or raise the "
                "learning rate of the allocation or policy; a Gumbel-Matrix also decides sooner by "
                "a larger entropy_weight, or a lower temperature at the end."
            )
        if self.score and self._loss_by_freezing() > 2 * self.sampled_sd:
            found.append(
                f"Freezing costs quality. {self._describe_score()} The network relies on drawing "
                "its components: train longer, or freeze the allocation (AllocationMatrix.freeze, "
                "for a RoutingPolicy trainable = False) and train on."
            )
        return found

    def __str__(self):
        if self.least_certain is None:
            return "Nothing to check: no allocation of this model is learned."
        return self._describe_bits() + (f"\n{self._describe_score()}" if self.score else "")

    def _loss_by_freezing(self):
        worse = self.sampled_mean - self.frozen
        return worse if self.score == "mean_accuracy" else -worse

    def _describe_bits(self):
        task, layer, component, probability = self.least_certain
        chances = ", ".join(f"{name} {chance:.0%}" for name, chance in self.agreement.items())
        return (
            f"{self.bits:.3g} bits of entropy are left; least certain is task {task!r} in "
            f"{layer!r}, component {component}, with probability {probability:.2f}. "
            f"Chance that a training batch draws the frozen components: {chances}."
        )

    def _describe_score(self):
        return (
            f"{self.score} is {self.frozen:.4g} frozen, against {self.sampled_mean:.4g} ± "
            f"{self.sampled_sd:.2g} over {len(self.sampled)} sampled allocations."
        )


def check_freeze(model, validation_data=None, num_samples=5, seed=0):
    """Tells whether freezing keeps what was trained.

    In training every batch draws an allocation, in routing networks even every example may;
    freezing keeps the most likely one. The two agree when probabilities are near 0 or 1. Where
    they are not, the score on validation data tells whether that matters: components with equal
    merits may stay undecided. Allocations that are given, not learned, need no check.
    `keras_mtl.export` runs it.

    Args:
        model: A model made by a builder, compiled if there are validation data.
        validation_data: What `evaluate` takes: `(x, y)`, `(x, y, sample_weight)` or task
            batches, best `order="sequential"`, so that all scores see the same examples.
            Defaults to `None`, no score.
        num_samples: How many allocations to draw for comparison, at least 2. Defaults to 5.
        seed: Integer seed of these draws. Defaults to 0.

    Returns:
        A `FreezeCheck`. The model is left as it was, bit for bit.

    Raises:
        ValueError: `num_samples` below 2.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"income": "binary"}, [[dense] * 4], init_probability=0.5)
    >>> round(check_freeze(model).bits, 3)
    4.0
    """
    if num_samples < 2:
        raise ValueError(
            f"num_samples must be at least 2, to tell chance from quality. Received: {num_samples}"
        )
    drawn = list(_drawn(model))
    if not drawn:
        return FreezeCheck()
    check = _entropy(drawn)
    if validation_data is None:
        return check
    score, frozen, *sampled = _scores(model, validation_data, drawn, num_samples, seed)
    return dataclasses.replace(check, score=score, frozen=frozen, sampled=tuple(sampled))


def _drawn(model):
    """Gives the layers that draw in training, the tasks they draw for, and probabilities."""
    for layer in allocation_layers(model):
        if isinstance(layer, AllocationMatrix | RoutingPolicy) and layer.trainable:
            # the tasks of an AllocationMatrix before the last added are settled
            num_rows = _variable(layer).shape[0]
            probability = ops.convert_to_numpy(layer.probabilities())[-num_rows:]
            yield layer, list(model.tasks)[-num_rows:], probability


def _variable(layer):
    """Returns what a layer's probabilities are made of."""
    if isinstance(layer, AllocationMatrix):
        return layer.row_blocks[-1]
    return layer.scores if layer.projection == "softmax" else layer.policy


def _entropy(drawn):
    bits, doubts, agreement = 0.0, [], {}
    for layer, tasks, probability in drawn:
        if layer.chooses_one:
            nats = -np.sum(probability * np.log(np.maximum(probability, 1e-30)))
            certainty = np.where(probability == probability.max(1, keepdims=True), probability, 1)
            certain = probability.max(axis=1)
        else:
            nats = ops.convert_to_numpy(binary_entropy(ops.convert_to_tensor(probability))).sum()
            frozen = layer.matrix()[-len(tasks) :]
            certainty = np.where(frozen > 0, probability, 1 - probability)
            certain = np.prod(certainty, axis=1)
        bits += float(nats / np.log(2))
        row, column = np.unravel_index(np.argmin(certainty), certainty.shape)
        doubt = Doubt(tasks[row], layer.name, int(column) + 1, float(probability[row, column]))
        doubts.append((float(certainty[row, column]), doubt))
        for task, chance in zip(tasks, certain, strict=True):
            agreement[task] = agreement.get(task, 1.0) * float(chance)
    return FreezeCheck(bits, min(doubts)[1], agreement)


def _scores(model, data, drawn, num_samples, seed):
    """Returns what is scored, the score as it is, and the scores of drawn allocations."""
    rng = np.random.default_rng(seed)
    variables = [_variable(layer) for layer, _, _ in drawn]
    learned = [np.array(ops.convert_to_numpy(ops.convert_to_tensor(v))) for v in variables]
    score, frozen = _score(model, data)
    scores = [score, frozen]
    try:
        for _ in range(num_samples):
            for layer, _, probability in drawn:
                _force(layer, _draw(layer, probability, rng))
            scores.append(_score(model, data)[1])
    finally:
        for variable, values in zip(variables, learned, strict=True):
            variable.assign(values)
    return scores


def _draw(layer, probability, rng):
    """Returns zeros and ones drawn from probabilities, one 1 in a row where one is chosen."""
    if not layer.chooses_one:
        return rng.random(probability.shape) < probability
    share = rng.random((len(probability), 1)) * probability.sum(axis=1, keepdims=True)
    chosen = (np.cumsum(probability, axis=1) <= share).sum(axis=1)
    return np.eye(probability.shape[1])[np.minimum(chosen, probability.shape[1] - 1)]


def _force(layer, matrix):
    """Makes `matrix` the most likely allocation, through variables alone: nothing retraces."""
    if layer.chooses_one:
        _variable(layer).assign(matrix)  # probabilities, or scores of which the 1 is the largest
        return
    # a draw may leave a task without a component: min_components keeps none of probability 0
    never = -np.inf if layer.min_components else -_SURE
    log_odds = np.where(matrix, _SURE, never)
    if layer.parameterization == "two_logits":
        log_odds = np.stack([log_odds, -log_odds], axis=-1) / 2
    _variable(layer).assign(log_odds)


def _score(model, data):
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    logs = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True)
    if "mean_accuracy" in logs and all(f"{task}_accuracy" in logs for task in model.tasks):
        return "mean_accuracy", logs["mean_accuracy"]
    penalties = {name for layer in model.layers for name in getattr(layer, "penalties", ())}
    return "loss", logs["loss"] - sum(logs[name] for name in penalties if name in logs)
