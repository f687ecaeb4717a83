"""Routing of a network whose decisions follow from weights set by hand."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis import (
    RoutingRecorder,
    open_connections,
    relatedness_over_time,
    routing_over_time,
    sub_encoder_usage,
)

TASKS = {"region": 3, "state": 4, "age": 2}  # not in the order of letters
# Token 1 is positive, 2 negative, 0 padding. At its steps 5, 4, 2 and 0 examples are left, of
# which 3, 1, 1 and 0 are positive.
TOKENS = np.array([[1, 1, 2, 0], [1, 2, 0, 0], [1, 2, 1, 0], [2, 2, 0, 0], [2, 0, 0, 0]])
NAN = np.nan


def put(layer, place, kernel, bias):
    """Gives the dense layer in that place inside a layer its weights."""
    weights = [weight for weight in layer.weights if f"{place}/" in weight.path]
    assert len(weights) == 2, [weight.path for weight in layer.weights]
    for weight, value in zip(weights, (kernel, bias), strict=True):
        weight.assign(np.reshape(value, weight.shape))


def put_forgetful(lstm, kernel, bias):
    """Makes an LSTM's state follow from the step alone, but for padding: about +1 or -1."""
    lstm.set_weights([np.array(x) for x in ([[0, 0, kernel, 0]], [[0] * 4], [50, -50, bias, 50])])


def network(task_data="shared", base=None, policy_reads_base=False):
    """Returns a network whose sub-encoders are in layers of 3 and 2.

    What they say is 1 or 0: that the token is positive, that it is negative, 1; and 1, 0. Task
    `region` reads those that say 1, `state` those that say 0, `age` none.
    """
    model = keras_mtl.build_recurrent_modular(
        keras.Input((None,), dtype="int32"), TASKS, task_data=task_data,
        stem=[partial(keras.layers.Embedding, 3, 1, mask_zero=True)], num_cells=2, cell_units=1,
        num_sub_encoders=(3, 2), units=(1,), policy_units=(), base=base,
        policy_reads_base=policy_reads_base, normalize_policies=False,
    )  # fmt: skip
    model.get_layer("stem_1").set_weights(
        [np.array([[1], [1], [-1]])]
    )  # padding, if read, is positive
    encoder = model.get_layer("encoder")
    for lstm in encoder.cell.lstms:
        put_forgetful(lstm, kernel=50, bias=0)
    for number, (kernel, bias) in enumerate([(50, 0), (-50, 0), (0, 1)], start=1):
        put(encoder, f"sub_encoders_1/network_{number}/dense_1", kernel, bias)
        put(encoder, f"sub_encoders_1/policy_{number}/dense_1", [0, 0], [-50, 50])
    for number, bias in enumerate([1, 0], start=1):
        put(encoder, f"sub_encoders_2/network_{number}/dense_1", 0, bias)
    put(encoder, "sub_encoders_2/policy_1/dense_1", [0, 0], [-50, 50])
    put(encoder, "sub_encoders_2/policy_2/dense_1", [0, 100], [0, -50])  # reads those that say 1
    for number, (slope, bias) in enumerate([(100, -50), (-100, 50), (0, -50)], start=1):
        kernel = [[0, slope], [0, 0]][: 1 + policy_reads_base]
        put(model.get_layer(f"decoder_{number}"), "policy/dense_1", kernel, [0, bias])
    return model


@pytest.fixture(scope="module")
def shared():
    return network()


@pytest.fixture(scope="module")
def separate():
    return network("separate")


def padded(*rows):
    """Returns rows of sub-encoders, of different lengths, filled up with NaN."""
    return [[*row, *[NAN] * (max(map(len, rows)) - len(row))] for row in rows]


ROUTING = {
    "region": [
        padded([0.6, 0.4, 1], [1, 0]),
        padded([0.25, 0.75, 1], [1, 0]),
        padded([0.5, 0.5, 1], [1, 0]),
        padded([NAN] * 3, [NAN] * 2),
    ],
    "state": [
        padded([0.4, 0.6, 0], [0, 1]),
        padded([0.75, 0.25, 0], [0, 1]),
        padded([0.5, 0.5, 0], [0, 1]),
        padded([NAN] * 3, [NAN] * 2),
    ],
    "age": [padded([0] * 3, [0] * 2)] * 3 + [padded([NAN] * 3, [NAN] * 2)],
}


@pytest.mark.slow
def test_routing_is_the_share_of_examples_at_each_step(shared):
    routing = routing_over_time(shared, TOKENS)
    assert list(routing) == list(TASKS)
    for task, expected in ROUTING.items():
        np.testing.assert_allclose(routing[task], expected)


def test_without_a_mask_every_step_counts():
    model = keras_mtl.build_recurrent_modular(
        keras.Input((None, 1)), {"a": 2}, num_cells=1, cell_units=1, num_sub_encoders=(2,),
        units=(1,), policy_units=(), policy_reads_base=False, normalize_policies=False,
    )  # fmt: skip
    encoder = model.get_layer("encoder")
    put_forgetful(encoder.cell.lstms[0], kernel=50, bias=0)
    for number, kernel in enumerate([50, -50], start=1):
        put(encoder, f"sub_encoders_1/network_{number}/dense_1", kernel, 0)
        put(encoder, f"sub_encoders_1/policy_{number}/dense_1", [0, 0], [-50, 50])
    put(model.get_layer("decoder_1"), "policy/dense_1", [0, 100], [0, -50])
    x = np.array([[1, -1, 1], [1, 1, -1], [1, 1, 1], [1, 1, -1]])[..., None]
    routing = routing_over_time(model, x)["a"]
    np.testing.assert_allclose(routing, [[[1, 0]], [[0.75, 0.25]], [[0.5, 0.5]]])


@pytest.mark.slow
def test_the_batches_of_many_examples_are_joined(shared):
    routing = routing_over_time(shared, np.tile(TOKENS, (9, 1)))  # 45, more than a batch
    np.testing.assert_allclose(routing["region"], ROUTING["region"])


@pytest.mark.slow
def test_decisions_are_those_of_inference(shared):
    first, second = (routing_over_time(shared, TOKENS)["region"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    model = network()
    put(model.get_layer("decoder_1"), "policy/dense_1", [0, 0], [0, -0.01])  # half of all draws
    assert np.nanmax(routing_over_time(model, TOKENS)["region"]) == 0


@pytest.mark.slow
def test_the_routing_survives_saving(shared, tmp_path):
    shared.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for task, expected in ROUTING.items():
        np.testing.assert_allclose(routing_over_time(loaded, TOKENS)[task], expected)


@pytest.mark.slow
def test_looking_leaves_the_model_as_it_is(shared):
    nodes = [len(layer._outbound_nodes) for layer in shared.layers]
    routing_over_time(shared, TOKENS)
    assert [len(layer._outbound_nodes) for layer in shared.layers] == nodes


@pytest.mark.slow
def test_usage_divides_each_sub_encoder_among_tasks(shared):
    usage = sub_encoder_usage(shared, TOKENS)
    np.testing.assert_allclose(usage["region"], padded([5 / 11, 6 / 11, 1], [1, 0]))
    np.testing.assert_allclose(usage["state"], padded([6 / 11, 5 / 11, 0], [0, 1]))
    np.testing.assert_allclose(usage["age"], padded([0] * 3, [0] * 2))


@pytest.mark.slow
def test_a_sub_encoder_that_no_task_reads_is_nobodys():
    model = network()
    for number in (1, 2):
        put(model.get_layer(f"decoder_{number}"), "policy/dense_1", [0, 0], [50, -50])
    for usage in sub_encoder_usage(model, TOKENS).values():
        np.testing.assert_allclose(usage, padded([0] * 3, [0] * 2))


@pytest.mark.slow
def test_relatedness_is_what_two_tasks_read_in_common(shared):
    relatedness = relatedness_over_time(shared, TOKENS)
    assert relatedness.shape == (4, 3, 3)
    in_common = [0.8 / 4.2, 0.5 / 4.5, 1 / 4]  # smaller shares of all sub-encoders by larger
    np.testing.assert_allclose(relatedness[:3, 0, 1], in_common)
    np.testing.assert_array_equal(relatedness, np.swapaxes(relatedness, 1, 2))
    assert np.isnan(relatedness[3]).all()


@pytest.mark.slow
def test_a_task_that_reads_nothing_is_related_to_itself_alone(shared):
    relatedness = relatedness_over_time(shared, TOKENS, decided=True)[:3]
    assert (relatedness[:, [0, 1, 2], [0, 1, 2]] == 1).all()
    assert (relatedness[:, 2, :2] == 0).all()


@pytest.mark.slow
def test_relatedness_follows_what_tasks_choose_at_a_step():
    model = network()
    put(model.get_layer("decoder_2"), "policy/dense_1", [0, 0], [-50, 50])  # reads everything
    positive, negative = np.full((5, 1), 1), np.full((5, 1), 2)
    put(model.get_layer("encoder"), "sub_encoders_2/network_1/dense_1", 0, 0)
    put(model.get_layer("encoder"), "sub_encoders_1/network_3/dense_1", 0, 0)
    put(model.get_layer("encoder"), "sub_encoders_1/network_2/dense_1", 0, 0)
    relatedness = relatedness_over_time(model, np.hstack([positive, negative]), decided=True)
    np.testing.assert_allclose(relatedness[:, 0, 1], [1 / 5, 0])  # one of five; none


@pytest.mark.slow
def test_open_connections_are_counted_per_example_and_step(shared):
    # All 2 * 3 to the first layer; 3 to the first sub-encoder of the second, to the other one
    # those from the two that say 1.
    opened = open_connections(shared, TOKENS)
    assert opened.encoder == pytest.approx(6 + 3 + 2)
    assert opened.num_encoder == 2 * 3 + 3 * 2
    assert opened.decoders == pytest.approx({"region": 3, "state": 2, "age": 0})
    assert opened.num_decoder == 5


@pytest.mark.slow
def test_tasks_with_separate_data_have_examples_of_their_own(separate):
    x = {"age": TOKENS[:1], "state": np.array([[1, 1], [1, 0]]), "region": TOKENS}
    routing = routing_over_time(separate, x)
    assert list(routing) == list(TASKS)
    np.testing.assert_allclose(routing["region"], ROUTING["region"])
    np.testing.assert_allclose(routing["state"], [padded([0, 1, 0], [0, 1])] * 2)


@pytest.mark.slow
def test_relatedness_ends_with_the_shorter_examples(separate):
    x = {"age": TOKENS[:1], "state": np.array([[1, 1], [1, 0]]), "region": TOKENS}
    relatedness = relatedness_over_time(separate, x)
    # (0.6, 0.4, 1, 1, 0) and (0, 1, 0, 0, 1); then (0.25, 0.75, 1, 1, 0) and the same
    np.testing.assert_allclose(relatedness[:, 0, 1], [0.4 / 4.6, 0.75 / 4.25, NAN, NAN])
    np.testing.assert_allclose(relatedness[:, 0, 0], [1, 1, 1, NAN])


@pytest.mark.slow
def test_tasks_with_few_examples_count_as_much(separate):
    x = {"region": TOKENS, "state": np.array([[1, 1], [1, 0]]), "age": TOKENS}
    usage = sub_encoder_usage(separate, x)
    np.testing.assert_allclose(usage["region"], padded([1, 6 / 17, 1], [1, 0]))  # 6/11 and 1
    np.testing.assert_allclose(usage["state"], padded([0, 11 / 17, 0], [0, 1]))


@pytest.mark.slow
def test_open_connections_of_the_encoder_are_the_mean_over_tasks():
    model = network("separate")
    encoder = model.get_layer("encoder")
    put(encoder, "sub_encoders_1/policy_1/dense_1", [0, 100], [0, -50])  # reads if positive
    x = {"region": TOKENS, "state": np.array([[1, 1], [1, 0]]), "age": TOKENS}
    positive = (5 / 11 + 1 + 5 / 11) / 3
    assert open_connections(model, x).encoder == pytest.approx(2 * positive + 4 + 3 + 2)


@pytest.mark.slow
def test_a_policy_sees_the_base_network_of_its_task():
    lstm = partial(keras.layers.LSTM, 1, return_sequences=True)
    base = partial(keras_mtl.build_no_sharing, layers=[[lstm] * 3])
    model = network("separate", base=base, policy_reads_base=True)
    for number, sign in enumerate([1, -1, 1], start=1):
        component = model.get_layer("modular_1").components[number - 1]
        put_forgetful(component, kernel=0, bias=50 * sign)
        decoder = model.get_layer(f"decoder_{number}")
        decoder.projection.set_weights([np.ones((1, 1))])
        put(decoder, "policy/dense_1", [[0, 0], [0, 100]], [0, 0])  # reads if its base is positive
    opened = open_connections(model, dict.fromkeys(TASKS, TOKENS))
    assert opened.decoders == pytest.approx({"region": 5, "state": 0, "age": 5})


@pytest.mark.slow
def test_inputs_may_be_a_dict():
    def join():
        a, b = keras.Input((None, 2), name="a"), keras.Input((None, 1), name="b")
        return keras.Model({"a": a, "b": b}, keras.layers.Concatenate()([a, b]))

    inputs = {"a": keras.Input((None, 2)), "b": keras.Input((None, 1))}
    x = {"a": np.ones((5, 4, 2)), "b": np.ones((5, 4, 1))}
    for task_data, given in (("shared", x), ("separate", dict.fromkeys(TASKS, x))):
        model = keras_mtl.build_recurrent_modular(
            inputs, TASKS, task_data=task_data, stem=[join, partial(keras.layers.Dense, 3)],
            num_cells=2, cell_units=2, num_sub_encoders=(3, 2), units=(4,),
        )  # fmt: skip
        assert routing_over_time(model, given)["state"].shape == (4, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_many_examples_are_counted_in_full_precision(dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.full((2100, 1), 1)  # float16 does not count on from 2048, bfloat16 from 256
    x[0] = 2
    routing = routing_over_time(model, x)["region"]
    np.testing.assert_allclose(routing[0, 0], [2099 / 2100, 1 / 2100, 1])


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_recorder_sees_the_routing_of_every_epoch(task_data):
    model = network(task_data)
    model.compile(keras.optimizers.SGD(0.0))
    y = {task: np.arange(5) % size for task, size in TASKS.items()}
    if task_data == "shared":
        data, x = (TOKENS, y), TOKENS
    else:
        batches = {task: (TOKENS, labels) for task, labels in y.items()}
        data = (keras_mtl.task_batches(model.tasks, batches, batch_size=5, seed=0),)
        x = dict.fromkeys(TASKS, TOKENS)
    recorder = RoutingRecorder(x)

    def close(epoch, logs):
        if epoch == 1:
            put(model.get_layer("decoder_1"), "policy/dense_1", [0, 0], [50, -50])

    closing = keras.callbacks.LambdaCallback(on_epoch_end=close)
    model.fit(*data, epochs=3, verbose=0, callbacks=[closing, recorder])
    assert recorder.epochs == [0, 1, 2, 3]
    for record, expected in zip(recorder.routing, ["region", "region", "age", "age"], strict=True):
        np.testing.assert_allclose(record["region"], ROUTING[expected])
        np.testing.assert_allclose(record["state"], ROUTING["state"])


LOOKS = [routing_over_time, sub_encoder_usage, relatedness_over_time, open_connections]


@pytest.mark.parametrize("look", LOOKS)
def test_other_models_are_refused(look, shared):
    message = "has no recurrent modular encoder.*build_recurrent_modular, before it is frozen"
    dense = partial(keras.layers.Dense, 4)
    bottom = keras_mtl.build_shared_bottom(keras.Input((5,)), TASKS, [dense], name="bottom")
    with pytest.raises(ValueError, match=f"Model 'bottom' {message}"):
        look(bottom, np.ones((6, 5)))
    with pytest.raises(ValueError, match=message):
        look(keras_mtl.freeze(shared), TOKENS)


def test_a_recorder_refuses_other_models():
    bottom = keras_mtl.build_shared_bottom(
        keras.Input((5,)), {"a": 3}, [partial(keras.layers.Dense, 4)]
    )
    bottom.compile("sgd")
    with pytest.raises(ValueError, match="has no recurrent modular encoder"):
        bottom.fit(
            np.ones((6, 5)), {"a": np.zeros(6, int)}, verbose=0, callbacks=[RoutingRecorder(TOKENS)]
        )


def test_examples_that_do_not_fit_are_refused(shared):
    with pytest.raises(ValueError, match=r"x must have shape \(None, None\).*\(5, 4, 1\)"):
        routing_over_time(shared, TOKENS[..., None])
    with pytest.raises(ValueError, match="x has no examples"):
        routing_over_time(shared, TOKENS[:0])


@pytest.mark.slow
def test_separate_data_must_be_there_for_every_task_and_no_other(separate):
    x = dict.fromkeys(TASKS, TOKENS)
    with pytest.raises(ValueError, match="separate data.*dict, name of a task.*Received: ndarray"):
        routing_over_time(separate, TOKENS)
    with pytest.raises(ValueError, match="'braille', which is no task.*Tasks: region, state, age"):
        routing_over_time(separate, {**x, "braille": TOKENS})
    with pytest.raises(ValueError, match="no entry for task 'age'. Give examples of every task"):
        routing_over_time(separate, {"region": TOKENS, "state": TOKENS})
    with pytest.raises(
        ValueError, match=r"Examples of task 'state': .*\(None, None\).*\(5, 4, 1\)"
    ):
        routing_over_time(separate, {**x, "state": TOKENS[..., None]})
    with pytest.raises(ValueError, match=r"x\['age'\] has no examples"):
        routing_over_time(separate, {**x, "age": TOKENS[:0]})
