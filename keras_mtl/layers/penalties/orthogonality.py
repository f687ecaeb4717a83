"""A penalty on subspaces of a layer that learn the same."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks

_LSTM_GATES = 4
_ORIENTATIONS = ("units", "reference")


@keras.saving.register_keras_serializable("keras_mtl")
class SubspaceOrthogonality(keras.regularizers.Regularizer):
    """Penalizes weights of one subspace that point where those of another do.

    The columns of a kernel, one per unit, are split into subspaces as `Sluice` splits the
    units: `weight * sum over pairs of subspaces of ||K_s^T K_s'||_F^2`, the squared inner
    products of every unit of one with every unit of the other. Give it to any layer as
    `kernel_regularizer` or `recurrent_regularizer`; `build_sluice(orthogonality_weight=...)`
    does. Logs name it `orthogonality_penalty`.

    Source: Ruder et al. 2017, https://arxiv.org/abs/1705.08142, section 2.2, Eq. 4, most effective
    there on "the weights associated with the LSTM inputs", which in its code are those of the
    input gate. Differs from the code: inner products are those of units' weight vectors, as
    Eq. 4 says; there they pair the units by number, which `orientation="reference"` does.
    More than two subspaces are an extension. The reference code adds the penalty at every
    task's update, here it counts once per batch.

    Args:
        num_subspaces: Subspaces of the units. Defaults to 2.
        weight: Factor, at least 0. Defaults to 0.1.
        num_gates: How many blocks of columns a kernel has: 1, 4 for an LSTM, 3 for a GRU.
            Each is penalized on its own. Defaults to 1.
        gate: Place of the only block to penalize, such as 0, an LSTM's input gate; `None`
            for all. Defaults to `None`.
        orientation: `"units"`, `K_s^T K_s'`, or `"reference"`, `K_s K_s'^T`. Defaults to
            `"units"`.
        normalize: Whether to divide by the number of squares that are added up. Defaults to
            `False`.

    Raises:
        ValueError: An unknown orientation, a negative weight, a kernel that cannot be split.

    Example:

    >>> penalty = SubspaceOrthogonality(num_subspaces=2, weight=1.0)
    >>> float(penalty(keras.ops.array([[1.0, 2.0], [3.0, 4.0]])))  # (1 * 2 + 3 * 4) ** 2
    196.0
    """

    penalty_name = "orthogonality_penalty"

    def __init__(
        self,
        num_subspaces: int = 2,
        weight: float = 0.1,
        num_gates: int = 1,
        gate: Any = None,
        orientation: str = "units",
        normalize: bool = False,
    ) -> None:
        self.num_subspaces = checks.count("num_subspaces", num_subspaces)
        self.weight = checks.number("weight", weight, least=0)
        self.num_gates = checks.count("num_gates", num_gates)
        self.gate = gate if gate is None else checks.count("gate", gate, 0, self.num_gates - 1)
        self.orientation = checks.word("orientation", orientation, _ORIENTATIONS)
        self.normalize = checks.flag("normalize", normalize)

    def __call__(self, kernel: Any) -> Any:
        width = kernel.shape[-1]
        if width % (self.num_gates * self.num_subspaces):
            raise ValueError(
                f"A kernel of width {width} cannot be split into {self.num_gates} gates of "
                f"{self.num_subspaces} subspaces. Choose units that num_subspaces divides."
            )
        kernel = ops.reshape(
            ops.cast(kernel, "float32"),
            (-1, self.num_gates, self.num_subspaces, width // self.num_gates // self.num_subspaces),
        )
        if self.gate is not None:
            kernel = kernel[:, self.gate : self.gate + 1]
        products = "igsu,igtv->gstuv" if self.orientation == "units" else "igsu,jgtu->gstij"
        squares = ops.square(ops.einsum(products, kernel, kernel))
        pairs = ops.triu(ops.sum(squares, axis=(0, 3, 4)), k=1)
        number = self.num_subspaces * (self.num_subspaces - 1) // 2
        number *= squares.shape[0] * squares.shape[3] * squares.shape[4]
        scale = self.weight / number if self.normalize and number else self.weight
        return scale * ops.sum(pairs)

    def get_config(self) -> dict[str, Any]:
        return {
            "num_subspaces": self.num_subspaces,
            "weight": self.weight,
            "num_gates": self.num_gates,
            "gate": self.gate,
            "orientation": self.orientation,
            "normalize": self.normalize,
        }


PARTS: dict[str, dict[str, Any]] = {  # which kernels of an LSTM, and which of their gates
    "input_gate_recurrent": {"recurrent_regularizer": 0},
    "input_kernel": {"kernel_regularizer": None},
    "all": {"kernel_regularizer": None, "recurrent_regularizer": None},
}


def lstm_orthogonality(part: Any, num_subspaces: int, weight: Any) -> dict[Any, Any]:
    """Returns the regularizers of an LSTM that penalize a part of its weights.

    Args:
        part: `"input_gate_recurrent"`, the reference code's choice as far as a Keras LSTM has
            it; `"input_kernel"`, all weights of the input; or `"all"`.

    Returns:
        Dict, name of an argument of the layer -> regularizer.
    """
    checks.word("orthogonality", part, tuple(PARTS))
    return {
        argument: SubspaceOrthogonality(num_subspaces, weight, _LSTM_GATES, gate)
        for argument, gate in PARTS[part].items()
    }
