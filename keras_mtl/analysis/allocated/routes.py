"""The routes of tasks: how sure policies are, how alike the tasks of one or two networks."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.allocated.allocation import allocation_probabilities


def policy_perplexity(model: keras.Model) -> Any:
    """Returns how many components each routed layer still chooses among, the mean over tasks.

    The exponential of a row's entropy: the number of components of a uniform row, 1 of a sure
    one. Over training: `[policy_perplexity(entry) for entry in recorder.probabilities]`.

    Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission,
    Figure 1.

    Args:
        model: A model whose tasks choose one component of a layer, such as of
            `keras_mtl.build_routing_network`, or a list of `(num_tasks, num_components)` arrays,
            such as an entry of `keras_mtl.AllocationRecorder().probabilities`.

    Returns:
        List of numbers, one per routed layer.

    Raises:
        ValueError: The model allocates nothing; rows that are no probabilities of one choice.

    Example:

    >>> [round(value, 3) for value in policy_perplexity([np.full((2, 4), 0.25), np.eye(3)])]
    [4.0, 1.0]
    """
    found = []
    for policy in _policies(model):
        nats = -np.sum(policy * np.log(np.where(policy > 0, policy, 1.0)), axis=1)
        found.append(float(np.exp(nats).mean()))
    return found


def route_similarity(model: keras.Model, other: Any = None) -> list[Any]:
    """Returns the cosine similarity of the tasks' policies in each routed layer.

    Of two networks, such as of two seeds, it says whether tasks take the same way in both: entry
    `[i, j]` compares task i of the first with task j of the second. Components of two networks
    have nothing in common but their number, so grouping is compared by `grouping_agreement`.

    Source: "Re-examining Routing Networks for Multi-task Learning", ICLR 2020 submission,
    Figures 2 and 4.

    Args:
        model: As for `policy_perplexity`.
        other: The same, or `None` to compare the tasks of one network. Defaults to `None`.

    Returns:
        List of arrays `(num_tasks, num_tasks)` of numbers in [0, 1], one per routed layer.

    Raises:
        ValueError: As of `policy_perplexity`, networks of other layers.

    Example:

    >>> route_similarity([np.eye(3)[[2, 0, 2]]])[0].tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    pairs = _pairs(model, model if other is None else other)
    return [np.clip(_unit(first) @ _unit(second).T, 0.0, 1.0) for first, second in pairs]


def grouping_agreement(model: keras.Model, other: Any) -> list[Any]:
    """Returns how alike two networks group their tasks by likeliest component, in each layer.

    The adjusted Rand index: 1 for the same groups, whatever their components are called, and
    0 on average for groups by chance.

    Args:
        model: As for `policy_perplexity`.
        other: The same, with the same tasks.

    Returns:
        List of numbers of at most 1, one per routed layer.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: As of `route_similarity`.

    Example:

    >>> grouping_agreement([np.eye(3)[[2, 0, 2, 0]]], [np.eye(3)[[1, 2, 1, 2]]])
    [1.0]
    """
    adjusted_rand_score = _adjusted_rand_score()
    return [
        float(adjusted_rand_score(first.argmax(axis=1), second.argmax(axis=1)))
        for first, second in _pairs(model, other)
    ]


def _policies(model: keras.Model) -> Any:
    """Returns the policies of a model, or those given, in double precision."""
    given = model if isinstance(model, list | tuple) else allocation_probabilities(model)
    policies = [np.asarray(policy, "float64") for policy in given]
    for number, policy in enumerate(policies, start=1):
        if policy.ndim != 2 or not np.allclose(policy.sum(axis=1), 1.0, atol=1e-4):
            raise ValueError(
                f"The rows of routed layer {number} are no probabilities of one choice: they must "
                "sum to 1. Tasks that may use several components have task_similarity instead."
            )
    return policies


def _pairs(model: keras.Model, other: Any) -> Any:
    first, second = _policies(model), _policies(other)
    shapes = [[policy.shape for policy in policies] for policies in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "Networks are compared layer by layer, so they need the same numbers of tasks and "
            f"components. Received: {shapes[0]} and {shapes[1]}"
        )
    return list(zip(first, second, strict=True))


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _adjusted_rand_score() -> Any:
    try:
        from sklearn.metrics import adjusted_rand_score
    except ImportError as error:
        raise ImportError(
            "The agreement of groupings needs scikit-learn. Install it with: "
            'pip install "keras_mtl[tagging]"'
        ) from error
    return adjusted_rand_score
