"""Four hundred networks drawn at random: each is right wherever it goes, or refused by name."""

import collections
import shutil
import warnings

import hypothesis
import keras
import numpy as np
import pytest

import keras_mtl
from tests.conformance.configurations import BUILDERS, configurations
from tests.conformance.matrix import PRECISE
from tests.conformance.ways import scale_of

pytestmark = pytest.mark.slow

EACH = 17  # of 24 builders
EXPORTED = (0, 6)  # of those that are built, by their number
outcomes: collections.Counter = collections.Counter()


class Wrong(Exception):
    """What a network answered otherwise, or said without a name."""


def refused(error, names=""):
    """Checks that an error is in the user's words; returns them."""
    message = str(error)
    if type(error) is not ValueError or len(message) < 20 or names.lower() not in message.lower():
        raise Wrong(f"{type(error).__name__}: {message}") from error
    return message


def give_decided_weights(model, seed=0):
    """Gives a network weights as after a long training: statistics, and clear decisions."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape, name = variable.shape, variable.name
        if name == "moving_variance":
            variable.assign(rng.uniform(0.5, 2, shape))
        elif name == "policy":
            variable.assign(rng.dirichlet(np.ones(shape[-1]), shape[0]))
        elif variable.trainable or name == "moving_mean":
            variable.assign(rng.normal(0, 2 if "logits" in name else 0.7, shape))


def answers_of(model, x, tasks):
    """Returns a dict, task -> what a network answers in inference, on its own columns."""
    answers = {}
    for index, name in enumerate(tasks):
        if model.task_data == "shared":
            answers[name] = model(x, training=False)[name]
            continue
        ids = np.full(len(x), index, "int32")
        answer = model({"inputs": x, "task_id": ids}, training=False)
        task = model.tasks[name]
        answer = answer[task.kind] if isinstance(answer, dict) else answer
        answers[name] = answer[..., : task.size]
    return {name: keras.ops.convert_to_numpy(answer) for name, answer in answers.items()}


def check_equal(where, found, expected, tasks):
    for name, answer in expected.items():
        given = np.asarray(found[name])
        if given.shape != answer.shape:
            raise Wrong(f"{where}: task {name!r} has the shape {given.shape}, not {answer.shape}")
        if not np.isfinite(given).all():
            raise Wrong(f"{where}: task {name!r} is not finite")
        off = np.max(np.abs(given - answer) / scale_of(tasks[name], answer))
        if not off <= 1e-6:
            raise Wrong(f"{where}: task {name!r} is off by {off:.2g}")


def check_grown(model, x, expected):
    """Checks what a new task leaves of the old ones; says whether there is one."""
    try:
        grown = keras_mtl.add_task(model, "added", "binary")
    except ValueError as error:
        refused(error)
        return "not grown"
    answers = answers_of(grown, x, grown.tasks)
    new = answers.pop("added")
    if not np.isfinite(new).all():
        raise Wrong("grown: the new task is not finite")
    check_equal("grown", answers, expected, model.tasks)
    return "grown"


def check_everywhere(model, x, folder, export):
    expected = answers_of(model, x, model.tasks)
    check_equal("itself", expected, expected, model.tasks)
    model.save(folder / "model.keras")
    reloaded = keras.saving.load_model(folder / "model.keras")
    check_equal("reloaded", answers_of(reloaded, x, model.tasks), expected, model.tasks)
    frozen = keras.tree.map_structure(keras.ops.convert_to_numpy, keras_mtl.freeze(model)(x))
    check_equal("frozen", frozen, expected, model.tasks)
    outcomes[check_grown(model, x, expected)] += 1
    if export:
        served = keras_mtl.load_served(keras_mtl.export(model, folder / "export"))
        answers = {name: served.predict(name, x) for name in expected}
        check_equal("served", answers, expected, model.tasks)
        outcomes["exported"] += 1


def outcome_of(configuration, folder, export):
    """Returns what became of a configuration: `"built"`, `"refused"` or what is wrong.

    In double precision: normalizations of near values make much of the last place.
    """
    keras.config.set_dtype_policy(PRECISE)
    try:
        try:
            model = configuration.build()
        except Exception as error:
            if not configuration.fault:
                raise
            refused(error, configuration.fault)
            return "refused"
        if configuration.fault:
            raise Wrong("it was built in spite of its fault")
        give_decided_weights(model)
        check_everywhere(model, configuration.examples(), folder, export)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        keras.config.set_dtype_policy("float32")
    return "built"


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_generated_network_is_right_everywhere_or_refused_by_name(builder, tmp_path, capsys):
    counts, wrong = collections.Counter(), []

    @hypothesis.seed(0)
    @hypothesis.settings(
        max_examples=EACH,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(configurations(builder))
    def ask(configuration):
        keras.backend.clear_session()
        folder = tmp_path / "networks"
        folder.mkdir()
        writes = keras.backend.backend() != "torch"  # a SavedModel
        outcome = outcome_of(configuration, folder, writes and counts["built"] in EXPORTED)
        shutil.rmtree(folder)
        if outcome not in ("built", "refused"):
            wrong.append(f"{outcome}\n    {configuration}")
            outcome = "wrong"
        counts[outcome] += 1
        outcomes[outcome] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        ask()
    with capsys.disabled():
        print(f"\n{builder}: {dict(counts)}; of all so far: {dict(outcomes)}")
    assert not wrong, "\n".join(wrong)
    assert counts["built"] and counts["refused"]
