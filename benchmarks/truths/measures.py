"""How much of a known structure a trained network found, whatever the method says it by."""

import numpy as np
from sklearn.metrics import roc_auc_score

import keras_mtl
from keras_mtl.analysis import alphas, executed_blocks, expert_usage, relatedness_over_time
from keras_mtl.analysis.stitches import stitch_layers


def said(read):
    """Returns what `read` returns, or `None` where a network has nothing of the kind to say."""
    try:
        return read()
    except ValueError:
        return None


def component_weights(model, x):
    """Returns how much each task uses each component of each list: `(tasks, components)` arrays.

    Probabilities of allocations, routes and policies, or mean weights of experts; `None` where a
    method says neither.
    """
    weights = said(lambda: keras_mtl.allocation_probabilities(model))
    if weights is None:
        usage = said(lambda: expert_usage(model, x))
        weights = usage and [np.stack(rows) for rows in zip(*usage.values(), strict=True)]
    return weights and [np.abs(one) for one in weights]


def similarity(model, x):
    """Returns how alike tasks are in what they use, or in what their towers read; or `None`."""
    if stitch_layers(model):
        mass = np.mean([_between_tasks(alpha, len(model.tasks)) for alpha in alphas(model)], axis=0)
        return mass + mass.T
    weights = component_weights(model, x)
    if weights is None:
        return None
    rows = np.concatenate(weights, axis=1).astype("float64")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)
    return rows @ rows.T


def _between_tasks(alpha, num_tasks):
    parts = len(alpha) // num_tasks
    blocks = np.abs(alpha).reshape(num_tasks, parts, num_tasks, parts, -1)
    return blocks.sum(axis=(1, 3, 4))


def groups_found(model, x, clusters):
    """Chance that two tasks of a cluster are more alike than two that are not: 1/2 by luck."""
    alike = similarity(model, x)
    if alike is None:
        return None
    first, second = np.triu_indices(len(clusters), 1)
    together = (clusters[first] == clusters[second]) & (clusters[first] >= 0)
    return float(roc_auc_score(together, alike[first, second].round(6)))


def own_component(model, x, owners):
    """Share of a task's weight in the first list that lies on its own component."""
    weights = component_weights(model, x)
    if weights is None:
        return None
    shares = weights[0] / weights[0].sum(axis=1, keepdims=True).clip(1e-12)
    return float(shares[np.arange(len(owners)), owners].mean())


def deep_tasks_found(blocks, deep):
    """Chance that a task in need of depth executes more blocks than one that is not: 1/2 by luck.

    Args:
        blocks: Dict, task -> how many blocks it executes, in the mean.
        deep: Dict, task -> whether it needs depth.
    """
    pairs = [
        np.sign(blocks[more] - blocks[less])
        for more in deep if deep[more]
        for less in deep if not deep[less]
    ]  # fmt: skip
    return float(np.mean(pairs) / 2 + 0.5)


def executed(model, x):
    """Returns how many blocks each task executes, in the mean of examples; or `None`."""
    rows = said(lambda: executed_blocks(model, x))
    return rows and {task: float(one.sum(axis=1).mean()) for task, one in rows.items()}


def deep_examples_found(model, x, deep):
    """Largest difference, of all gates, between examples in need of depth and others: 0 by luck.

    Not the number of blocks: a target rate is met as well where either kind has a block to itself.
    """
    rows = said(lambda: executed_blocks(model, x))
    if rows is None:
        return None
    (opened,) = rows.values()
    return float(np.abs(opened[deep].mean(axis=0) - opened[~deep].mean(axis=0)).max())


def relatedness_found(model, x, truth):
    """Correlation of relatedness over time with the truth, over steps and pairs of tasks."""
    pairs = np.triu_indices(truth.shape[1], 1)
    found = said(lambda: relatedness_over_time(model, x)[:, *pairs].ravel())
    if found is None:
        return None
    return 0.0 if np.ptp(found) == 0 else float(np.corrcoef(found, truth[:, *pairs].ravel())[0, 1])
