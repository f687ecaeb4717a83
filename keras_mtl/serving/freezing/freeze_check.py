"""The findings of `check_freeze`, and what they say against freezing."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np


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
