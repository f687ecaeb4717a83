"""The encoder of sentences: strings in, integers that a network reads out."""

from typing import Any, Self

import keras

from keras_mtl import checks
from keras_mtl.data.text.strings import (
    count,
    normalized,
    split_sentences,
    split_strings,
    split_words,
)

_PADDING, _UNKNOWN = "", "[UNK]"  # ids 0 and 1


@keras.saving.register_keras_serializable("keras_mtl")
class SentenceEncoder:
    """Turns sentences into word ids and, on demand, into the ids of the words' characters.

    Id 0 is padding, 1 is what is unknown, and the vocabulary follows, most frequent first. A
    sentence is a list of words, or a string that is split at white space. The vocabularies
    are `keras.layers.StringLookup` layers and run in TensorFlow, whatever the Keras backend,
    so that `keras_mtl.export(..., preprocessing=encoder)` serves what was trained on.
    `keras.saving.serialize_keras_object(encoder)` is JSON, vocabularies included.

    Args:
        lowercase: Whether words lose their case; characters keep it. Defaults to `False`.
        zero_digits: Whether each digit of a word becomes 0, so that all numbers of one form
            are one word; characters keep them. Defaults to `False`.
        word_length: Number of characters to read of every word; longer words are cut. `None`
            reads words only. Defaults to `None`.
        words: List of known words. `None`: `adapt` finds them. Defaults to `None`.
        characters: List of known characters. `None`: `adapt` finds them. Defaults to `None`.

    Raises:
        ValueError: A word length below 1.

    Example:

    >>> encoder = SentenceEncoder(lowercase=True, word_length=4)
    >>> encoder.adapt(["the cat sat", "The dog"])
    >>> encoder.words, encoder.num_words
    (['the', 'cat', 'sat', 'dog'], 6)
    >>> ids = encoder.encode([["The", "dog"], ["A", "cat", "sat"]])
    >>> ids["words"]
    array([[2, 5, 0],
           [1, 3, 4]], dtype=int32)
    >>> ids["characters"].shape
    (2, 3, 4)
    """

    def __init__(
        self,
        lowercase: bool = False,
        zero_digits: bool = False,
        word_length: Any = None,
        words: Any = None,
        characters: Any = None,
    ) -> None:
        if word_length is not None:
            checks.count("word_length", word_length)
        self.lowercase = lowercase
        self.zero_digits = zero_digits
        self.word_length = word_length
        self._know(words, characters)

    def adapt(self, sentences: Any, min_count: int = 1, max_words: Any = None) -> None:
        """Takes the vocabularies from sentences.

        Args:
            sentences: List of sentences.
            min_count: How often a word must occur to be known. Defaults to 1.
            max_words: Largest number of words to know. `None`: no limit. Defaults to `None`.

        Raises:
            ValueError: No word is left.
        """
        strings = split_sentences(sentences).flat_values
        counts = count(normalized(strings, self.lowercase, self.zero_digits))
        words = [
            word
            for word, times in counts.most_common()
            if times >= min_count and word not in (_PADDING, _UNKNOWN)
        ]
        if not words:
            raise ValueError(
                f"No word occurs {min_count} times in these {len(sentences)} sentences. Give more "
                "of them, or a lower min_count."
            )
        characters = None
        if self.word_length is not None:
            counts = count(split_words(strings).flat_values)
            characters = [character for character, _ in counts.most_common()]
        self._know(words[:max_words], characters)

    @property
    def num_words(self) -> Any:
        """Number of word ids, with padding and unknown: the size of an `Embedding`."""
        return self._lookup("words").vocabulary_size()

    @property
    def num_characters(self) -> Any:
        """Number of character ids, with padding and unknown."""
        return self._lookup("characters").vocabulary_size()

    def vocabularies(self) -> dict[str, list[Any]]:
        """Returns what the ids stand for, which `keras_mtl.warm_start` matches embeddings by.

        Returns:
            Dict, `"words"` and on demand `"characters"` -> list by id; `None` for ids that stand
            for the same in all encoders: padding and what is unknown. An `Embedding` of as many
            rows is of these, whatever its name.
        """
        known = {"words": self.words, "characters": self.characters}
        return {name: [None, None, *strings] for name, strings in known.items() if strings}

    def inputs(self) -> Any:
        """Returns the `keras.Input` of the ids for a builder; with characters a dict of two."""
        words = keras.Input((None,), dtype="int32", name="words")
        if self.word_length is None:
            return words
        shape = (None, self.word_length)
        return {"words": words, "characters": keras.Input(shape, dtype="int32", name="characters")}

    def raw_inputs(self) -> Any:
        """Returns the `keras.InputSpec` of what signatures of an export take: sentences."""
        return keras.InputSpec(shape=(None,), dtype="string", name="inputs")

    def encode(self, sentences: Any, length: Any = None) -> Any:
        """Returns the ids of sentences as arrays.

        Args:
            sentences: List of sentences.
            length: Number of steps; longer sentences are cut. `None`: as many as the longest
                sentence has, but at least 1. Defaults to `None`.

        Returns:
            int32 `(batch, steps)`; with characters a dict of these `"words"` and of
            `"characters"`, int32 `(batch, steps, word_length)`.

        Raises:
            ValueError: One string instead of a list, strings and lists mixed, or no vocabulary.
        """
        ids = self._ids(split_sentences(sentences), length)
        return keras.tree.map_structure(lambda tensor: tensor.numpy(), ids)

    def __call__(self, strings: Any) -> Any:
        """Returns the ids of a `(batch,)` TensorFlow tensor of sentences, as tensors."""
        return self._ids(split_strings(strings), None)

    def get_config(self) -> dict[str, Any]:
        return {
            "lowercase": self.lowercase,
            "zero_digits": self.zero_digits,
            "word_length": self.word_length,
            "words": self.words,
            "characters": self.characters,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def _know(self, words: Any, characters: Any) -> None:
        self.words, self.characters = words, characters
        self.lookups = {
            name: keras.layers.StringLookup(
                vocabulary=strings, mask_token=_PADDING, oov_token=_UNKNOWN
            )
            for name, strings in (("words", words), ("characters", characters))
            if strings is not None
        }

    def _lookup(self, name: str) -> Any:
        if name not in self.lookups:
            needs = "" if name == "words" or self.word_length else " with a word_length"
            raise ValueError(
                f"This encoder knows no {name}. Make a SentenceEncoder{needs} and call "
                "adapt(sentences)."
            )
        return self.lookups[name]

    def _ids(self, words: Any, length: Any) -> Any:
        import tensorflow as tf

        def ids(name, strings, *widths):
            found = tf.maximum(self._lookup(name)(strings), 1)  # an empty word is no padding
            dense = tf.cast(found, "int32").to_tensor(shape=tf.stack([-1, steps, *widths]))
            return tf.ensure_shape(dense, (None, length, *widths))

        steps = tf.maximum(words.bounding_shape(axis=1), 1) if length is None else length
        word_ids = ids("words", normalized(words, self.lowercase, self.zero_digits))
        if self.word_length is None:
            return word_ids
        character_ids = ids("characters", split_words(words), self.word_length)
        return {"words": word_ids, "characters": character_ids}
