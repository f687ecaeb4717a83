"""The check before freezing: how much an allocation leaves to chance."""

import dataclasses
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_mtl.layers import (
    InstanceGate,
    ModularDecoder,
    NoisyTopKGates,
    RecurrentModular,
    RoutedLSTM,
    SubNetworkRouting,
)
from keras_mtl.layers.penalties.allocation_penalty import binary_entropy
from keras_mtl.serving.freezing.drawn_allocations import (
    drawn_layers,
    force,
    one_draw,
    variable_of,
)
from keras_mtl.serving.freezing.freeze import frozen_network
from keras_mtl.serving.freezing.frozen_score import judged

_DECIDE = (
    InstanceGate,
    ModularDecoder,
    NoisyTopKGates,
    RecurrentModular,
    RoutedLSTM,
    SubNetworkRouting,
)


class Doubt(NamedTuple):
    """One undecided choice; `component` counts from 1, as in the names of components."""

    task: str
    layer: str
    component: int
    probability: float


@dataclasses.dataclass(frozen=True)
class FreezeCheck:
    """The findings of `check_freeze`. `str()` makes them readable.

    Attributes:
        bits: Entropy left in all learned allocations.
        least_certain: The `Doubt` about the choice of freezing that draws repeat least: mostly the
            one with the probability nearest one half, of policies that choose one component the
            least probable choice. `None` when no allocation is learned.
        agreement: Dict, task -> chance that a training batch draws just the components that
            freezing keeps.
        score: `"mean_accuracy"` (more is better), `"loss"` without penalties (less is
            better), or `None` without validation data.
        trained: Score of the model in inference.
        frozen: Score of the frozen network.
        sampled: Scores of allocations drawn from the probabilities.
        draws: Names of the layers that draw something else in training: a connection, a function,
            a gate, an expert.
    """

    bits: float = 0.0
    least_certain: Any = None  # a Doubt
    agreement: dict[str, float] = dataclasses.field(default_factory=dict)
    score: str | None = None
    trained: Any = None  # numbers
    frozen: Any = None
    sampled: tuple = ()
    draws: tuple[str, ...] = ()

    @property
    def sampled_mean(self) -> Any:
        return float(np.mean(self.sampled))

    @property
    def sampled_sd(self) -> Any:
        return float(np.std(self.sampled, ddof=1))

    def problems(self) -> Any:
        """Returns what speaks against freezing now, each with what to do; `[]` if nothing."""
        found = []
        if any(chance <= 0.5 for chance in self.agreement.values()):
            found.append(
                f"The allocation is undecided. {self._describe_bits()} Train longer or raise the "
                "learning rate of the allocation or policy; a Gumbel-Matrix also decides sooner by "
                "a larger entropy_weight, or a lower temperature at the end."
            )
        if self.score and not self._is_the_same():
            found.append(
                f"The frozen network is another one. {self._describe_trained()} A layer of the "
                "model answers otherwise after it is made anew from its config and its weights."
            )
        if self.sampled and self._loss_by_freezing() > 2 * self.sampled_sd:
            found.append(
                f"Freezing costs quality. {self._describe_score()} The network relies on drawing "
                "its components: train longer, or freeze the allocation (AllocationMatrix.freeze, "
                "for a RoutingPolicy trainable = False) and train on."
            )
        return found

    def __str__(self) -> str:
        lines = [] if self.least_certain is None else [self._describe_bits()]
        if self.draws:
            lines.append(
                f"In training {', '.join(self.draws)} draw what they do for each batch, example or "
                "step; freezing keeps the most likely."
            )
        if not lines:
            lines.append("Nothing to check: no allocation of this model is learned.")
        if self.score:
            lines.append(self._describe_trained())
        if self.sampled:
            lines.append(self._describe_score())
        return "\n".join(lines)

    def _is_the_same(self) -> bool:
        return bool(np.isclose(self.frozen, self.trained, 1e-3, 1e-3, equal_nan=True))

    def _describe_trained(self) -> str:
        return f"{self.score} is {self.frozen:.4g} frozen, {self.trained:.4g} as trained."

    def _loss_by_freezing(self) -> Any:
        worse = self.sampled_mean - self.frozen
        return worse if self.score == "mean_accuracy" else -worse

    def _describe_bits(self) -> str:
        task, layer, component, probability = self.least_certain
        chances = ", ".join(f"{name} {chance:.0%}" for name, chance in self.agreement.items())
        return (
            f"{self.bits:.3g} bits of entropy are left; least certain is task {task!r} in "
            f"{layer!r}, component {component}, with probability {probability:.2f}. "
            f"Chance that a training batch draws the frozen components: {chances}."
        )

    def _describe_score(self) -> str:
        return (
            f"{self.score} is {self.frozen:.4g} frozen, against {self.sampled_mean:.4g} ± "
            f"{self.sampled_sd:.2g} over {len(self.sampled)} sampled allocations."
        )


def check_freeze(
    model: keras.Model, validation_data: Any = None, num_samples: int = 5, seed: int | None = 0
) -> Any:
    """Tells whether freezing keeps what was trained.

    In training every batch draws an allocation, in routing networks even every example may;
    freezing keeps the most likely one. The two agree when probabilities are near 0 or 1. Where
    they are not, the score on validation data tells whether that matters: components with equal
    merits may stay undecided. The frozen network itself is scored, of every method: it must be
    as good as the model in inference. `keras_mtl.export` runs it.

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
    drawn = list(drawn_layers(model))
    check = _entropy(drawn) if drawn else FreezeCheck()
    draws = tuple(layer.name for layer in model.layers if isinstance(layer, _DECIDE))
    check = dataclasses.replace(check, draws=draws)
    if validation_data is None:
        return check
    score, trained = _score(model, validation_data)
    _, frozen = _score(judged(model, frozen_network(model)), validation_data)
    sampled = _sampled_scores(model, validation_data, drawn, num_samples if drawn else 0, seed)
    return dataclasses.replace(check, score=score, trained=trained, frozen=frozen, sampled=sampled)


def _entropy(drawn: Any) -> Any:
    bits = 0.0
    doubts: list[tuple[float, Doubt]] = []
    agreement: dict[str, Any] = {}
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


def _sampled_scores(
    model: keras.Model, data: Any, drawn: Any, num_samples: Any, seed: int | None
) -> Any:
    """Returns the scores of drawn allocations."""
    rng = np.random.default_rng(seed)
    variables = [variable_of(layer) for layer, _, _ in drawn]
    learned = [np.array(ops.convert_to_numpy(ops.convert_to_tensor(v))) for v in variables]
    scores = []
    try:
        for _ in range(num_samples):
            for layer, _, probability in drawn:
                force(layer, one_draw(layer, probability, rng))
            scores.append(_score(model, data)[1])
    finally:
        for variable, values in zip(variables, learned, strict=True):
            variable.assign(values)
    return tuple(scores)


def _score(model: keras.Model, data: Any) -> tuple[Any, Any]:
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    logs = model.evaluate(x, y, sample_weight=sample_weight, verbose=0, return_dict=True)
    if "mean_accuracy" in logs and all(f"{task}_accuracy" in logs for task in model.tasks):
        return "mean_accuracy", logs["mean_accuracy"]
    penalties = {name for layer in model.layers for name in getattr(layer, "penalties", ())}
    regularized = sum(
        float(ops.convert_to_numpy(weight.regularizer(weight)))
        for weight in model.trainable_variables
        if weight.regularizer is not None
    )
    penalty = sum(logs[name] for name in penalties if name in logs)
    return "loss", logs["loss"] - penalty - regularized
