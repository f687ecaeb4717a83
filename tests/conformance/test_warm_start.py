"""Every network starts from a trained one of its kind, whatever the order of its tasks."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task
from tests.conformance import registry
from tests.conformance.methods.method import dense
from tests.conformance.ways import answers

OWN = {  # lists have a component for each task, and so many more
    "build_cross_stitch": 0,
    "build_no_sharing": 0,
    "build_ple": 2,
    "build_single_tasks": 0,
    "build_sluice": 0,
}
GIVEN = {  # what each task is given, in the words of the builder
    "build_dynashare": ("policy", {"color": [1, 0], "animal": [1, 1], "width": [0, 1]}),
    "build_fixed_random": ("routes", {"color": [2, 0], "animal": [1, 1], "width": [0, 2]}),
}
MIXED = {  # tasks that read each other, so that one more changes the answers of others
    "build_communicating": set(registry.TASKS),
    "build_cross_stitch": set(registry.TASKS),
    "build_girnet": {"animal"},
    "build_ple": set(registry.TASKS),
    "build_sluice": set(registry.TASKS),
}
TURNED = {name: registry.TASKS[name] for name in ("width", "color", "animal")}
MORE = {"width": TURNED["width"], "extra": Task("classes", 4), **TURNED}


def built(name, task_data, tasks, seed):
    """Builds the network of the registry, with settings that know the tasks in any order."""
    number = OWN.get(name, 3 - len(tasks)) + len(tasks)
    layer = partial(keras_mtl.layers.ResidualDense, 4) if is_made_of_blocks(name) else dense
    several = [layer] * (1 if is_made_of_blocks(name) else number)
    stack = [several, registry.dropout, dense, several]
    changes = {"exclusivity": 0} if name == "build_mmoeex" else {}
    if name in GIVEN:
        argument, rows = GIVEN[name]
        changes = {argument: [rows.get(task, [1, 1]) for task in tasks]}
    if name == "build_fixed_random":
        changes["components_per_task"] = 1
    shape = (7, 6) if name in registry.SEQUENCE_BUILDERS else (6,)
    return registry.built(
        name, task_data, keras.Input(shape), stack, seed=seed, tasks=tasks, **changes
    )


def is_made_of_blocks(name):
    return name in registry.BLOCK_BUILDERS


def trained(name, task_data, tasks):
    """Returns a network whose numbers have all moved, as training moves them."""
    model = built(name, task_data, tasks, seed=3)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.dtype == "float32" and not variable.path.endswith("masks"):
            moved = variable.numpy() + rng.normal(0, 0.1, variable.shape)
            variable.assign(np.abs(moved) if "variance" in variable.path else moved)
        elif variable.dtype == "int32" and not variable.shape:
            variable.assign(7)
    return model


def started(name, task_data, tasks, old_tasks):
    """Returns how far the answers of common tasks are from before, by task, and the report."""
    old = trained(name, task_data, old_tasks)
    new = built(name, task_data, tasks, seed=4)
    report = keras_mtl.warm_start(new, old)
    x = registry.SEQUENCES if name in registry.SEQUENCE_BUILDERS else registry.FEATURES
    before, after = answers(old, x), answers(new, x)
    both = [task for task in tasks if task in before]
    return {task: np.abs(after[task] - before[task]).max() for task in both}, report


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task_data"), registry.PAIRS)
def test_equal_tasks_answer_as_before(name, task_data):
    off, report = started(name, task_data, registry.TASKS, registry.TASKS)
    assert max(off.values()) <= 1e-6
    assert not (report.grown or report.new or report.left_out or report.different)
    assert set(report.tasks.values()) == {"copied"}


@pytest.mark.parametrize(("name", "task_data"), registry.PAIRS)
def test_tasks_are_matched_by_name(name, task_data):
    off, report = started(name, task_data, TURNED, registry.TASKS)
    assert max(off.values()) <= 1e-6
    assert not (report.grown or report.new or report.left_out or report.different)


@pytest.mark.parametrize("turn", ["added", pytest.param("left out", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "task_data"), registry.PAIRS)
def test_other_tasks_leave_what_is_not_mixed_as_it_was(name, task_data, turn):
    tasks = (MORE, registry.TASKS) if turn == "added" else (registry.TASKS, MORE)
    off, report = started(name, task_data, *tasks)
    mixed = MIXED.get(name, set())
    assert all(off[task] <= 1e-6 for task in off if task not in mixed)
    assert all(off[task] > 1e-6 for task in mixed)  # none is an excuse
    assert report.tasks["extra"] == ("new" if turn == "added" else "left out")
    assert not report.different
