"""Scores of tagged sequences: by token, by tag and by span."""

import dataclasses
import re
from typing import Any

import numpy as np

_BIO = re.compile(r"O|[BI]-.+")


@dataclasses.dataclass(frozen=True)
class TaggingScores:
    """Scores of tagged sequences; more is better, 1 is perfect.

    Attributes:
        accuracy: Fraction of labelled tokens that got their tag, in [0, 1].
        macro_f1: Mean F1 of the tags that occur in labels or predictions, in [0, 1].
        span_f1: F1 of whole spans, in [0, 1]; `None` when the tags are not BIO.
    """

    accuracy: float
    macro_f1: float
    span_f1: float | None


def tagging_scores(y_true: Any, y_pred: Any, tag_names: Any) -> Any:
    """Scores predicted tags of sentences against their labels.

    Only labelled steps count. An unlabelled step amid a sentence is taken out, so that a
    span goes on behind it, as behind the later parts of a word cut into pieces.

    Tags are BIO when every name is `"O"`, `"B-<type>"` or `"I-<type>"`. A span counts when
    type, first and last token are right, over all types together, as conlleval counts: an
    `I-` without a span of its type before it begins one. Without any span the F1 is 0.

    Source: the CoNLL-2000 shared task and its conlleval, Tjong Kim Sang and Buchholz 2000,
    https://aclanthology.org/W00-0726.

    Args:
        y_true: Tag ids, -1 or NaN = not labelled (padding), shape `(sentences, steps)`, or a
            list of `(steps,)` arrays of any lengths. Batches of different widths become such
            a list by `list.extend`.
        y_pred: Probabilities `(sentences, steps, tags)` or tag ids `(sentences, steps)`, or a
            list of `(steps, tags)` or `(steps,)` arrays.
        tag_names: List of names, in the order of the tag ids.

    Returns:
        A `TaggingScores(accuracy, macro_f1, span_f1)`.

    Raises:
        ImportError: scikit-learn or seqscore is not installed.
        ValueError: Shapes that do not fit, an id without a name, probabilities of another
            number of tags, NaN predictions, nothing labelled.

    Example:

    >>> names = ["O", "B-NP", "I-NP"]
    >>> y_true = [[1, 2, 0, 1], [1, 0, -1, -1]]  # three spans; the second sentence is padded
    >>> y_pred = [[1, 2, 0, 0], [1, 0, 2, 2]]  # two of them found
    >>> scores = tagging_scores(y_true, y_pred, names)
    >>> round(scores.accuracy, 3), round(scores.span_f1, 3)
    (0.833, 0.8)
    """
    tag_f1, span_counts = scoring_functions()
    truths, guesses = _labelled_tags(y_true, y_pred, len(tag_names))
    if not any(map(len, truths)):
        raise ValueError(
            "Nothing is labelled: every tag of y_true is -1 or NaN. Give at least one labelled "
            "step."
        )
    true_ids, pred_ids = np.concatenate(truths), np.concatenate(guesses)
    span_f1 = None
    if all(_BIO.fullmatch(name) for name in tag_names):
        true_tags, pred_tags = (
            [[tag_names[tag] for tag in sentence] for sentence in sentences]
            for sentences in (truths, guesses)
        )
        span_f1 = span_counts(pred_tags, true_tags, "BIO", repair="conlleval")[0].f1
    return TaggingScores(
        accuracy=float(np.mean(true_ids == pred_ids)),
        macro_f1=float(tag_f1(true_ids, pred_ids, average="macro", zero_division=0)),
        span_f1=span_f1,
    )


def scoring_functions() -> tuple[Any, Any]:
    """Returns scikit-learn's F1 of tags and seqscore's counts of spans, or says what to install."""
    try:
        from seqscore.scoring import score_label_sequences
        from sklearn.metrics import f1_score
    except ImportError as error:
        raise ImportError(
            "Tagging scores need scikit-learn and seqscore. Install them with: "
            'pip install "keras_mtl[tagging]"'
        ) from error
    return f1_score, score_label_sequences


def _labelled_tags(y_true: Any, y_pred: Any, num_tags: Any) -> tuple[Any, Any]:
    """Returns tag ids at the labelled steps of each sentence: those given, those predicted."""
    if len(y_true) != len(y_pred):
        raise ValueError(
            f"y_true has {len(y_true)} sentences, y_pred has {len(y_pred)}. Give a prediction for "
            "every sentence."
        )
    truths, guesses = [], []
    for number, (truth, guess) in enumerate(zip(y_true, y_pred, strict=True)):
        truth, guess = np.asarray(truth), np.asarray(guess)
        _check_shapes(number, truth.shape, guess.shape, num_tags)
        labelled = (truth != -1) & ~np.isnan(truth)
        truth, guess = truth[labelled], guess[labelled]
        if np.isnan(guess).any():
            raise ValueError(
                f"Sentence {number} of y_pred holds NaN at a labelled step. The network has "
                "diverged; lower the learning rate."
            )
        guess = guess if guess.ndim == 1 else np.argmax(guess, axis=-1)
        for name, tags in (("y_true", truth), ("y_pred", guess)):
            unknown = tags[~np.isin(tags, np.arange(num_tags))]
            if unknown.size:
                raise ValueError(
                    f"Sentence {number} of {name} has a tag without a name: {unknown[0]}. With "
                    f"{num_tags} tag_names, tag ids are 0 to {num_tags - 1}."
                )
        truths.append(truth.astype(int))
        guesses.append(guess.astype(int))
    return truths, guesses


def _check_shapes(number: Any, true_shape: Any, pred_shape: Any, num_tags: Any) -> None:
    if len(true_shape) != 1 or len(pred_shape) not in (1, 2) or pred_shape[0] != true_shape[0]:
        raise ValueError(
            f"Sentence {number} must have labels of shape (steps,) and predictions of shape "
            f"(steps, tags) or (steps,), with as many steps. Received: {true_shape} and "
            f"{pred_shape}. Join the sentences of several batches by list.extend."
        )
    if len(pred_shape) == 2 and pred_shape[1] != num_tags:
        raise ValueError(
            f"y_pred has probabilities of {pred_shape[1]} tags, tag_names has {num_tags} names. "
            "Give one name for each tag, in the order of the tag ids."
        )
