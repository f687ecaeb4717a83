"""The table that run.py trains on, and sizes of its networks."""

import numpy as np

FEATURES, UNITS, TOWER = 486, 64, 32
TASKS = ("income", "never_married", "college")
LEARNING_RATE = 1e-3


def table(rows):
    """Returns random features and a dict of labels by task."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, FEATURES), "float32")
    return x, {task: rng.integers(0, 2, (rows, 1)).astype("float32") for task in TASKS}


def own_experts(num_experts):
    """Returns how many experts each task of CGC has of its own; as many or more are shared."""
    return num_experts // (len(TASKS) + 1)
