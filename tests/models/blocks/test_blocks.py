"""AdaShare and DynaShare: a backbone of blocks that tasks, and examples, execute or skip."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import PolicyPhases
from keras_mtl.layers import BlockPolicy, InstanceGate, ResidualDense, SkippableBlock
from tests.gradients import gradients
from tests.layers.modular import array
from tests.models.gates import half_open
from tests.models.networks import EITHER

TASKS = {"animal": 3, "alive": "binary", "kind": 3}
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
TASK_ID = np.array([0, 1, 2, 2, 1, 0], "int32")
LAYERS = [
    partial(keras.layers.Dense, 7),
    *[[partial(ResidualDense, 7)]] * 2,
    [partial(ResidualDense, 4)],
]
POLICY = [[1, 0, 1], [0, 1, 1], [1, 1, 0]]
BUILDERS = [keras_mtl.build_adashare, keras_mtl.build_dynashare]


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def network(build=keras_mtl.build_dynashare, tasks=TASKS, layers=LAYERS, **settings):
    return build(keras.Input((5,)), tasks, layers, **{"seed": 0, **settings})


def scrambled(model, seed=1):
    """Gives weights and statistics random values, but not what counts or decides."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if not any(word in variable.path for word in ("policy", "penalty", "gate", "router")):
            low = 0.5 if "variance" in variable.path else -1.0
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def features_of(model, task_data, training=False):
    """Returns what the heads of each task read."""
    inputs = model.input
    names = [layer.name for layer in model.layers if isinstance(layer, SkippableBlock)]
    last = keras.Model(inputs, model.get_layer(names[-1]).output)
    if task_data == "shared":
        rows = array(last(X, training=training))
        return np.split(rows, len(rows) // len(X)) * (1 if len(rows) > len(X) else 3)
    return [
        array(last({"inputs": X, "task_id": np.full(6, task, "int32")}, training=training))
        for task in range(3)
    ]


def by_hand(model, policy):
    """Returns the features of a task by its row of the policy."""
    x = model.get_layer("layer_1")(X)
    for number, executes in enumerate(policy, start=1):
        block = model.get_layer(f"block_{number}").block
        x = block(x) if executes else block.shortcut(x)
    return array(x)


# Policies


def test_a_task_executes_the_blocks_of_its_row(task_data):
    model = scrambled(network(policy=POLICY, task_data=task_data))
    for found, row in zip(features_of(model, task_data), POLICY, strict=True):
        np.testing.assert_allclose(found, by_hand(model, row), rtol=1e-4, atol=1e-5)


@EITHER
def test_all_ones_is_the_plain_backbone(task_data):
    model = scrambled(network(task_data=task_data))
    for found in features_of(model, task_data):
        np.testing.assert_allclose(found, by_hand(model, [1, 1, 1]), rtol=1e-4, atol=1e-5)


def test_while_all_tasks_execute_the_same_an_example_has_one_row():
    policy = [[1, 0, 1], [1, 0, 0], [1, 0, 1]]
    model = network(policy=policy)
    rows = [
        keras.Model(model.input, model.get_layer(f"block_{n}").output)(X).shape[0]
        for n in (1, 2, 3)
    ]
    assert rows == [6, 6, 18]


@EITHER
def test_what_a_task_learned_becomes_its_policy(task_data):
    learned = network(keras_mtl.build_adashare, cycles_per_block=0, task_data=task_data)
    scrambled(learned)
    for number in (1, 2, 3):
        logits = learned.get_layer(f"policy_{number}").row_blocks[0]
        column = np.array(POLICY)[:, number - 1]
        logits.assign(np.stack([column, 1 - column], axis=-1)[:, None] * 9.0)
    fixed = network(policy=POLICY, task_data=task_data)
    weights = {v.path: v for v in learned.weights}
    for variable in fixed.weights:
        variable.assign(weights[variable.path])
    inputs = X if task_data == "shared" else {"inputs": X, "task_id": TASK_ID}
    one, two = (keras.tree.flatten(model(inputs, training=False)) for model in (learned, fixed))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-5, atol=1e-6)


def test_blocks_become_free_from_the_last_to_the_first():
    phases = PolicyPhases(warm_up=5, weights=3, policy=1)
    model = network(keras_mtl.build_adashare, phases=phases, cycles_per_block=2)
    starts = [layer.start for layer in model.layers if isinstance(layer, BlockPolicy)]
    assert starts == [5 + 4 * 4, 5 + 2 * 4, 5] == list(model.get_layer("penalty").starts)
    for cycle in range(8):
        free = sum(start <= phases.start_of_cycle(cycle) for start in starts)
        assert free == min(3, cycle // 2 + 1)


def test_without_a_curriculum_all_blocks_are_free_after_the_warm_up():
    model = network(keras_mtl.build_adashare, phases=PolicyPhases(7), cycles_per_block=0)
    assert [layer.start for layer in model.layers if isinstance(layer, BlockPolicy)] == [7] * 3


def test_a_block_that_a_task_skips_learns_nothing_from_it():
    model = network(policy=POLICY, task_data="separate")
    for task, row in enumerate(POLICY):
        inputs = {"inputs": X, "task_id": np.full(6, task, "int32")}
        kernels = [model.get_layer(f"block_{n}").block.residual_layers[0].kernel for n in (1, 2, 3)]

        def total(inputs=inputs):
            return sum(ops.sum(ops.square(y)) for y in model(inputs, training=False).values())

        slopes = gradients(total, kernels)
        for slope, executes in zip(slopes, row, strict=True):
            assert executes or not slope.any()


@pytest.mark.slow
def test_a_policy_is_drawn_by_its_probabilities():
    model = learning(phases=PolicyPhases(), init_probability=0.3)
    draws = np.array([keras_mtl.sample_policy(model, seed=seed) for seed in range(300)])
    assert draws.shape == (300, 3, 3) and set(draws.flatten()) == {0, 1}
    np.testing.assert_allclose(draws.mean(axis=0), 0.3, atol=4 * np.sqrt(0.21 / 300))
    assert np.array_equal(draws[7], keras_mtl.sample_policy(model, seed=7))
    assert not keras_mtl.sample_policy(model, "argmax").any()


@EITHER
def test_it_can_start_from_what_was_learned(task_data):
    learned = scrambled(network(keras_mtl.build_adashare, cycles_per_block=0, task_data=task_data))
    settings = {"target_rates": [0.5, 1, 1], "task_data": task_data}  # an even chance executes
    model = network(start_from=learned, **settings, seed=5)
    gates_of(model)[0].scores.bias.assign([-90.0, 90.0])
    inputs = X if task_data == "shared" else {"inputs": X, "task_id": TASK_ID}
    one, two = (keras.tree.flatten(m(inputs, training=False)) for m in (learned, model))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-5, atol=1e-6)
    before = [np.array(v.numpy()) for v in learned.weights]
    for variable in model.trainable_variables:
        variable.assign(variable * 0)
    assert all(np.array_equal(array(v), b) for v, b in zip(learned.weights, before, strict=True))


def test_it_starts_from_a_network_of_the_same_layers():
    other = network(keras_mtl.build_adashare, layers=[LAYERS[0], [partial(ResidualDense, 7)]])
    for wrong in (other, "learned"):
        with pytest.raises(ValueError, match="start_from must be a network of .*build_adashare"):
            network(start_from=wrong)


def learning(temperature=0.1, **settings):
    phases = PolicyPhases(warm_up=1, weights=2, policy=1)
    settings = {"phases": phases, "cycles_per_block": 0, "temperature": temperature} | settings
    return network(keras_mtl.build_adashare, **settings)


def test_penalties_are_relative_to_the_weighted_losses_after_the_warm_up(task_data):
    tasks = {"animal": keras_mtl.Task("classes", 3, weight=4.0), "alive": "binary", "kind": 3}
    model = learning(tasks=tasks, task_data=task_data)
    model.compile(keras.optimizers.SGD(0.0))
    labels = {"animal": np.arange(6) % 3, "alive": np.arange(6) % 2, "kind": np.arange(6) % 3}
    x, y = X, labels
    if task_data == "separate":
        x = {"inputs": X, "task_id": TASK_ID}
        kinds = {
            "classes": np.where(TASK_ID == 1, -1, np.arange(6) % 3),
            "binary": np.arange(6) % 2,
        }
        y = {
            "classes": kinds["classes"].astype("int32"),
            "binary": np.where(TASK_ID == 1, kinds["binary"], np.nan).astype("float32"),
        }
    means = []
    for _ in range(4):
        logs = model.train_on_batch(x, y, return_dict=True)
        model.reset_metrics()
        penalty = model.get_layer("penalty")
        charged = sum(float(array(value)) for value in penalty.penalties.values())
        means.append((float(logs["loss"]) - charged) / 3)
    assert float(array(penalty.task_loss)) == pytest.approx(np.mean(means[1:3]), rel=1e-4)
    absolute = learning(tasks=tasks, task_data=task_data, relative=False).get_layer("penalty")
    assert absolute.relative_to is None


def test_a_policy_that_is_taken_early_is_warned_of():
    blocks_wait = network(keras_mtl.build_adashare, phases=PolicyPhases(7), temperature=0.1)
    with pytest.warns(
        UserWarning, match="of 'policy_3' no task may skip its block before .*batch 7"
    ):
        keras_mtl.sample_policy(blocks_wait)
    model = learning(0.21)
    for number in (1, 2, 3):
        model.get_layer(f"policy_{number}").batches.assign(1)
    with pytest.warns(UserWarning, match="of 'policy_1', 'policy_2', 'policy_3' at its temp.*0.21"):
        keras_mtl.sample_policy(model)


# Gates


def gates_of(model):
    return [layer for layer in model.layers if isinstance(layer, InstanceGate)]


def test_a_block_with_a_target_of_1_has_no_gate():
    assert gates_of(network(policy=POLICY)) == []
    names = [gate.name for gate in gates_of(network(target_rates=[1, 0.5, 0.9]))]
    assert names == ["gate_2", "gate_3"]


@EITHER
def test_open_gates_change_nothing(task_data):
    gated = scrambled(network(policy=POLICY, target_rates=0.5, task_data=task_data))
    plain = network(policy=POLICY, task_data=task_data)
    weights = {v.path: v for v in gated.weights}
    for variable in plain.weights:
        variable.assign(weights[variable.path])
    for gate in gates_of(gated):
        gate.scores.bias.assign([-90.0, 90.0])
    for one, two in zip(
        features_of(gated, task_data, True), features_of(plain, task_data, True), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_a_closed_gate_skips_the_block_for_that_example():
    model = scrambled(network(target_rates=[0.5, 1, 1]))
    gate = model.get_layer("gate_1")
    rng = np.random.default_rng(3)
    for variable in gate.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    first = model.get_layer("layer_1")(X)
    opened = array(gate(first))[:, 0]
    assert 0 < opened.sum() < 6
    found = array(keras.Model(model.input, model.get_layer("block_1").output)(X))
    block = array(model.get_layer("block_1").block(first))
    expected = np.where(opened[:, None] == 1, block, array(first))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_an_example_is_answered_the_same_alone_and_in_a_batch():
    model = half_open(scrambled(network(policy=POLICY, target_rates=0.5)), X)
    together = model(X, training=False)
    for task, answers in together.items():
        alone = [array(model(X[row : row + 1], training=False)[task]) for row in range(6)]
        np.testing.assert_allclose(np.concatenate(alone), array(answers), rtol=1e-5, atol=1e-6)


def test_rates_are_of_the_tasks_that_execute_a_block(task_data):
    model = network(
        policy=POLICY, target_rates=[0.5, 0.25, 1], target_weight=1.0, task_data=task_data
    )
    for gate, bias in zip(gates_of(model), (90.0, -90.0), strict=True):
        gate.scores.bias.assign([0, bias])
    inputs = X if task_data == "shared" else {"inputs": X, "task_id": TASK_ID}
    model(inputs, training=True)
    found = float(array(model.get_layer("target_rate_penalty").penalties["target_rate_penalty"]))
    assert found == pytest.approx(2 * 0.5**2 + 2 * 0.25**2, rel=1e-5)


@pytest.mark.parametrize("policy", [None, [[1, 1, 1], [1, 1, 0], [1, 1, 1]]], ids=["same", "later"])
def test_gates_before_tasks_part_count_for_each_task(policy):
    model = network(policy=policy, target_rates=[0.5, 1, 1], target_weight=1.0)
    gates_of(model)[0].scores.bias.assign([0, 90.0])
    model(X, training=True)
    found = float(array(model.get_layer("target_rate_penalty").penalties["target_rate_penalty"]))
    assert found == pytest.approx(3 * 0.5**2, rel=1e-5)


# What is left


@pytest.mark.slow
@pytest.mark.parametrize("rates", [1.0, 0.5], ids=["no gates", "gates"])
def test_frozen_it_answers_the_same_without_what_nobody_executes(task_data, rates):
    policy = [[1, 0, 1], [0, 0, 1], [1, 0, 0]]
    model = scrambled(network(policy=policy, target_rates=rates, task_data=task_data))
    rng = np.random.default_rng(5)
    for gate in gates_of(model):
        for variable in gate.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))
    frozen = keras_mtl.freeze(model)
    assert not [v.path for v in frozen.weights if "component_2_1" in v.path or "gate_2" in v.path]
    kinds = {"animal": ("classes", 0), "alive": ("binary", 1), "kind": ("classes", 2)}
    for name, (kind, task) in kinds.items():
        alone = array(keras_mtl.freeze(model, name)(X))
        if task_data == "shared":
            expected = array(model(X, training=False)[name])
        else:
            inputs = {"inputs": X, "task_id": np.full(6, task, "int32")}
            expected = array(model(inputs, training=False)[kind])[:, : alone.shape[1]]
        np.testing.assert_allclose(alone, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(array(frozen(X)[name]), expected, rtol=1e-5, atol=1e-6)


def test_a_task_alone_has_only_what_it_executes():
    model = network(policy=POLICY, target_rates=[0.5, 0.5, 1])
    paths = [v.path for v in keras_mtl.freeze(model, "alive").weights]
    assert not [path for path in paths if "component_1_1" in path or "gate_1" in path]
    assert [path for path in paths if "component_2_1" in path and "gate" not in path]
    skipped = [v.path for v in keras_mtl.freeze(model, "kind").weights if "component_3_1" in v.path]
    assert skipped and all("projection" in path for path in skipped)


# Errors


@pytest.mark.parametrize("build", BUILDERS)
def test_a_block_is_a_list_of_one_callable(build):
    with pytest.raises(ValueError, match=r"layers\[1\] has 2 components, but a block that tasks"):
        network(build, layers=[LAYERS[0], [partial(ResidualDense, 7)] * 2])
    with pytest.raises(
        ValueError,
        match="layers has no list of one callable, so there is nothing to execute or skip",
    ):
        network(build, layers=[LAYERS[0]])


@pytest.mark.parametrize("build", BUILDERS)
def test_a_block_fits_its_input(build):
    with pytest.raises(ValueError, match="Block 'component_1_1' makes .* of .*, but a task that"):
        network(build, layers=[[partial(keras.layers.Dense, 9)]])


@pytest.mark.parametrize("policy", [[[1, 1]] * 3, [[1, 1, 1]] * 2, [[1, 0.5, 1]] * 3])
def test_a_policy_has_a_row_for_each_task_and_a_column_for_each_block(policy):
    wanted = "policy must be zeros and ones, a row for each of 3 tasks .*animal, alive, kind"
    with pytest.raises(ValueError, match=wanted):
        network(policy=policy)


@pytest.mark.parametrize("rates", [0.0, 1.5, [0.5, 0.5, -0.1]])
def test_rates_are_above_0_and_at_most_1(rates):
    with pytest.raises(ValueError, match=r"target_rates are shares of examples, in \(0, 1\]"):
        network(target_rates=rates)


def test_there_is_a_rate_for_each_block():
    with pytest.raises(ValueError, match="target_rates must be a number or a list of 3, one for"):
        network(target_rates=[0.5, 0.5])


@pytest.mark.filterwarnings("ignore:The policy is taken early")
def test_blocks_that_nobody_may_skip_yet_are_executed_in_every_analysis():
    model = network(keras_mtl.build_adashare, phases=PolicyPhases(7), init_probability=0.01)
    policies = [layer for layer in model.layers if isinstance(layer, BlockPolicy)]
    policies[-1].batches.assign(7)  # the last is the first that may be skipped
    executed = np.ones((len(model.tasks), len(policies)))
    executed[:, -1] = 0
    for discretize in ("sample", "argmax"):
        found = keras_mtl.sample_policy(model, discretize, seed=0)
        np.testing.assert_array_equal(found, executed)
    np.testing.assert_array_equal(np.hstack(keras_mtl.allocation(model)), executed)
    likely = np.hstack(keras_mtl.allocation_probabilities(model))
    np.testing.assert_allclose(likely, np.maximum(executed, 0.01), rtol=1e-5)


def test_only_a_learned_policy_can_be_sampled():
    with pytest.raises(ValueError, match="learns no policy over blocks"):
        keras_mtl.sample_policy(network(policy=POLICY))
    with pytest.raises(ValueError, match='discretize must be "sample" or "argmax"'):
        keras_mtl.sample_policy(learning(), "best")
