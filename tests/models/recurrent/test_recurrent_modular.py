from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_mtl
from keras_mtl import HalvingSchedule, RampSchedule, Task, build_recurrent_modular
from keras_mtl.layers import GumbelRouter
from tests.layers import modular as formulas
from tests.layers.modular import force, normal, scrambled
from tests.models.networks import array, assert_equal_answers
from tests.models.tower_networks import (
    TOKENS,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    by_name,
    called,
    compiled,
    embed,
    inputs_for,
    lstm,
    paths_reached,
    reloaded,
    trained,
)

REGIONS = {"color": 2, "animal": 7, "shape": 4}  # T = 3, a class at the end of a sequence
TAGS = {"chunk": Task("tagging", 3), "pos": Task("tagging", 5)}
MIXED = {"region": 3, "state": Task("tagging", 5)}
X = normal(6, 3, 5)  # B = 6 examples, 3 steps, 5 features
PADDED = np.where(np.arange(4) < np.array([4, 2, 3, 1, 4, 3])[:, None], TOKENS, 0)
LABELS = {"color": np.arange(6) % 2, "animal": np.arange(6), "shape": np.arange(6) % 4}


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(tasks=REGIONS, inputs=None, seed=0, **settings):
    """Builds a small network with random weights: 2 LSTM cells, layers of 3 and 2 above."""
    small = {"num_cells": 2, "cell_units": 4, "num_sub_encoders": (3, 2), "units": (6, 5)}
    inputs = keras.Input((None, 5)) if inputs is None else inputs
    return scrambled(build_recurrent_modular(inputs, tasks, seed=seed, **small | settings))


SMALLEST = {"num_cells": 1, "num_sub_encoders": (1,), "units": (3,)}


def reader(tasks=TAGS, **settings):
    """Builds a small network that reads tokens."""
    return network(tasks, keras.Input((None,), dtype="int32"), stem=[embed], **settings)


def answered(model, x=X):
    """Returns each task's answers, from a compiled model where an eager one is slow."""
    if model.task_data == "shared":
        outputs = called(model, x)
        return {task: array(outputs[task]) for task in model.tasks}
    return {
        task: array(called(model, inputs_for(model, task, x)))[..., : spec.size]
        for task, spec in model.tasks.items()
    }


def decoders(model):
    return [model.get_layer(f"decoder_{number}") for number in range(1, len(model.tasks) + 1)]


def routed(model):
    """Returns all layers that decide about connections."""
    return [*model.get_layer("encoder").cell.sub_encoders, *decoders(model)]


def head(model, task):
    """Returns kernel and bias of a task's head."""
    if model.task_data == "shared":
        return model.get_layer(task).get_weights()
    sizes = [spec.size for spec in model.tasks.values()]
    starts, place = np.cumsum([0, *sizes]), list(model.tasks).index(task)
    kernel, bias = model.get_layer("heads").get_weights()
    return kernel[:, starts[place] : starts[place + 1]], bias[starts[place] : starts[place + 1]]


def probabilities(features, kernel, bias):
    return array(ops.softmax((features @ kernel + bias).astype("float32")))


# The whole network by its formulas


@pytest.mark.parametrize(
    ("task_data", "policy_reads_base"), [("separate", False), ("shared", True)]
)
def test_a_head_reads_its_decoder_and_its_own_lstm_at_the_last_step(task_data, policy_reads_base):
    model = network(task_data=task_data, policy_reads_base=policy_reads_base)
    encoded, _ = formulas.encoder(model.get_layer("encoder").cell, X)
    expected, decisions = {}, []
    for number, task in enumerate(REGIONS, start=1):
        own = formulas.lstm(by_name(model)[f"component_1_{number}"], X)
        features = own if policy_reads_base else None
        decoded, opened = formulas.decoder(model.get_layer(f"decoder_{number}"), encoded, features)
        decisions.append(opened)
        last = np.concatenate([own, decoded], axis=-1)[:, -1]
        expected[task] = probabilities(last, *head(model, task))
    assert 0.1 < np.mean(decisions) < 0.9
    assert_equal_answers(answered(model), expected, 1e-4)


def test_it_is_an_lstm_and_perceptrons_with_one_of_everything_and_open_connections():
    model = network(num_cells=1, num_sub_encoders=(1, 1), decoder_units=(7,))
    force(routed(model), True)
    cell, expected = model.get_layer("encoder").cell, {}
    first = formulas.mlp(cell.sub_encoders[0].networks[0], formulas.lstm(cell.lstms[0], X))
    second = formulas.mlp(cell.sub_encoders[1].networks[0], first)
    for number, (task, decoder) in enumerate(zip(REGIONS, decoders(model), strict=True), start=1):
        one, two = decoder.sub_decoders
        own = formulas.lstm(by_name(model)[f"component_1_{number}"], X)
        read = [own, formulas.mlp(one, first), formulas.mlp(two, second)]
        last = np.concatenate(read, axis=-1)[:, -1]
        assert last.shape == (6, 7 + 7 + 4)
        expected[task] = probabilities(last, *head(model, task))
    assert_equal_answers(answered(model), expected, 1e-4)


def test_without_connections_and_base_nothing_is_known_of_the_input():
    model = network()
    force(routed(model), False)
    for number in (1, 2, 3):
        own = by_name(model)[f"component_1_{number}"]
        own.set_weights([np.zeros_like(weight) for weight in own.get_weights()])
    for answers in answered(model).values():
        np.testing.assert_allclose(answers, np.broadcast_to(answers[:1], answers.shape), rtol=1e-6)


def test_the_number_of_weights_is_the_papers():
    model = network(cell_units=5, units=(7, 5), decoder_units=(4,), policy_units=(3,))
    size = {}
    for layer in model.layers:
        kind = layer.name.split("_")[0]
        number = sum(int(np.prod(v.shape)) for v in layer.trainable_variables)
        size[kind] = size.get(kind, 0) + number
    lstm_cell = 4 * ((5 + 5) * 5 + 5)  # s = 220
    network_of_two = (5 * 7 + 7) + (7 * 5 + 5)  # r = 82
    sub_decoder = 5 * 4 + 4  # d = 24
    policy = (5 * 3 + 3) + (3 * 2 + 2)  # p = 26
    size["decoder"] -= 3 * (5 * 5 + 5 * 3)  # Eq. 6: W_k, and twice as much to see
    assert size["encoder"] + size["decoder"] == (
        2 * lstm_cell + 5 * network_of_two + 3 * 2 * sub_decoder + (3 + 5) * policy
    )
    assert size["encoder"] + size["decoder"] == 440 + 410 + 144 + 208
    assert size["component"] == 3 * lstm_cell  # the base network
    heads = sum(size.get(name, 0) for name in [*REGIONS, "heads"])
    assert heads == (2 * 4 + 5 + 1) * (2 + 7 + 4)


# Who reaches whom


@pytest.mark.slow
def test_tasks_share_the_encoder_and_have_decoders_of_their_own(task_data):
    model = network(task_data=task_data)
    shared = {v.path for v in model.get_layer("encoder").trainable_variables}
    own = {
        task: {v.path for v in d.trainable_variables}
        for task, d in zip(REGIONS, decoders(model), strict=True)
    }
    for task in REGIONS:
        paths = paths_reached(model, task, X)
        assert any("lstm_1" in path for path in paths & shared)
        assert any("lstm_2" in path for path in paths & shared)
        assert paths & own[task]
        for other in set(REGIONS) - {task}:
            assert not paths & own[other]


@pytest.mark.slow
def test_another_tasks_decoder_changes_nothing(task_data):
    model = network(task_data=task_data)
    before = answered(model)
    scrambled(model.get_layer("decoder_2"), seed=7)
    after = answered(model)
    for task in ("color", "shape"):
        np.testing.assert_array_equal(before[task], after[task])
    assert np.any(before["animal"] != after["animal"])


# Penalties


def logs_of(model, x=X, labels=LABELS, task_id=None):
    """Returns the logs of one batch, with separate data of examples of several tasks."""
    compiled(model)
    y = {task: labels[task] for task in model.tasks}
    if model.task_data == "shared":
        return model.evaluate(x, y, batch_size=len(x), return_dict=True, verbose=0)
    task_id = np.arange(len(x)) % len(model.tasks) if task_id is None else np.array(task_id)
    y = np.stack(list(y.values()))[task_id, np.arange(len(x))]
    x = {"inputs": x, "task_id": task_id.astype("int32")}
    return model.test_on_batch(x, y, return_dict=True)


def penalties_of(model, **settings):
    logs = logs_of(model, **settings)
    return [logs[f"{part}_sparsity_penalty"] for part in ("encoder", "decoder")]


@pytest.mark.slow
def test_logs_name_what_open_connections_cost_the_encoder_and_the_decoders(task_data):
    model = network(open_fraction=0.5, sparsity_weight=3.0, task_data=task_data)
    force(routed(model), True)
    of_encoder = 2 * 3 + 3 * 2  # all connections, of which half are free
    of_decoders = 3 * 5 if task_data == "shared" else 5  # separate examples use one decoder each
    expected = [3 * of_encoder / 2, 3 * of_decoders / 2]
    assert penalties_of(model) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_penalties_are_part_of_the_loss(task_data):
    found = []
    for open_fraction in (0.5, 1.0):
        model = network(open_fraction=open_fraction, task_data=task_data)
        force(routed(model), True)
        logs = logs_of(model)
        penalties = [logs[f"{part}_sparsity_penalty"] for part in ("encoder", "decoder")]
        assert all(penalties) if open_fraction < 1 else penalties == [0, 0]
        found.append(logs["loss"] - sum(penalties))
    assert found[0] == pytest.approx(found[1], rel=1e-4) and found[1] > 0.1


@pytest.mark.slow
def test_closed_connections_cost_nothing(task_data):
    model = network(open_fraction=0.01, task_data=task_data)
    force(routed(model), False)
    assert penalties_of(model) == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["step", "batch"])
def test_an_example_pays_for_the_decoder_it_uses(scope):
    model = network(open_fraction=0.4, task_data="separate", sparsity_scope=scope)
    force(routed(model), False)
    force([model.get_layer("decoder_2")], True)
    for task_id, number in [([1] * 6, 6), ([0, 2] * 3, 0), ([1, 0, 2, 1, 0, 0], 2)]:
        expected = (5 - 0.4 * 5) * number / 6
        assert penalties_of(model, task_id=task_id) == pytest.approx([0, expected], rel=1e-6)


@pytest.mark.slow
def test_with_shared_data_all_decoders_count_together():
    model = network(open_fraction=0.2)
    force(routed(model), False)
    force([model.get_layer("decoder_2")], True)
    assert penalties_of(model) == pytest.approx([0, 5 - 0.2 * 15], rel=1e-6)
    force([model.get_layer("decoder_3")], True)
    assert penalties_of(model) == pytest.approx([0, 10 - 0.2 * 15], rel=1e-6)


def test_one_task_has_its_connections_alone():
    model = network({"animal": 7}, open_fraction=0.2)
    force(routed(model), True)
    assert penalties_of(model) == pytest.approx([0.8 * 12, 0.8 * 5], rel=1e-6)


def test_penalties_are_made_as_told():
    ramp = RampSchedule(2.0, 5)
    model = network(open_fraction=0.3, sparsity_weight=ramp, sparsity_scope="step", **SMALLEST)
    for part in ("encoder", "decoder"):
        config = model.get_layer(f"{part}_sparsity_penalty").get_config()
        assert config["open_fraction"] == 0.3 and config["scope"] == "step"
        assert config["weight"]["config"] == ramp.get_config()


# Padding and time


@pytest.mark.slow
def test_padding_changes_no_tag(task_data):
    assert_padding_is_ignored(reader(task_data=task_data))


@pytest.mark.slow
def test_padding_changes_no_class(task_data):
    model = reader(REGIONS, task_data=task_data)
    longer = answered(model, np.pad(PADDED, ((0, 0), (0, 3))))
    assert_equal_answers(answered(model, PADDED), longer, 1e-5)
    alone = {task: y[0] for task, y in answered(model, PADDED[3:4, :1]).items()}
    assert_equal_answers({task: y[3] for task, y in longer.items()}, alone, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["step", "sequence", "batch"])
def test_padding_changes_no_log(task_data, scope):
    model = reader(task_data=task_data, open_fraction=0.1, sparsity_scope=scope)
    longer = np.pad(PADDED, ((0, 0), (0, 3)))
    found = []
    for tokens in (PADDED, longer):
        labels = {"chunk": np.where(tokens, 2, -1), "pos": np.where(tokens, 4, -1)}
        found.append(logs_of(model, tokens, labels))
    assert found[0]["encoder_sparsity_penalty"] > 0 < found[0]["decoder_sparsity_penalty"]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.slow
def test_steps_may_be_masked_by_a_value(task_data):
    stem = [partial(layers.Masking, -1.0)]
    model = network(REGIONS, stem=stem, task_data=task_data, open_fraction=0.1)
    x, longer = X.copy(), np.pad(X, ((0, 0), (0, 2), (0, 0)), constant_values=-1.0)
    longer[2, 1:] = x[2, 1:] = -1.0
    assert_equal_answers(answered(model, x), answered(model, longer), 1e-5)
    assert logs_of(model, x) == pytest.approx(logs_of(model, longer), rel=1e-5)


@pytest.mark.slow
def test_a_base_that_forgets_padding_makes_nobody_else_forget_it(task_data):
    conv = partial(layers.Conv1D, 3, 1, padding="causal")
    with pytest.warns(UserWarning, match="does not support masking"):
        model = reader(
            REGIONS, base=partial(keras_mtl.build_shared_bottom, layers=[conv]), task_data=task_data
        )
        longer = answered(model, np.pad(PADDED, ((0, 0), (0, 3))))
        assert_equal_answers(answered(model, PADDED), longer, 1e-5)


def test_no_tag_depends_on_what_comes_after_it():
    model = network(TAGS)
    later = X.copy()
    later[:, 2] += 1
    for before, after in zip(
        answered(model).values(), answered(model, later).values(), strict=True
    ):
        np.testing.assert_array_equal(before[:, :2], after[:, :2])
        assert np.any(before[:, 2] != after[:, 2])


@pytest.mark.slow
def test_classes_and_tags_may_stand_side_by_side():
    model = reader(MIXED)
    found = answered(model, PADDED)
    assert found["region"].shape == (6, 3) and found["state"].shape == (6, 4, 5)
    changed = PADDED.copy()
    changed[1, 0] = 9 - changed[1, 0]
    other = answered(model, changed)
    assert np.any(other["region"][1] != found["region"][1])
    trained(model, PADDED, {"region": np.arange(6) % 3, "state": np.where(PADDED, 4, -1)})


def test_with_separate_data_all_tasks_or_none_have_labels_per_step():
    with pytest.raises(ValueError, match="With separate data either all tasks or none"):
        reader(MIXED, task_data="separate")


# Other base networks

two = {"layers": [[lstm] * 2]}
BASES = {
    "cross_stitch": partial(keras_mtl.build_cross_stitch, **two),
    "sluice": partial(keras_mtl.build_sluice, **two),
    "no_sharing": partial(keras_mtl.build_no_sharing, **two),
    "shared_bottom": partial(keras_mtl.build_shared_bottom, **two),
    "gumbel_matrix": partial(keras_mtl.build_gumbel_matrix, **two),
    "dc_mtl": partial(keras_mtl.build_communicating, units=3),
    "ic_mtl": partial(keras_mtl.build_communicating, graph="star", units=3),
    "rrn": partial(keras_mtl.build_recursive_routing, units=3, num_functions=2, depth=1),
}


def on_base(name, tasks=TAGS, **settings):
    return reader(tasks, base=BASES[name], **settings)


@pytest.mark.parametrize(
    ("name", "task_data"),
    [
        ("cross_stitch", "shared"),
        ("gumbel_matrix", "separate"),
        ("shared_bottom", "shared"),
        ("dc_mtl", "separate"),
        ("ic_mtl", "shared"),
        ("rrn", "separate"),
        pytest.param("rrn", "shared", marks=pytest.mark.slow),
        pytest.param("no_sharing", "shared", marks=pytest.mark.slow),
        pytest.param("sluice", "separate", marks=pytest.mark.slow),
    ],
)
def test_a_head_that_does_not_read_the_decoder_is_the_base_network(name, task_data):
    model = on_base(name, task_data=task_data)
    tokens = keras.Input((None,), dtype="int32")
    alone = BASES[name](tokens, TAGS, stem=[embed], task_data=task_data)
    theirs = by_name(model)
    for layer_name, layer in by_name(alone).items():
        if layer.weights and layer_name not in [*TAGS, "heads"]:
            layer.set_weights(theirs[layer_name].get_weights())
    for layer_name in TAGS if task_data == "shared" else ["heads"]:
        ours, (kernel, bias) = (
            model.get_layer(layer_name),
            model.get_layer(layer_name).get_weights(),
        )
        alone.get_layer(layer_name).set_weights([kernel[: -2 * 5], bias])  # two sub-decoders
        ours.set_weights([np.concatenate([kernel[: -2 * 5], 0 * kernel[-2 * 5 :]]), bias])
    assert_equal_answers(answered(model, PADDED), answered(alone, PADDED), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", BASES)
def test_networks_on_every_base_learn(name, task_data):
    model = on_base(name, task_data=task_data)
    before = {v.path: array(v) for v in model.trainable_variables}
    labels = {"chunk": np.where(PADDED, 2, -1), "pos": np.where(PADDED, 4, -1)}
    trained(model, PADDED, labels)
    moved = {v.path for v in model.trainable_variables if np.any(array(v) != before[v.path])}
    for part in ("encoder/cell/lstm_1", "encoder/cell/sub_encoders_2", "decoder_1", "decoder_2"):
        assert any(path.startswith(part) for path in moved), part
    not_base = ("encoder", "decoder", "stem", "heads", *TAGS)
    assert any(not path.startswith(not_base) for path in moved)


def test_the_base_and_the_encoder_read_the_same_stem():
    model = reader()
    names = [layer.name for layer in model.layers]
    assert names.count("stem_1") == 1
    for name in ("encoder", "component_1_1"):
        read, _ = by_name(model)[name].input  # and its mask
        assert read is model.get_layer("stem_1").output


def test_a_policy_that_reads_the_base_decides_by_it():
    model = reader(policy_reads_base=True)
    assert [decoder.projection.kernel.shape for decoder in decoders(model)] == [(4, 5)] * 2
    decided = keras.Model(model.input, model.get_layer("decoder_1").output[1])
    before = array(called(decided, PADDED))
    scrambled(by_name(model)["component_1_1"], seed=5)
    assert np.any(array(called(decided, PADDED)) != before)
    alone = decoders(reader(**SMALLEST, policy_reads_base=False))
    assert all(decoder.projection is None for decoder in alone)


@pytest.mark.parametrize("shared", [True, False])
def test_policies_read_the_base_where_it_knows_of_tasks(shared):
    """Eq. 6 where the paper has it: not on one state of all tasks."""
    build = keras_mtl.build_shared_bottom if shared else keras_mtl.build_no_sharing
    lstm = partial(layers.LSTM, 4, return_sequences=True)
    lstms = [lstm] if shared else [[lstm] * 2]
    model = reader(base=partial(build, layers=lstms))
    assert [decoder.projection is None for decoder in decoders(model)] == [shared] * 2


def test_encoder_and_decoders_have_limits_of_their_own():
    both = reader(open_fraction=0.5, sparsity_weight=2.0)
    own = reader(
        open_fraction=0.5, decoder_open_fraction=0.25, sparsity_weight=2.0,
        decoder_sparsity_weight=0.5,
    )  # fmt: skip
    found = [
        [
            (penalty.open_fraction, penalty.weight)
            for part in ("encoder", "decoder")
            for penalty in [model.get_layer(f"{part}_sparsity_penalty")]
        ]
        for model in (both, own)
    ]
    assert found == [[(0.5, 2.0)] * 2, [(0.5, 2.0), (0.25, 0.5)]]


# Epochs, seeds, precision, files


@pytest.mark.slow
def test_a_network_cools_with_the_epochs_in_all_its_parts():
    model = compiled(network(temperature=HalvingSchedule(8.0)))
    routers = [layer for layer in model._flatten_layers() if isinstance(layer, GumbelRouter)]
    assert len(routers) == 2 + 3
    y = {task: LABELS[task] for task in REGIONS}
    model.fit(X, y, epochs=3, verbose=0)
    assert [int(router.epochs.value) for router in routers] == [3] * 5
    model.evaluate(X, y, verbose=0)
    model.fit(X, y, initial_epoch=3, epochs=4, verbose=0)
    model.fit(X, y, epochs=1, verbose=0)
    assert [int(router.epochs.value) for router in routers] == [5] * 5
    assert {float(router.temperature(router.epochs)) for router in routers} == {0.25}


@pytest.mark.slow
def test_equal_seeds_start_equally():
    assert_seeds_reproduce(
        partial(build_recurrent_modular, keras.Input((None, 5)), REGIONS, units=(3,))
    )


@pytest.mark.parametrize("stem", [(), (partial(layers.Dense, 5),)], ids=["bare", "stem"])
def test_base_and_encoder_start_differently(stem):
    model = build_recurrent_modular(
        keras.Input((None, 5)),
        REGIONS,
        stem=stem,
        num_cells=3,
        num_sub_encoders=(1,),
        cell_units=4,
        units=(3,),
        seed=3,
    )
    lstms = [*model.get_layer("encoder").cell.lstms]
    lstms += [by_name(model)[f"component_1_{number}"] for number in (1, 2, 3)]
    for weight in (0, 1):
        starts = [lstm.get_weights()[weight].tobytes() for lstm in lstms]
        assert len(set(starts)) == 6


def test_every_router_draws_its_own_numbers():
    model = build_recurrent_modular(
        keras.Input((None, 5)), REGIONS, units=(3,), num_sub_encoders=(2, 1), seed=3
    )
    seeds = [layer.router.seed for layer in routed(model)]
    assert len(set(seeds)) == 5 and None not in seeds


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains(policy):
    make = partial(
        build_recurrent_modular, keras.Input((None, 5)), REGIONS, units=(3,), cell_units=4
    )
    assert_trains_in(policy, make, X, LABELS)


@pytest.mark.slow
def test_a_saved_network_answers_equally_and_knows_its_epoch(tmp_path, task_data):
    model = reader(
        REGIONS, task_data=task_data, tie_layers=True, policy_reads_base=True, cell_units=5,
        num_sub_encoders=(3, 3, 3), decoder_units=(6,), policy_units=(7, 2),
    )  # fmt: skip
    for layer in routed(model):
        layer.router.epochs.assign(3)
    loaded = reloaded(model, tmp_path)
    assert_equal_answers(answered(model, PADDED), answered(loaded, PADDED), 0)
    assert [int(layer.router.epochs.value) for layer in routed(loaded)] == [3] * 6
    cell = loaded.get_layer("encoder").cell
    assert cell.tie_layers and cell.sub_encoders[0] is cell.sub_encoders[2]


# Frozen networks

FROZEN = {
    "plain": {},
    "policies_read_the_base": {"policy_reads_base": True},
    "tied": {"tie_layers": True, "cell_units": 5, "num_sub_encoders": (3, 3)},
    "tied_through_a_projection": {"tie_layers": True, "num_sub_encoders": (3, 3)},
    "on_rrn": {"base": BASES["rrn"]},
    "decided_by_step": {"decide_by": "step"},
    "on_cross_stitch": {"base": partial(keras_mtl.build_cross_stitch, layers=[[lstm] * 2])},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("tasks", [TAGS, {"mood": 2, "topic": 4}], ids=["tags", "classes"])
def test_frozen_networks_answer_the_same_with_stock_layers(name, tasks, task_data, tmp_path):
    model = reader(tasks, task_data=task_data, **FROZEN[name])
    frozen = keras_mtl.freeze(model)
    assert all(type(layer).__module__.startswith("keras.") for layer in frozen.layers)
    expected = answered(model, PADDED)
    frozen.save(tmp_path / "frozen.keras")
    loaded = keras.models.load_model(tmp_path / "frozen.keras")
    for x in (PADDED, PADDED[:, ::-1]):  # at the end, and in front
        outputs = called(loaded, x)
        assert_equal_answers({t: array(outputs[t]) for t in tasks}, answered(model, x), 1e-6)
    task = list(tasks)[1]
    alone = keras_mtl.freeze(model, task)
    np.testing.assert_allclose(array(called(alone, PADDED)), expected[task], rtol=1e-6, atol=1e-6)
    parts = {layer.name.split("_")[1] for layer in alone.layers if layer.name.startswith("decoder")}
    assert parts == {"2"}  # decoder_2 only


def test_a_frozen_network_is_as_large_as_its_parts():
    model = reader(num_cells=1, cell_units=5, num_sub_encoders=(2, 2), tie_layers=True)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert keras_mtl.freeze(model).count_params() == trainable


# Learning


@pytest.mark.slow
def test_what_must_be_remembered_comes_from_the_encoder():
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], (512, 4, 2)).astype("float32")
    labels = {
        "first": (x[:, 0, 0] > 0).astype(int),  # of four steps, the base sees the last
        "changed": (x[:, :, 1] != np.roll(x[:, :, 1], 1, axis=1)).astype(int),
    }
    labels["changed"][:, 0] = -1
    model = build_recurrent_modular(
        keras.Input((4, 2)), {"first": 2, "changed": Task("tagging", 2)},
        base=partial(keras_mtl.build_shared_bottom, layers=[partial(layers.Dense, 3)]),
        num_cells=2, cell_units=8, num_sub_encoders=(3, 3), units=(12,), temperature=1.0,
        open_fraction=0.5, sparsity_weight=0.02, seed=0,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01))
    start = model.evaluate(x, labels, batch_size=512, return_dict=True, verbose=0)
    model.fit(x, labels, batch_size=32, epochs=30, verbose=0)
    end = model.evaluate(x, labels, batch_size=512, return_dict=True, verbose=0)
    assert start["first_accuracy"] < 0.7 and start["changed_accuracy"] < 0.7
    assert end["first_accuracy"] > 0.95 and end["changed_accuracy"] > 0.95


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cells": 0}, "num_cells must be an integer of at least 1. Received: 0"),
        ({"num_sub_encoders": ()}, "num_sub_encoders must be a tuple of at least 1 sizes"),
        ({"units": ()}, "units must be a tuple of at least 1 sizes"),
        ({"decoder_units": ()}, "decoder_units must be a tuple of at least 1 sizes"),
        ({"tie_layers": True}, "tie_layers applies one layer of sub-encoders again and again"),
        ({"temperature": 0}, "temperature must be a number above 0 or a schedule"),
        ({"open_fraction": 0}, r"open_fraction must be a number in \(0, 1\]"),
        ({"sparsity_weight": -1}, "sparsity_weight must be a number of at least 0 or a schedule"),
        ({"decide_by": "time"}, 'decide_by must be "example" or "step"'),
        ({"decide_by": "step", "policy_reads_base": True}, "policies read the number of the step"),
        ({"sparsity_scope": "time"}, 'sparsity_scope must be "step", "sequence" or "batch"'),
        ({"task_data": "joint"}, 'task_data must be "shared".*or "separate"'),
    ],
)
def test_settings_are_checked(settings, message):
    with refused(message):
        network(**settings)


@pytest.mark.parametrize("inputs", [keras.Input((5,)), keras.Input((None,), dtype="int32")])
def test_a_sequence_is_needed(inputs):
    with refused(r"reads one sequence, \(batch, steps, features\), after the stem. Received:"):
        network(inputs=inputs)


@pytest.mark.parametrize("base", [keras.Sequential(), "sluice"], ids=["model", "name"])
def test_the_base_is_a_function(base):
    with refused("base must be a function with the arguments of a builder, such as functools.part"):
        network(base=base)


def test_the_base_returns_a_network_with_tasks():
    def plain(inputs, tasks, **settings):
        return keras.Model(inputs, lstm()(inputs))

    with refused("base must return a network of keras_mtl. It returned: <Functional"):
        network(base=plain)


def test_the_base_keeps_the_stem():
    wanted = "base network must keep the stem as it is.*has no layer 'stem_1'.*build_no_sharing"
    with refused(wanted):
        reader(base=partial(keras_mtl.build_single_tasks, layers=[[lstm] * 2]))


def without_steps(inputs, tasks, **settings):
    """A base that does not do as it is told: it predicts classes."""
    classes = dict.fromkeys(tasks, 2)
    return keras_mtl.build_shared_bottom(inputs, classes, [partial(layers.LSTM, 4)], **settings)


def test_the_base_has_features_at_every_step():
    wanted = (
        r"must have features \(batch, steps, features\) for task 'chunk'. Received: \(None, 4\)"
    )
    with refused(wanted):
        reader(base=without_steps)


def test_a_base_for_tags_keeps_the_time_axis():
    with refused("Task 'chunk' of kind 'tagging' needs features of shape.*Keep the time axis"):
        reader(base=partial(keras_mtl.build_shared_bottom, layers=[partial(layers.LSTM, 4)]))


@pytest.mark.parametrize("name", ["encoder", "decoder_2", "encoder_sparsity_penalty"])
def test_no_task_is_called_like_a_part(name):
    with refused(f"{name}"):
        network({"color": 2, name: 3}, **SMALLEST)


def test_the_stem_may_end_with_a_model():
    def widened():
        inputs = keras.Input((2, 4))
        return keras.Model(inputs, layers.Dense(5, name="wide")(inputs))

    model = keras_mtl.build_recurrent_modular(
        keras.Input((2, 4)), {"a": 3, "b": 2}, stem=[widened], cell_units=3, **SMALLEST
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype("float32")
    frozen = keras_mtl.freeze(model)(x)
    for task, answer in model(x, training=False).items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(frozen[task]), ops.convert_to_numpy(answer), atol=1e-6
        )
