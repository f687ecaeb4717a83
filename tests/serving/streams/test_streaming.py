"""A network that reads sequences piece by piece answers as it does to whole ones."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_mtl
from keras_mtl.data import SentenceEncoder
from keras_mtl.serving import export, freeze, initial_states, load_served, streaming
from keras_mtl.serving.streams.check_stream import check_stream
from tests.models.networks import array
from tests.models.tower_networks import called, scrambled

BACKEND = keras.backend.backend()
TASKS = {
    "region": keras_mtl.Task("classes", 3),
    "state": keras_mtl.Task("tagging", 5),
    "load": keras_mtl.Task("regression", 2, per_step=True),
}
RNG = np.random.default_rng(0)
SIGNALS = RNG.normal(size=(6, 7, 4)).astype("float32")  # B = 6, 7 steps, D = 4
LENGTHS = np.array([7, 2, 4, 1, 5, 3])
GAPS = np.arange(7) < LENGTHS[:, None]
GAPS[0, 2:5] = GAPS[1, 0] = False
TOKENS = np.where(GAPS, RNG.integers(1, 9, (6, 7)), 0)  # 0 = padding: behind, within, before
CUTS = [1, 2, 5]  # into pieces of one step twice, of three and of two

embed = partial(layers.Embedding, 9, 3, mask_zero=True)
lstm = partial(layers.LSTM, 4, return_sequences=True)
gru = partial(layers.GRU, 4, return_sequences=True)


def modular(inputs, stem=(), tasks=TASKS):
    return keras_mtl.build_recurrent_modular(
        inputs, tasks, stem=stem, num_cells=2, cell_units=5, num_sub_encoders=(2,), units=(6,),
        policy_reads_base=True, seed=0,
    )  # fmt: skip


def bottom(*made, inputs=None, tasks=TASKS, stem=()):
    inputs = keras.Input((None, 4)) if inputs is None else inputs
    return keras_mtl.build_shared_bottom(inputs, tasks, list(made), stem=stem)


def reader():
    """Returns a network that becomes part of another, and hands a mask to it."""
    tokens = keras.Input((None,), dtype="int32")
    return keras.Model(tokens, lstm(name="low")(embed()(tokens)))


def tower():
    """Returns another, which has layers of the same names at every call."""
    return keras.Sequential([gru(name="low"), lstm(name="high")])


MODELS = {
    "modular, signals": (lambda: modular(keras.Input((None, 4))), SIGNALS),
    "modular, tokens": (lambda: modular(keras.Input((None,), dtype="int32"), [embed]), TOKENS),
    "LSTM": (lambda: bottom(lstm), SIGNALS),
    "masked GRU": (lambda: bottom(gru, stem=[layers.Masking]), SIGNALS * GAPS[..., None]),
    "SimpleRNN of 7 steps": (
        lambda: bottom(
            partial(layers.SimpleRNN, 4, return_sequences=True), inputs=keras.Input((7, 4))
        ),
        SIGNALS,
    ),
    "networks inside": (
        lambda: bottom(gru, inputs=keras.Input((None,), dtype="int32"), stem=[reader]),
        TOKENS,
    ),
    "networks beside each other": (lambda: bottom([tower] * 2), SIGNALS),
    "the last state": (
        lambda: bottom(
            partial(layers.GRU, 4), inputs=keras.Input((None,), dtype="int32"),
            tasks={"region": 3, "height": "regression"}, stem=[embed],
        ),
        TOKENS,
    ),
    "towers": (
        lambda: keras_mtl.build_sluice(
            keras.Input((None,), dtype="int32"), TASKS, [[lstm] * 3] * 2, stem=[embed]
        ),
        TOKENS,
    ),
}  # fmt: skip
READ_TOKENS = [name for name, (_, x) in MODELS.items() if x is TOKENS]


@pytest.fixture(scope="module", params=MODELS, ids=MODELS)
def network(request):
    """A trained model, in its frozen and its streaming form, and sequences for it."""
    build, x = MODELS[request.param]
    model = scrambled(build())
    frozen = freeze(model)
    return model, frozen, streaming(frozen), x


def answers_of(network, x):
    return keras.tree.map_structure(array, called(network, x))


def streamed(stream, x, cuts, tasks):
    """Returns what a stream answers to sequences cut into pieces, put together again."""
    states, answers = initial_states(stream, len(x)), []
    for piece in np.split(x, cuts, axis=1):
        outputs = answers_of(stream, {"inputs": piece, **states})
        states = {name: outputs[name] for name in states}
        answers.append(outputs)
    return put_together(answers, tasks), states


def put_together(answers, tasks):
    return {
        name: np.concatenate([outputs[name] for outputs in answers], axis=1)
        if task.per_step
        else answers[-1][name]
        for name, task in tasks.items()
    }


def assert_close(found, expected):
    assert set(found) == set(expected)
    for name, answer in expected.items():
        assert np.ptp(answer, axis=0).max() > 1e-3  # it says something about the input
        np.testing.assert_allclose(found[name], answer, rtol=0, atol=1e-5, err_msg=name)


# The network


def test_pieces_are_answered_as_whole_sequences(network):
    model, frozen, stream, x = network
    found, _ = streamed(stream, x, CUTS, model.tasks)
    assert_close(found, answers_of(frozen, x))


def test_without_its_states_it_answers_otherwise(network):
    model, frozen, stream, x = network
    end = {"inputs": x[:, 5:], **initial_states(stream, len(x))}
    answer = answers_of(stream, end)["region"]
    assert np.abs(answer - answers_of(frozen, x)["region"]).max() > 1e-3


def test_weights_are_shared_and_layers_are_stock(network):
    _, frozen, stream, _ = network
    assert {id(weight) for weight in stream.weights} == {id(weight) for weight in frozen.weights}
    assert len(stream.weights) == len(frozen.weights)
    assert all(type(layer).__module__.startswith("keras.") for layer in stream.layers)


def test_states_are_named_by_layer():
    stream = streaming(freeze(bottom(partial(gru, name="x"), lstm)))
    states = initial_states(stream, 3)
    assert list(states) == ["state_layer_1_h", "state_layer_2_h", "state_layer_2_c"]
    assert all(state.shape == (3, 4) and not state.any() for state in states.values())
    assert set(stream.input) == {"inputs", *states}
    assert set(stream.output) == {"region", "state", "load", *states}


def test_a_layer_that_runs_twice_has_states_of_both():
    inputs, shared = keras.Input((None, 4), name="inputs"), lstm(name="shared")
    outputs = layers.Dense(2, name="kind")(shared(shared(inputs)))
    frozen = keras.Model(inputs, {"kind": outputs})
    stream = streaming(frozen)
    assert list(initial_states(stream, 1)) == [
        "state_shared_h", "state_shared_c", "state_shared_2_h", "state_shared_2_c"
    ]  # fmt: skip
    tasks = {"kind": keras_mtl.Task("tagging", 2)}
    found, _ = streamed(stream, SIGNALS, [1, 3], tasks)
    assert_close(found, {"kind": answers_of(frozen, SIGNALS)["kind"]})


def test_states_keep_clear_of_the_names_of_tasks():
    tag = keras_mtl.Task("tagging", 3)
    stream = streaming(freeze(bottom(lstm, tasks={"state_layer_1_h": tag})))
    assert list(initial_states(stream, 1)) == ["state_layer_1_2_h", "state_layer_1_2_c"]


@pytest.mark.parametrize("network", READ_TOKENS, indirect=True)
def test_padding_leaves_states_and_answers_as_they_are(network):
    model, _, stream, _ = network
    answers, states = streamed(stream, TOKENS[:, :2], [], model.tasks)
    nothing = {"inputs": np.zeros((6, 3), "int32"), **states}
    outputs = answers_of(stream, nothing)
    for name, state in states.items():
        np.testing.assert_array_equal(outputs[name], state)
    np.testing.assert_allclose(outputs["region"], answers["region"], atol=1e-6)


@pytest.mark.parametrize("network", ["modular, tokens"], indirect=True)
def test_equal_pieces_get_equal_answers(network):
    model, _, stream, x = network
    first, second = (streamed(stream, x[:, :3], [2], model.tasks) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.slow
def test_one_task_streams_alone():
    model = scrambled(modular(keras.Input((None,), dtype="int32"), [embed]))
    stream = streaming(freeze(model, "state"))
    states = initial_states(stream, 6)
    assert not any(name.startswith("state_component_1_1") for name in states)  # of "region"
    assert set(stream.output) == {"state", *states}
    found, _ = streamed(stream, TOKENS, [1, 4], {"state": TASKS["state"]})
    assert_close(found, {"state": answers_of(freeze(model, "state"), TOKENS)})


@pytest.mark.parametrize("network", ["modular, tokens", "networks inside"], indirect=True)
def test_it_can_be_saved(network, tmp_path):
    model, frozen, stream, x = network
    stream.save(tmp_path / "stream.keras")
    loaded = keras.models.load_model(tmp_path / "stream.keras")
    assert_close(streamed(loaded, x, [2], model.tasks)[0], answers_of(frozen, x))


def test_a_frozen_network_stays_as_it_was():
    frozen = freeze(bottom(lstm))
    names = [operation.name for operation in frozen.operations]
    before = answers_of(frozen, SIGNALS)
    streaming(frozen)
    assert [operation.name for operation in frozen.operations] == names
    assert not frozen.get_layer("layer_1").return_state
    for name, answer in answers_of(frozen, SIGNALS).items():
        np.testing.assert_array_equal(answer, before[name])


@pytest.mark.skipif(BACKEND == "jax", reason="compiles for long")
def test_half_precision_streams():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        frozen = freeze(bottom(lstm))
        stream = streaming(frozen)
    finally:
        keras.config.set_dtype_policy(policy)
    assert stream.input["state_layer_1_c"].dtype == "bfloat16"
    found, _ = streamed(stream, SIGNALS, [2], TASKS)
    for name, answer in answers_of(frozen, SIGNALS).items():
        np.testing.assert_allclose(found[name], answer, atol=2e-2)


@pytest.mark.parametrize("policy, by", [("float32", 1e-4), ("mixed_bfloat16", 5e-2)])
def test_rounding_is_no_difference(policy, by):
    model = bottom(partial(lstm, dtype=policy), tasks={"state": TASKS["state"]})
    rounded = freeze(model)
    rounded.set_weights([weights * (1 + by) for weights in rounded.get_weights()])
    stream = streaming(rounded)
    states = initial_states(stream, 5)
    states["state_layer_1_h"][:2] = 3  # as where rounding turns a decision
    check_stream(freeze(model), stream, states, calls=[])


# What cannot stream


def refused(message, *made, **settings):
    with pytest.raises(ValueError, match=message):
        streaming(freeze(bottom(*made, **settings)))


TAGS = {"state": keras_mtl.Task("tagging", 5)}
conv = partial(layers.Conv1D, 4, 3)


def attention():
    x = keras.Input((None, 4))
    return keras.Model(x, layers.MultiHeadAttention(2, 3, name="attention")(x, x))


def flipped():
    x = keras.Input((None, 4))
    return keras.Model(x, keras.ops.flip(x, axis=1))


@pytest.mark.parametrize(
    "backward",
    [
        lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        partial(lstm, go_backwards=True),
        partial(keras_mtl.layers.BiLSTM, 3),
    ],
)
def test_networks_that_read_backwards_are_refused(backward):
    refused(r"Layer '.*' \(.*\) reads sequences from their end, .* build it with", backward)


@pytest.mark.parametrize(
    "mixing",
    [
        [lstm, partial(conv, padding="same")],
        [lstm, partial(conv, padding="causal")],
        [partial(conv, padding="same"), lstm],
        [lstm, attention],
        [lstm, flipped],
    ],
)
def test_layers_that_mix_steps_are_refused_by_name(mixing):
    fault = r"(Conv1D|MultiHeadAttention|Flip)\) does not take steps singly. .* only LSTM"
    refused(f"Task 'state' is answered otherwise step by step .*{fault}", *mixing, tasks=TAGS)


def test_pooling_over_time_is_refused_by_name():
    refused(
        r"'layer_2' \(GlobalAveragePooling1D\) does not", lstm, layers.GlobalAveragePooling1D,
        tasks={"region": 3},
    )  # fmt: skip


@pytest.mark.parametrize(("per_step", "operation"), [(False, "Mean"), (True, "Cumsum")])
def test_gates_of_sequences_are_refused(per_step, operation):
    model = keras_mtl.build_dynashare(
        keras.Input((None, 4)), TAGS, [lstm, [partial(layers.Dense, 4)]],
        target_rates=0.5, gates_per_step=per_step,
    )  # fmt: skip
    message = rf"\({operation}\) reads several steps at once, .* gates of .*build_dynashare"
    with pytest.raises(ValueError, match=message):
        streaming(freeze(model))


def test_steps_of_something_else_are_refused():
    turned = partial(layers.Permute, (2, 1))
    refused(r"'layer_2' \(LSTM\) reads other steps", turned, lstm, inputs=keras.Input((7, 4)))


def test_layers_that_need_several_steps_are_refused():
    message = "must read any number of steps, from one on. Reading random steps failed: "
    refused(message, lstm, conv, tasks=TAGS)
    refused(message, lstm, layers.Flatten, inputs=keras.Input((7, 4)), tasks={"region": 3})


def test_layers_that_take_steps_singly_are_not_refused():
    made = [partial(layers.Conv1D, 4, 1), layers.LayerNormalization]
    frozen = freeze(scrambled(bottom(*made, lstm, *made)))
    found, _ = streamed(streaming(frozen), SIGNALS, [1, 3], TASKS)
    assert_close(found, answers_of(frozen, SIGNALS))


def test_other_recurrent_layers_are_refused():
    cell = partial(layers.RNN, layers.LSTMCell(3), return_sequences=True)
    refused(r"'layer_1' \(RNN\) keeps states that cannot be handed over. .* can.", cell)
    model = keras_mtl.build_communicating(keras.Input((None, 4)), TASKS, units=3)
    with pytest.raises(ValueError, match=r"\(CommunicatingLSTM\) keeps states that cannot be"):
        streaming(freeze(model))


def test_zeros_in_padding_are_refused():
    zeros = partial(lstm, zero_output_for_mask=True)
    refused(r"'layer_1' \(LSTM\) answers padding with zeros", zeros, stem=[layers.Masking])


def test_states_that_the_network_makes_are_refused():
    inputs = keras.Input((None, 4), name="inputs")
    _, *states = lstm(return_state=True)(inputs)
    outputs = lstm(name="second")(inputs, initial_state=states)
    frozen = keras.Model(inputs, {"kind": layers.Dense(2)(outputs)})
    with pytest.raises(ValueError, match="'second' begins with states that another layer makes"):
        streaming(frozen)


def test_a_network_without_recurrent_layer_is_refused():
    refused("has no recurrent layer, .* Send the pieces to the frozen", partial(layers.Dense, 3))


def test_a_network_that_is_not_frozen_is_refused():
    for given in (bottom(lstm), lstm()):
        with pytest.raises(ValueError, match=r"Only a frozen .*\(keras_mtl.freeze\(model\)\)."):
            streaming(given)


# The export

saved_model = pytest.mark.saved_model
both = pytest.mark.parametrize("exported", ["modular", "masked GRU"], indirect=True)
EXPORTED = {
    "modular": (
        lambda: modular(keras.Input((None,), dtype="int32"), [embed], tasks=TWO_TASKS),
        TOKENS,
    ),
    "masked GRU": (
        lambda: bottom(gru, stem=[layers.Masking], tasks=TWO_TASKS), SIGNALS * GAPS[..., None]
    ),
}  # fmt: skip
TWO_TASKS = {name: TASKS[name] for name in ("region", "state")}


@pytest.fixture(scope="module", params=["masked GRU"])
def exported(request, tmp_path_factory):
    """A model, the path of its export, and sequences for it."""
    build, x = EXPORTED[request.param]
    model = scrambled(build())
    return model, export(model, tmp_path_factory.mktemp("stream") / "1", streaming=True), x


def served_in_pieces(served, x, cuts, tasks):
    states, answers = None, []
    for piece in np.split(x, cuts, axis=1):
        outputs, states = served.stream(piece, states)
        answers.append(outputs)
    return put_together(answers, tasks)


@pytest.mark.slow
@both
@saved_model
def test_the_export_streams(exported):
    model, path, x = exported
    served, expected = load_served(path), answers_of(freeze(model), x)
    assert served.states == list(initial_states(streaming(freeze(model)), 1))
    assert_close(served_in_pieces(served, x, CUTS, model.tasks), expected)
    assert_close({task: served.predict(task, x) for task in model.tasks}, expected)


@saved_model
def test_no_states_begin_anew(exported):
    _, path, x = exported
    served = load_served(path)
    first, states = served.stream(x)
    again, same = served.stream(x)
    zeros = {name: np.zeros_like(state) for name, state in states.items()}
    explicit, _ = served.stream(x, zeros)
    later, _ = served.stream(x, states)
    for task, answer in first.items():
        np.testing.assert_array_equal(answer, again[task])
        np.testing.assert_array_equal(answer, explicit[task])
    for name, state in states.items():
        np.testing.assert_array_equal(state, same[name])
    assert np.abs(later["region"] - first["region"]).max() > 1e-3


@saved_model
def test_the_signature_and_the_manifest_say_what_streams(exported):
    import tensorflow as tf

    model, path, x = exported
    states = load_served(path).states
    manifest = json.loads((Path(path) / "assets.extra/manifest.json").read_text())
    assert manifest["states"] == states
    per_step = {task["name"]: task["per_step"] for task in manifest["tasks"]}
    assert per_step == {name: task.per_step for name, task in model.tasks.items()}
    signatures = tf.saved_model.load(path).signatures
    assert set(signatures) == {"serving_default", *model.tasks, "stream"}
    specs = signatures["stream"].structured_input_signature[1]
    assert set(specs) == {"inputs", *states}
    assert specs["inputs"].shape.as_list() == [None, None, *x.shape[2:]]
    assert all(specs[name].shape[0] is None for name in states)
    assert set(signatures["stream"].structured_outputs) == {*model.tasks, *states}


@pytest.mark.slow
@saved_model
def test_weights_are_stored_once(exported, tmp_path):
    import tensorflow as tf

    model, path, _ = exported
    plain = export(model, tmp_path / "1")

    def stored(path):
        listed = tf.train.list_variables(str(Path(path) / "variables" / "variables"))
        return sorted(tuple(shape) for name, shape in listed if "VARIABLE_VALUE" in name)

    assert stored(path) == stored(plain)
    sizes = [
        (Path(folder) / "variables/variables.data-00000-of-00001").stat().st_size
        for folder in (path, plain)
    ]
    assert sizes[0] - sizes[1] < 100  # what a signature more takes


@saved_model
def test_warm_up_asks_the_stream_too(exported):
    import tensorflow as tf

    _, path, _ = exported
    states = load_served(path).states
    file = Path(path) / "assets.extra/tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    asked = [record for record in records if b"state_" in record]
    assert len(records) == 4 and len(asked) == 1  # all, two tasks, and the stream
    assert all(name.encode() in asked[0] for name in [*states, "stream", "inputs"])


@pytest.mark.slow
@saved_model
@pytest.mark.parametrize("exported", ["modular"], indirect=True)
def test_it_streams_where_keras_and_keras_mtl_do_not_exist(exported, tmp_path):
    model, path, x = exported
    np.save(tmp_path / "x.npy", x.astype("int32") if x.dtype.kind == "i" else x)
    script = """
import sys
sys.modules["keras"] = sys.modules["keras_mtl"] = None
import numpy, tensorflow
stream = tensorflow.saved_model.load(sys.argv[1]).signatures["stream"]
x, answers = numpy.load(sys.argv[2] + "/x.npy"), []
specs = stream.structured_input_signature[1].items()
states = {k: tensorflow.zeros((6, s.shape[1])) for k, s in specs if k != "inputs"}
for step in range(x.shape[1]):
    outputs = stream(inputs=tensorflow.constant(x[:, step : step + 1]), **states)
    states = {name: outputs[name] for name in states}
    answers.append(outputs["state"].numpy())
numpy.save(sys.argv[2] + "/y.npy", numpy.concatenate(answers, axis=1))
"""
    subprocess.run([sys.executable, "-c", script, path, str(tmp_path)], check=True, timeout=300)
    expected = answers_of(freeze(model), x)["state"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5)


@pytest.mark.slow
@saved_model
@pytest.mark.skipif(BACKEND != "tensorflow", reason="encodes in TensorFlow")
def test_sentences_stream_word_by_word(tmp_path):
    encoder = SentenceEncoder(word_length=3)
    encoder.adapt(["the cat sat on the mat", "dogs ran"])

    def stem():
        inputs = encoder.inputs()
        words = layers.Embedding(encoder.num_words, 3, mask_zero=True)(inputs["words"])
        letters = layers.Embedding(encoder.num_characters, 2)(inputs["characters"])
        letters = layers.Conv2D(3, (1, 3))(letters)[:, :, 0]  # words singly
        return keras.Model(inputs, layers.Add()([words, letters]))

    model = scrambled(keras_mtl.build_shared_bottom(encoder.inputs(), TASKS, [lstm], stem=[stem]))
    path = export(model, tmp_path / "1", preprocessing=encoder, streaming=True)
    served, states, answers = load_served(path), None, []
    for words in (["the", "dogs"], ["cat sat", "ran"], ["in", ""]):
        outputs, states = served.stream(words, states)
        answers.append(outputs)
    expected = {task: served.predict(task, ["the cat sat in", "dogs ran"]) for task in TASKS}
    assert_close(put_together(answers, TASKS), expected)


@saved_model
def test_wrong_states_are_refused(exported):
    _, path, x = exported
    served = load_served(path)
    _, states = served.stream(x)
    name = served.states[0]
    with pytest.raises(ValueError, match="states must be what stream returned .*Received: list"):
        served.stream(x, list(states.values()))
    with pytest.raises(ValueError, match=r"Expected: a dict of \['state_.*Received: \['hidden'\]"):
        served.stream(x, {"hidden": states[name]})
    with pytest.raises(ValueError, match=rf"states\['{name}'\] must have shape \(None, \d\)"):
        served.stream(x, states | {name: states[name][:, :2]})
    with pytest.raises(ValueError, match=rf"'{name}'\] is of 6 sequences, but x is of 2"):
        served.stream(x[:2], states)
    with pytest.raises(ValueError, match="x must hold at least one step"):
        served.stream(x[:, :0], states)
    with pytest.raises(ValueError, match="x must have shape"):
        served.stream(x[0], states)


@pytest.mark.slow
@saved_model
def test_an_export_without_states_cannot_stream(tmp_path):
    served = load_served(export(bottom(lstm), tmp_path / "1"))
    assert served.states == []
    with pytest.raises(ValueError, match=r"cannot stream. .*export\(model, path, streaming=True"):
        served.stream(SIGNALS)


@saved_model
def test_a_task_named_as_the_signature_is_refused(tmp_path):
    model = bottom(partial(layers.LSTM, 4), tasks={"stream": 3})
    with pytest.raises(ValueError, match="a signature is named 'stream', and so is a task"):
        export(model, tmp_path / "1", streaming=True)
    served = load_served(export(model, tmp_path / "1"))
    assert served.predict("stream", SIGNALS).shape == (6, 3)


@saved_model
def test_a_network_that_cannot_stream_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="has no recurrent layer"):
        export(bottom(partial(layers.Dense, 3)), tmp_path / "1", streaming=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(BACKEND == "jax", reason="writes SavedModels only")
def test_other_formats_cannot_stream(tmp_path):
    format = {"tensorflow": "litert", "torch": "onnx"}[BACKEND]
    with pytest.raises(ValueError, match=f"only format=\"tf_saved_model\" .* format='{format}'"):
        export(bottom(lstm), tmp_path / "1", format=format, streaming=True)
