"""Requests that an export cannot answer are refused in the user's words."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.data import SentenceEncoder
from keras_mtl.serving import export, freeze, load_served
from keras_mtl.serving.vocabularies import vocabulary_sizes

pytestmark = pytest.mark.saved_model

TAGS = {"pos": keras_mtl.Task("tagging", 4)}
TASKS = {**TAGS, "topic": 3}
embed = partial(keras.layers.Embedding, 9, 3, mask_zero=True)
lstm = partial(keras.layers.LSTM, 4, return_sequences=True)


def tagger(inputs=None, stem=(embed,), layers=(lstm,), tasks=TASKS):
    inputs = keras.Input((None,), dtype="int32") if inputs is None else inputs
    return keras_mtl.build_shared_bottom(inputs, tasks, list(layers), stem=list(stem))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    path = tmp_path_factory.mktemp("tagger") / "1"
    return load_served(export(tagger(), path, streaming=True))


@pytest.fixture(params=["predict", "stream"])
def ask(request, served):
    """Returns what asks the export, signature by signature."""
    return partial(served.predict, "pos") if request.param == "predict" else served.stream


def test_ids_of_the_vocabulary_are_answered(ask):
    ask(np.array([[0, 8, 3]]))
    ask(np.array([[0, 8, 3]], "int64"))
    ask([[1, 2]])
    ask(np.array([[1, 2]], "uint8"))


@pytest.mark.parametrize("unknown", [9, -1, 100, 2**31 - 1, -(2**31)])
def test_an_id_outside_the_vocabulary_is_refused(ask, unknown):
    with pytest.raises(ValueError, match=rf"x must hold ids from 0 to 8.* Received: {unknown}"):
        ask(np.array([[1, unknown]]))


@pytest.mark.parametrize("wide", [2**40, 2**31, -(2**31) - 1])
def test_an_integer_that_does_not_fit_is_refused(ask, wide):
    with pytest.raises(ValueError, match=f"numbers that int32 can hold. Received: {wide}"):
        ask(np.array([[1, wide]]))
    with pytest.raises(ValueError, match="Received: 18446744073709551615"):
        ask(np.array([[1, 2**64 - 1]], "uint64"))


def test_a_sequence_of_no_steps_is_refused(ask):
    with pytest.raises(ValueError, match=r"x must hold at least one step.*'inputs': \(2, 0\)"):
        ask(np.zeros((2, 0), "int32"))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="its networks take one at least")
def test_no_example_gets_no_answer(served):
    assert served.predict("pos", np.zeros((0, 3), "int32")).shape == (0, 3, 4)
    assert served.predict("topic", np.zeros((0, 3), "int32")).shape == (0, 3)


def test_what_is_no_array_is_refused(ask):
    with pytest.raises(ValueError, match="x must be an array. It cannot become one: "):
        ask([[1, 2], [3]])
    with pytest.raises(ValueError, match="x must hold int32 values. Received: object"):
        ask([[2**70, 1]])
    with pytest.raises(ValueError, match="x must hold int32 values. Received: float64"):
        ask([[1.5, 1]])
    with pytest.raises(ValueError, match=r"x must have shape .* Received: \(\)"):
        ask(None)
    with pytest.raises(ValueError, match=r"x must be an array. Received: \[1, 'inputs'\]"):
        ask({"inputs": [[1]], 1: 2})


def test_numbers_too_large_for_floats_are_refused(tmp_path):
    dense = partial(keras.layers.Dense, 3)
    model = keras_mtl.build_shared_bottom(keras.Input((5,)), {"age": 3}, [dense])
    served = load_served(export(model, tmp_path / "1"))
    with pytest.raises(ValueError, match=r"numbers that float32 can hold. Received: 1e\+300"):
        served.predict("age", np.full((2, 5), 1e300))


def two_inputs():
    words, extra = keras.Input((2,), dtype="int32"), keras.Input((2,), dtype="int32")

    def join():
        inputs = {
            "words": keras.Input((2,), dtype="int32", name="words"),
            "tags": keras.Input((2,), name="tags"),
        }
        reader = keras.Sequential([keras.layers.Embedding(6, 3)])
        read = [embed()(inputs["words"]), reader(inputs["tags"])]
        return keras.Model(inputs, keras.layers.Concatenate()(read))

    return tagger({"words": words, "tags": extra}, stem=[join], tasks=TAGS)


def test_each_input_has_its_vocabulary_and_all_have_the_same_examples(tmp_path):
    served = load_served(export(two_inputs(), tmp_path / "1"))
    words, tags = np.array([[8, 1]]), np.array([[5, 1]])
    assert served.predict("pos", {"words": words, "tags": tags}).shape == (1, 2, 4)
    with pytest.raises(ValueError, match=r"x\['tags'\] must hold ids from 0 to 5.* Received: 8"):
        served.predict("pos", {"words": words, "tags": words})
    three = np.repeat(tags, 3, axis=0)
    with pytest.raises(ValueError, match=r"of the same examples. Received: .*x\['tags'\]\": 3"):
        served.predict("pos", {"words": words, "tags": three})


def test_vocabularies_are_those_of_the_components_a_task_uses():
    tables = [[partial(keras.layers.Embedding, size, 3) for size in (7, 5)]]
    model = keras_mtl.build_no_sharing(
        keras.Input((4,), dtype="int32"), TASKS, [*tables, lstm], task_data="shared"
    )
    assert vocabulary_sizes(freeze(model)) == {"inputs": 5}
    assert vocabulary_sizes(keras.Model(model.input, model.input)) == {}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="text needs TensorFlow")
def test_sentences_have_no_vocabulary_to_leave(tmp_path):
    encoder = SentenceEncoder(words=["a", "b"])
    model = tagger(encoder.inputs(), stem=[partial(keras.layers.Embedding, 4, 3)], tasks=TAGS)
    served = load_served(export(model, tmp_path / "1", preprocessing=encoder))
    assert served.predict("pos", np.array(["a zebra", ""])).shape == (2, 2, 4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX answers what it likes")
def test_what_only_the_network_knows_is_said_in_words(tmp_path):
    def hidden():
        inputs = keras.Input((None,), dtype="int32")
        return keras.Model(inputs, embed()(keras.ops.add(inputs, 1)))

    served = load_served(export(tagger(stem=[hidden], tasks=TAGS), tmp_path / "1"))
    with pytest.raises(ValueError, match="cannot answer this x.* TensorFlow says: .*9.* not in"):
        served.predict("pos", np.array([[8]]))
