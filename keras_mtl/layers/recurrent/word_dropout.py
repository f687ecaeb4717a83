"""Words that hide in training, so that a network learns what to do with unknown ones."""

from typing import Any

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import passes_through
from keras_mtl.replicas import drawn_by_row
from keras_mtl.types import Shape


@keras.saving.register_keras_serializable("keras_mtl")
class WordDropout(keras.layers.Layer):
    """Replaces words by the unknown word at random, in training only.

    Stands before an `Embedding`. Without it the embedding of the unknown word is not trained,
    for in the data that a vocabulary is taken from, no word is unknown. Padding, id 0, stays.
    A frozen network does not contain the layer.

    Args:
        rate: Probability of a word to be replaced, in [0, 1).
        unknown_id: Id of the unknown word. Defaults to 1.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        word_ids: Integers `(batch, steps)`.
        training: Whether to replace words.

    Output shape:
        That of `word_ids`.

    Raises:
        ValueError: A rate outside [0, 1).

    Example:

    >>> dropout = WordDropout(0.5, seed=0)
    >>> word_ids = keras.ops.array([[7, 8, 9, 0]])
    >>> bool(keras.ops.all(dropout(word_ids) == word_ids))
    True
    >>> int(dropout(word_ids, training=True)[0, 3])  # padding stays
    0
    """

    def __init__(
        self, rate: Any, unknown_id: int = 1, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.rate = checks.number("rate", rate, least=0, below=1)
        self.unknown_id = checks.count("unknown_id", unknown_id, least=0)
        self.seed = checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True

    def call(self, word_ids: Any, training: bool = False) -> Any:
        if not training:
            return word_ids
        draw = drawn_by_row(_uniform, ops.shape(word_ids), self.seed_generator)
        hidden = (draw < self.rate) & (word_ids != 0)
        return ops.where(hidden, ops.cast(self.unknown_id, word_ids.dtype), word_ids)

    def compute_output_spec(self, word_ids: Any, training: bool = False) -> Any:
        return keras.KerasTensor(word_ids.shape, word_ids.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "unknown_id": self.unknown_id,
            "seed": self.seed,
        }

    frozen = passes_through


def _uniform(shape: Shape, seed: int | None) -> Any:
    return keras.random.uniform(shape, seed=seed)
