"""Labels of a tagging task from words' tags."""

from typing import Any

import numpy as np

from keras_mtl.kinds import MISSING_CLASS


def tag_ids(sentences: Any, tag_names: Any, length: Any = None) -> Any:
    """Returns the labels of a tagging task, in the shape of its sentences' word ids.

    Args:
        sentences: List of sentences, each a list of tags; `None` where a word is not
            labelled.
        tag_names: List of all tags; a tag's index is its class.
        length: Number of steps; longer sentences are cut. `None`: as many as the longest
            sentence has, but at least 1. Defaults to `None`.

    Returns:
        int32 `(batch, steps)`, -1 where there is no word or no label.

    Raises:
        ValueError: A tag that is not in `tag_names`.

    Example:

    >>> tag_ids([["DET", "NOUN"], ["VERB", None, "DET"]], ["DET", "NOUN", "VERB"])
    array([[ 0,  1, -1],
           [ 2, -1,  0]], dtype=int32)
    """
    indices = {tag: index for index, tag in enumerate(tag_names)} | {None: MISSING_CLASS}
    if length is None:
        length = max(1, *map(len, sentences))
    ids = np.full((len(sentences), length), MISSING_CLASS, "int32")
    for row, tags in enumerate(sentences):
        for step, tag in enumerate(tags[:length]):
            if tag not in indices:
                raise ValueError(
                    f"Unknown tag {tag!r} in sentence {row}. Known: {', '.join(tag_names)}. Add it "
                    "to tag_names, or give None: the word is then not labelled."
                )
            ids[row, step] = indices[tag]
    return ids
