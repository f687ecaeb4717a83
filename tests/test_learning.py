"""Networks find out who belongs together. Minutes of training, fixed seeds, wide margins."""

import importlib.util
import pathlib
import sys
from functools import partial

import keras
import pytest

import keras_mtl

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def example(name):
    """Returns an example as a module."""
    file = ROOT / "examples" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def test_digits_that_belong_together_share_more_and_are_read():
    pytest.importorskip("sklearn")
    digits = example("digits")
    train, test = digits.load_tasks()
    model, accuracy, parameters = digits.run_method("gumbel matrix", train, test, 0, 7200)
    within, across = digits.pair_distances(model)
    assert within < across
    assert min(accuracy.values()) > 0.85
    assert all(parameters[task] < model.count_params() for task in digits.TASKS)


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (keras_mtl.build_cross_stitch, {}),
        (keras_mtl.build_sluice, {"orthogonality_weight": 0.01}),
        (keras_mtl.build_low_supervision, {"levels": {"pos": 1}}),
        (keras_mtl.build_soft_ordering, {}),
    ],
)
def test_taggers_learn_a_small_grammar(build, settings):
    pytest.importorskip("seqscore")
    tagger = example("tagger")
    train, test = tagger.load(None)
    encoder, names, batches = tagger.prepare(train)
    layers = tagger.TOWERS
    if build is keras_mtl.build_soft_ordering:  # components keep the shape of their input
        lstm = partial(keras.layers.LSTM, 16, return_sequences=True)
        layers = [[lambda: keras.layers.Bidirectional(lstm())] * 2]
    model = tagger.trained(partial(build, **settings), encoder, names, batches, 15, layers)
    found = tagger.scores(model, encoder, names, test)
    assert found["pos"].accuracy > 0.97 and found["chunk"].accuracy > 0.97
    assert found["chunk"].span_f1 > 0.9  # the most frequent tag alone gives 0
