"""Sentences, words and characters as strings in TensorFlow: the same in training and serving."""

from collections import Counter
from typing import Any


def split_sentences(sentences: Any) -> Any:
    """Returns the words of a list of sentences, strings or lists of words: ragged `(batch, None)`.

    Raises:
        ValueError: One string instead of a list, or strings and lists of words mixed.
    """
    import tensorflow as tf

    if isinstance(sentences, str | bytes):
        raise ValueError(
            f"A list of sentences is expected. Received one string: {sentences!r}. Put it in a "
            "list."
        )
    are_strings = {isinstance(sentence, str | bytes) for sentence in sentences}
    if len(are_strings) > 1:
        raise ValueError(
            "Sentences must be all strings, or all lists of words. Received both. Split the "
            "strings into words."
        )
    if are_strings == {True}:
        return split_strings(tf.constant(list(sentences), tf.string))
    words = [word for sentence in sentences for word in sentence]
    lengths = [len(sentence) for sentence in sentences]
    return tf.RaggedTensor.from_row_lengths(tf.constant(words, tf.string), lengths)


def split_strings(strings: Any) -> Any:
    """Returns the words of a `(batch,)` tensor of strings, split at any white space."""
    import tensorflow as tf

    return tf.strings.split(tf.strings.regex_replace(strings, r"\p{Z}", " "))


def split_words(words: Any) -> Any:
    """Returns the characters of every word, with one more axis."""
    import tensorflow as tf

    return tf.strings.unicode_split(words, "UTF-8")


def normalized(words: Any, lowercase: Any, zero_digits: Any) -> Any:
    """Returns words in lower case, with a 0 for every digit, or both."""
    import tensorflow as tf

    if zero_digits:
        words = tf.strings.regex_replace(words, r"\p{Nd}", "0")
    return tf.strings.lower(words, encoding="utf-8") if lowercase else words


def count(strings: Any) -> Any:
    """Returns a `Counter` of a tensor of strings, in order of appearance."""
    return Counter(string.decode() for string in strings.numpy().tolist())
