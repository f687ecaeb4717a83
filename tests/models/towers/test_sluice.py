import itertools
from functools import partial

import keras
import numpy as np
import pytest

from keras_mtl import build_cross_stitch, build_single_tasks, build_sluice
from keras_mtl.layers import SubspaceOrthogonality
from tests.models.networks import (
    TASKS,
    X,
    answers,
    array,
    assert_equal_answers,
    copy_weights,
    dense,
    network,
)
from tests.models.tower_networks import (
    LABELS,
    TAGS,
    TOKENS,
    after,
    assert_padding_is_ignored,
    assert_seeds_reproduce,
    assert_trains_in,
    bilstm,
    compiled,
    embed,
    give,
    lstm,
    paths_reached,
    randomized_like,
    reached,
    reloaded,
    scrambled,
    tagger,
    tags,
    trained,
)

NAMES = list(TASKS)
ALPHA = np.random.default_rng(1).normal(size=(6, 6)).astype("float32")  # 3 tasks, 2 subspaces
BETA = [0.5, -2.0]
PRESETS = [
    "hard_sharing", "group_lasso", "easy_adaptation", "low_supervision", "cross_stitch",
    "single_task",
]  # fmt: skip


@pytest.fixture(params=["shared", "separate"])
def task_data(request):
    return request.param


def sluice(preset=None, **settings):
    """Builds two layers of a tower for each of three tasks, with random weights."""
    if preset == "low_supervision":
        settings["levels"] = {"animal": 1}
    return scrambled(network(build_sluice, preset=preset, **settings))


def alphas(model):
    return [layer.alpha for layer in model.layers if layer.name.startswith("stitch")]


def penalties(model):
    return [array(loss) for loss in model.losses]


def towers(*numbers, depths=(1, 2)):
    return {f"component_{depth}_{number}" for depth in depths for number in numbers}


def components(model, task):
    return {name for name in reached(model, task) if name.startswith("component")}


# Limiting cases


@pytest.mark.parametrize("connections", ["mixture", "none"])
def test_the_identity_and_the_last_layer_are_single_tasks(connections, task_data):
    single = scrambled(network(build_single_tasks, task_data=task_data))
    model = randomized_like(
        single,
        network(
            build_sluice,
            alpha="identity",
            beta=[0, 1],
            connections=connections,
            task_data=task_data,
        ),
    )
    assert_equal_answers(answers(model), answers(single))


def test_the_identity_and_the_last_layer_pass_no_gradient_between_tasks(task_data):
    model = give(sluice(task_data=task_data), np.eye(6), [0, 1])
    for number, task in enumerate(NAMES, start=1):
        assert components(model, task) == towers(number)
        mixing = {name for name in reached(model, task) if name.startswith("mixture")}
        assert mixing == {f"mixture_{number}"}


def test_other_weights_let_every_tower_learn_from_every_task(task_data):
    model = give(sluice(task_data=task_data), ALPHA, BETA)
    for task in NAMES:
        assert components(model, task) == towers(1, 2, 3)


def test_the_identity_is_a_stock_network_per_task():
    model = tagger(build_sluice, [[lstm] * 2, [lstm] * 2], connections="none")
    give(model, np.eye(4))
    for number, task in enumerate(TAGS, start=1):
        x = model.get_layer("stem_1")(TOKENS)
        for depth in (1, 2):
            x = model.get_layer(f"component_{depth}_{number}")(x)
        kernel, bias = model.get_layer(task).get_weights()
        expected = array(keras.ops.softmax(array(x) @ kernel + bias))
        np.testing.assert_allclose(tags(model)[task], expected, rtol=1e-5, atol=1e-6)


def test_equal_weights_give_all_tasks_the_same_features_from_all_towers():
    model = give(sluice(), np.full((6, 6), 0.3))
    for layer in ("stitch_1", "stitch_2"):
        first, *others = after(model, layer)
        assert np.abs(first).max() > 0.01
        for other in others:
            np.testing.assert_array_equal(first, other)
    assert components(model, "color") == towers(1, 2, 3)


def test_equal_towers_that_are_averaged_are_one_tower(task_data):
    one = scrambled(keras.Sequential([keras.Input((5,)), dense(), dense()]))
    settings = {"num_subspaces": 1, "connections": "none", "task_data": task_data}
    model = sluice("hard_sharing", **settings)
    for depth, number in itertools.product((1, 2), (1, 2, 3)):
        weights = one.layers[depth - 1].get_weights()
        model.get_layer(f"component_{depth}_{number}").set_weights(weights)
    single = network(build_single_tasks, task_data=task_data)
    assert_equal_answers(answers(model), answers(randomized_like(model, single)), 1e-5)


@pytest.mark.parametrize("preset", ["cross_stitch", None])
def test_one_subspace_and_the_last_layer_are_a_cross_stitch(preset, task_data):
    stitch = scrambled(network(build_cross_stitch, task_data=task_data))
    restricted = {} if preset else {"num_subspaces": 1, "connections": "none"}
    model = network(build_sluice, preset=preset, task_data=task_data, **restricted)
    assert [alpha.shape for alpha in alphas(model)] == [(3, 3)] * 2
    np.testing.assert_array_equal(alphas(model), alphas(network(build_cross_stitch)))
    copy_weights(stitch, model)
    assert_equal_answers(answers(model), answers(stitch), 1e-5)


def test_a_mixture_of_the_last_layer_alone_is_a_cross_stitch():
    stitch = scrambled(network(build_cross_stitch))
    model = sluice(num_subspaces=1, beta=[0, 1])
    give(model, beta=[0, 1])
    for layer in stitch.layers:
        model.get_layer(layer.name).set_weights(layer.get_weights())
    assert_equal_answers(answers(model), answers(stitch), 1e-5)


def test_subspaces_that_are_treated_alike_are_none():
    one = give(sluice(num_subspaces=1), ALPHA[:3, :3], BETA)
    two = randomized_like(one, network(build_sluice))
    assert_equal_answers(answers(give(two, np.kron(ALPHA[:3, :3], np.eye(2)), BETA)), answers(one))


def test_tasks_can_be_permuted_with_their_towers():
    model, order = give(sluice(), ALPHA, BETA), np.array([2, 0, 1])
    tasks = {NAMES[old]: TASKS[NAMES[old]] for old in order}
    permuted = randomized_like(model, network(build_sluice, tasks=tasks))
    for depth, (new, old) in itertools.product((1, 2), enumerate(order, start=1)):
        weights = model.get_layer(f"component_{depth}_{old + 1}").get_weights()
        permuted.get_layer(f"component_{depth}_{new}").set_weights(weights)
    places = (2 * order[:, None] + [0, 1]).ravel()
    found = answers(give(permuted, ALPHA[places][:, places], BETA))
    assert_equal_answers({name: found[name] for name in NAMES}, answers(model), 1e-5)


# Numbers


@pytest.mark.parametrize(
    ("num_tasks", "num_subspaces", "num_lists"), [(3, 2, 2), (2, 3, 3), (1, 2, 1)]
)
def test_alphas_and_betas_are_as_many_as_the_paper_says(num_tasks, num_subspaces, num_lists):
    wide = partial(keras.layers.Dense, 6)
    tasks = {f"task_{number}": 2 for number in range(num_tasks)}
    model = network(
        build_sluice, [[wide] * num_tasks] * num_lists, tasks, num_subspaces=num_subspaces
    )
    count = {"stitch": 0, "mixture": 0}
    for layer in model.layers:
        for role in count:
            count[role] += layer.count_params() if layer.name.startswith(role) else 0
    size = num_tasks * num_subspaces
    assert count == {"stitch": num_lists * size**2, "mixture": num_lists * num_tasks}


def test_three_tasks_with_three_subspaces_are_worked_out_as_in_the_paper():
    wide = partial(keras.layers.Dense, 6, activation="tanh")
    model = sluice(layers=[[wide] * 3] * 2, num_subspaces=3)
    x, layers = [X] * 3, []
    for depth in (1, 2):
        h = [array(model.get_layer(f"component_{depth}_{n}")(x[n - 1])) for n in (1, 2, 3)]
        chunks = np.concatenate([tower.reshape(6, 3, 2) for tower in h], axis=1)  # A1, A2, ...
        mixed = np.einsum("ij,bju->biu", model.get_layer(f"stitch_{depth}").alpha, chunks)
        x = [mixed[:, 3 * task : 3 * task + 3].reshape(6, 6) for task in range(3)]
        layers.append(x)
    for number, name in enumerate(NAMES, start=1):
        beta = model.get_layer(f"mixture_{number}").beta
        features = sum(b * layer[number - 1] for b, layer in zip(beta, layers, strict=True))
        kernel, bias = model.get_layer(name).get_weights()
        expected = array(keras.ops.softmax(features @ kernel + bias))
        np.testing.assert_allclose(answers(model)[name], expected, rtol=1e-4, atol=1e-5)


def test_weights_start_at_the_settings():
    model = network(build_sluice)
    for alpha in alphas(model):
        np.testing.assert_allclose(alpha, 0.88 * np.eye(6) + 0.02, rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("mixture_3").beta, [0.1, 0.9], rtol=1e-6)
    model = network(build_sluice, alpha=ALPHA, beta=BETA)
    np.testing.assert_array_equal(alphas(model), [ALPHA, ALPHA])
    np.testing.assert_array_equal(model.get_layer("mixture_1").beta, BETA)


def test_normalized_weights_sum_to_one_also_after_training():
    model = trained(network(build_sluice, normalize_alpha=True))
    start = 0.88 * np.eye(6) + 0.02
    for alpha in alphas(model):
        np.testing.assert_allclose(alpha.sum(axis=1), np.ones(6), rtol=1e-5)
        assert np.abs(alpha - start).max() > 1e-4


# What heads read


def test_skipping_adds_all_layers(task_data):
    skip = sluice(connections="skip", task_data=task_data)
    assert not any(v.path.endswith("beta") for v in skip.trainable_variables)
    mixture = give(network(build_sluice, task_data=task_data), beta=[1, 1])
    copy_weights(skip, mixture)
    assert_equal_answers(answers(skip), answers(mixture))


def test_no_connection_is_the_last_layer(task_data):
    none = sluice(connections="none", task_data=task_data)
    mixture = network(build_sluice, task_data=task_data)
    for layer in none.layers:
        mixture.get_layer(layer.name).set_weights(layer.get_weights())
    give(mixture, beta=[0, 1])
    assert_equal_answers(answers(none), answers(mixture))


def test_heads_may_read_all_layers_side_by_side():
    model = sluice(connections="concat")
    first, second = after(model, "stitch_1"), after(model, "stitch_2")
    for number, name in enumerate(NAMES):
        kernel, bias = model.get_layer(name).get_weights()
        assert kernel.shape == (2 * 4, TASKS[name])
        logits = first[number] @ kernel[:4] + second[number] @ kernel[4:] + bias
        expected = array(keras.ops.softmax(logits))
        np.testing.assert_allclose(answers(model)[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("connections", ["mixture", "skip", "concat", "none"])
def test_all_connections_answer_equally_in_both_forms_of_data(connections):
    settings = {"connections": connections, "tower_units": (3,), "stem": [dense]}
    shared, separate = sluice(**settings), sluice(task_data="separate", **settings)
    copy_weights(shared, separate)
    assert_equal_answers(answers(shared), answers(separate), 1e-5)


def test_layers_of_different_widths_can_be_concatenated_but_not_mixed():
    layers = [[dense] * 3, [partial(keras.layers.Dense, 6)] * 3]
    model = network(build_sluice, layers, connections="concat")
    assert model.get_layer("color").get_weights()[0].shape == (10, 2)
    with refused(r'one output shape of all of them.*\(None, 4\), \(None, 6\).*connections="conc'):
        network(build_sluice, layers)


def test_heads_may_have_layers_of_their_own(task_data):
    model = sluice(tower_units=(3, 2), task_data=task_data)
    assert [model.get_layer(f"tower_{depth}_3").units for depth in (1, 2)] == [3, 2]
    head = model.get_layer("color" if task_data == "shared" else "heads")
    assert head.get_weights()[0].shape[0] == 2
    for number, task in enumerate(NAMES, start=1):
        own = {name for name in reached(model, task) if name.startswith("tower")}
        assert own <= {f"tower_1_{number}", f"tower_2_{number}"}


# Presets


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_answer_equally_in_both_forms_of_data(preset):
    shared, separate = sluice(preset), sluice(preset, task_data="separate")
    copy_weights(shared, separate)
    assert_equal_answers(answers(shared), answers(separate), 1e-5)


def test_the_preset_of_the_paper_has_its_start_and_its_penalty(task_data):
    model = tagger(build_sluice, [[lstm] * 2] * 2, preset="paper", task_data=task_data)
    fresh = keras.models.clone_model(model)
    start = [[0.05, 0.95] * 2] * 2 + [[0.95, 0.05] * 2] * 2  # of the other's first or second half
    for alpha in alphas(fresh):
        np.testing.assert_allclose(alpha, start)
    by_hand = tagger(
        build_sluice,
        [[lstm] * 2] * 2,
        alpha="sluice2",
        orthogonality_weight=0.1,
        task_data=task_data,
    )
    np.testing.assert_allclose(penalties(model), penalties(by_hand))


def test_the_penalty_of_the_paper_may_weigh_more():
    models = [
        tagger(build_sluice, [[lstm] * 2], preset="paper", **given)
        for given in ({}, {"orthogonality_weight": 0.3})
    ]
    usual, more = map(penalties, models)
    np.testing.assert_allclose(more, 3 * np.array(usual), rtol=1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_saved(preset, tmp_path):
    model = sluice(preset)
    loaded = reloaded(model, tmp_path)
    assert_equal_answers(answers(loaded), answers(model), 0)
    np.testing.assert_array_equal(alphas(loaded), alphas(model))
    assert len(loaded.trainable_variables) == len(model.trainable_variables)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "task_data"),
    [
        ("hard_sharing", "shared"),
        ("hard_sharing", "separate"),
        ("single_task", "shared"),
        ("low_supervision", "separate"),
    ],
)
def test_weights_that_are_given_do_not_learn(preset, task_data):
    model = sluice(preset, task_data=task_data)
    before = alphas(model)
    trained(model)
    np.testing.assert_array_equal(alphas(model), before)
    assert not any(v.path.endswith("alpha") for v in model.trainable_variables)


def test_hard_sharing_gives_all_tasks_the_same_features():
    model = trained(sluice("hard_sharing"))
    np.testing.assert_allclose(alphas(model), np.full((2, 6, 6), 1 / 6), rtol=1e-6)
    first, *others = after(model, "stitch_2")
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.slow
def test_group_lasso_keeps_towers_apart_while_their_subspaces_learn(task_data):
    model = trained(network(build_sluice, preset="group_lasso", task_data=task_data))
    own = np.kron(np.eye(3), np.ones((2, 2))) > 0
    for alpha in alphas(model):
        assert np.all(alpha[~own] == 0)
        assert np.all(alpha[own] != np.kron(np.eye(3), np.eye(2))[own])
    for number, task in enumerate(NAMES, start=1):
        assert components(model, task) == towers(number)


@pytest.mark.slow
def test_easy_adaptation_has_a_private_and_a_common_subspace_also_after_training(task_data):
    model = network(build_sluice, preset="easy_adaptation", task_data=task_data)
    before = alphas(model)
    trained(model)
    for alpha, start in zip(alphas(model), before, strict=True):
        private, common = alpha[::2, ::2], alpha[1::2, 1::2]
        assert np.all(alpha[::2, 1::2] == 0) and np.all(alpha[1::2, ::2] == 0)
        assert np.all(private[~np.eye(3, dtype=bool)] == 0)
        np.testing.assert_array_equal(common, np.tile(common[:1], (3, 1)))  # whoever reads it
        np.testing.assert_array_equal(np.diag(start[::2, ::2]), np.ones(3))
        np.testing.assert_allclose(start[1::2, 1::2], np.full((3, 3), 1 / 3), rtol=1e-6)
        assert np.all(np.diag(private) != 1) and len(set(common[0])) == 3


def test_easy_adaptations_common_subspace_is_the_same_for_all_tasks():
    model = trained(sluice("easy_adaptation"))
    for layer in ("stitch_1", "stitch_2"):
        first, *others = after(model, layer)
        for other in others:
            np.testing.assert_allclose(first[:, 2:], other[:, 2:], rtol=1e-6)
            assert np.abs(first[:, :2] - other[:, :2]).max() > 1e-3


def test_easy_adaptations_tied_weights_learn_the_sum_of_their_slopes():
    tied = network(build_sluice, preset="easy_adaptation", connections="none")
    start = alphas(tied)[1]
    free = network(build_sluice, alpha=start, connections="none")
    for layer in tied.layers:
        if not layer.name.startswith("stitch"):
            free.get_layer(layer.name).set_weights(layer.get_weights())
    assert_equal_answers(answers(tied), answers(free))
    for model in (tied, free):
        compiled(model).train_on_batch(X, LABELS)
    of_tied, of_free = alphas(tied)[1] - start, alphas(free)[1] - start
    total = np.tile(of_free[1::2, 1::2].sum(axis=0), (3, 1))
    np.testing.assert_allclose(of_tied[1::2, 1::2], total, rtol=1e-3, atol=1e-6)
    private = np.diag(of_free[::2, ::2])
    np.testing.assert_allclose(np.diag(of_tied[::2, ::2]), private, rtol=1e-3, atol=1e-6)


def test_single_task_keeps_everything_apart(task_data):
    single = scrambled(network(build_single_tasks, task_data=task_data))
    model = network(build_sluice, preset="single_task", connections="none", task_data=task_data)
    np.testing.assert_array_equal(alphas(model), [np.eye(6)] * 2)
    assert_equal_answers(answers(randomized_like(single, model)), answers(single))
    for number, task in enumerate(NAMES, start=1):
        assert components(model, task) == towers(number)


def test_low_supervision_predicts_a_task_from_its_level(task_data):
    layers = [[dense] * 3] * 3
    levels = {"animal": 1, "shape": 2}
    model = scrambled(
        network(build_sluice, layers, preset="low_supervision", levels=levels, task_data=task_data)
    )
    assert not any(layer.name.startswith("mixture") for layer in model.layers)
    shared = towers(1, 2, 3, depths=[1])
    assert components(model, "animal") == shared
    assert components(model, "shape") == shared | {"component_2_3"}
    assert components(model, "color") == shared | {"component_2_1", "component_3_1"}
    first, *others = alphas(model)
    np.testing.assert_allclose(first, np.full((6, 6), 1 / 6), rtol=1e-6)
    np.testing.assert_array_equal(others, [np.eye(6)] * 2)


def test_low_supervision_shares_up_to_the_lowest_level():
    model = network(
        build_sluice, [[dense] * 3] * 3, preset="low_supervision", levels={"animal": 2, "color": 3}
    )
    for alpha, shared in zip(alphas(model), [True, True, False], strict=True):
        np.testing.assert_allclose(alpha, np.full((6, 6), 1 / 6) if shared else np.eye(6))
    assert components(model, "animal") == towers(1, 2, 3)


# Orthogonality


def eq_4(kernel, num_subspaces=2):
    parts = np.split(np.asarray(kernel, "float64"), num_subspaces, axis=-1)
    return sum(np.sum((a.T @ b) ** 2) for a, b in itertools.combinations(parts, 2))


@pytest.mark.parametrize(
    ("num_subspaces", "task_data"), [(1, "shared"), (2, "shared"), (2, "separate")]
)
def test_the_penalty_is_logged_and_enters_the_loss_once(num_subspaces, task_data):
    settings = {"num_subspaces": num_subspaces, "task_data": task_data}
    plain = scrambled(network(build_sluice, **settings))
    model = network(build_sluice, orthogonality_weight=0.3, **settings)
    copy_weights(plain, model)
    kernels = [model.get_layer(name).get_weights()[0] for name in sorted(towers(1, 2, 3))]
    expected = 0.3 * sum(eq_4(kernel, num_subspaces) for kernel in kernels)
    first, second = evaluated(plain), evaluated(model)
    assert "orthogonality_penalty" not in first
    np.testing.assert_allclose(second["orthogonality_penalty"], expected, rtol=1e-5)
    np.testing.assert_allclose(second["loss"] - first["loss"], expected, rtol=1e-4, atol=1e-6)
    assert (num_subspaces == 1) == (expected == 0)


def evaluated(model):
    compiled(model)
    if model.task_data == "shared":
        return model.test_on_batch(X, LABELS, return_dict=True)
    x = {"inputs": X, "task_id": np.zeros(6, "int32")}
    return model.test_on_batch(x, LABELS["color"], return_dict=True)


def test_the_penalty_is_logged_by_fit_and_with_a_loss_of_ones_own():
    model = network(build_sluice, orthogonality_weight=0.3)
    kernels = [model.get_layer(name).get_weights()[0] for name in towers(1, 2, 3)]
    expected = 0.3 * sum(map(eq_4, kernels))
    compiled(model, loss="sparse_categorical_crossentropy")
    found = model.fit(X, LABELS, batch_size=6, verbose=0).history["orthogonality_penalty"]
    np.testing.assert_allclose(found, [expected], rtol=1e-5)
    logs = model.evaluate(X, LABELS, return_dict=True, verbose=0)
    of_tasks = sum(logs[f"{name}_loss"] for name in NAMES)
    np.testing.assert_allclose(logs["loss"] - of_tasks, logs["orthogonality_penalty"], rtol=1e-4)


@pytest.mark.parametrize(
    ("part", "blocks"),
    [
        (None, [(1, 0)]),
        ("input_gate_recurrent", [(1, 0)]),
        ("input_kernel", [(0, 0), (0, 1), (0, 2), (0, 3)]),
        ("all", list(itertools.product((0, 1), range(4)))),
    ],
)
@pytest.mark.parametrize("component", [lstm, bilstm], ids=["lstm", "bilstm"])
def test_recurrent_towers_are_penalized_in_the_asked_part(component, part, blocks):
    asked = {} if part is None else {"orthogonality": part}
    model = tagger(build_sluice, [[component] * 2] * 2, orthogonality_weight=0.1, **asked)
    expected = 0.0
    for name in towers(1, 2):
        weights = model.get_layer(name).get_weights()
        for way, (place, gate) in itertools.product(range(len(weights) // 3), blocks):
            expected += 0.1 * eq_4(np.split(weights[3 * way + place], 4, axis=1)[gate])
    found = sum(float(array(loss)) for loss in model.losses)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_penalized_component_is_like_the_users():
    made = partial(
        keras.layers.Dense, 4, activation="relu", use_bias=False, kernel_initializer="he_normal"
    )
    model = network(build_sluice, [[made] * 3], orthogonality_weight=0.1, seed=1)
    layer = model.get_layer("component_1_2")
    assert layer.activation is keras.activations.relu and not layer.use_bias
    assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)
    assert isinstance(layer.kernel_regularizer, SubspaceOrthogonality)
    assert_seeds_reproduce(partial(network, build_sluice, orthogonality_weight=0.1))


def test_the_penalty_survives_saving(tmp_path):
    model = tagger(build_sluice, [[bilstm] * 2], orthogonality_weight=0.1)
    loaded = reloaded(model, tmp_path)
    before, after = ([float(array(loss)) for loss in m.losses] for m in (model, loaded))
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert len(before) == 4


# Towers of sequences and images


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_data", "settings"),
    [
        ("shared", {}),
        ("separate", {"connections": "concat"}),
        ("shared", {"preset": "low_supervision", "levels": {"pos": 1}}),
    ],
    ids=["mixture", "concat", "low"],
)
def test_padded_steps_change_nothing(task_data, settings):
    model = tagger(build_sluice, [[bilstm] * 2] * 2, task_data=task_data, **settings)
    assert_padding_is_ignored(model)


def test_directions_do_not_meet_before_the_head():
    model = tagger(build_sluice, [[bilstm] * 2] * 2)
    head = model.get_layer("pos")
    kernel, bias = head.get_weights()
    kernel[:4] = 0  # reads backwards only
    head.set_weights([kernel, bias])
    found = paths_reached(model, "pos", TOKENS)
    assert not any("forward" in path for path in found)
    assert sum(path.endswith("backward/lstm_cell/kernel") for path in found) == 4  # 2 towers of 2


def test_both_directions_have_the_subspaces_of_the_units():
    model = tagger(build_sluice, [[bilstm] * 2], connections="none")
    alpha = model.get_layer("stitch_1").alpha
    x = model.get_layer("stem_1")(TOKENS)
    h = [array(model.get_layer(f"component_1_{number}")(x)) for number in (1, 2)]
    chunks = np.stack(h).reshape(2, 6, 4, 2, 2, 2)  # task, B, step, direction, subspace, unit
    mixed = np.einsum("tsuv,ubndvw->tbndsw", alpha.reshape(2, 2, 2, 2), chunks)
    found = after(model, "stitch_1", TOKENS)
    np.testing.assert_allclose(found, mixed.reshape(2, 6, 4, 2, 4), rtol=1e-4, atol=1e-5)


def test_layers_may_read_both_directions():
    model = tagger(build_sluice, [[bilstm] * 2, [partial(bilstm, direction="concat")] * 2])
    kernels = [model.get_layer(f"component_{depth}_1").get_weights()[0] for depth in (1, 2)]
    assert [kernel.shape for kernel in kernels] == [(3, 16), (8, 16)]
    assert {task: y.shape for task, y in tags(model).items()} == {
        "chunk": (6, 4, 3),
        "pos": (6, 4, 5),
    }


def test_convolutional_towers_share_groups_of_channels():
    conv = partial(keras.layers.Conv2D, 6, 3, padding="same", activation="relu")
    pool = partial(keras.layers.GlobalAveragePooling2D)
    model = scrambled(
        build_sluice(
            keras.Input((4, 5, 2)),
            {"a": 2, "b": 5},
            [[conv] * 2, [conv] * 2, pool],
            num_subspaces=3,
            orthogonality_weight=0.1,
        )
    )
    assert model.get_layer("stitch_2").alpha.shape == (6, 6)
    kernels = [model.get_layer(name).get_weights()[0] for name in towers(1, 2)]
    expected = 0.1 * sum(eq_4(kernel.reshape(-1, 6), 3) for kernel in kernels)
    np.testing.assert_allclose(sum(float(array(x)) for x in model.losses), expected, rtol=1e-4)
    x = np.random.default_rng(0).normal(size=(6, 4, 5, 2)).astype("float32")
    assert {name: y.shape for name, y in answers(model, x).items()} == {"a": (6, 2), "b": (6, 5)}


def test_one_task_mixes_its_own_subspaces(task_data):
    model = scrambled(network(build_sluice, [[dense]] * 2, {"only": 3}, task_data=task_data))
    assert [alpha.shape for alpha in alphas(model)] == [(2, 2)] * 2
    assert answers(model)["only"].shape == (6, 3)
    assert components(model, "only") == towers(1)


# Precision, files, seeds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "task_data", "preset"),
    [("mixed_float16", "shared", "easy_adaptation"), ("mixed_bfloat16", "separate", None)],
)
def test_half_precision_trains(policy, task_data, preset):
    make = partial(
        network, build_sluice, task_data=task_data, preset=preset, orthogonality_weight=0.1
    )
    assert_trains_in(policy, make)


@pytest.mark.slow
def test_half_precision_trains_sequences():
    tokens = keras.Input((None,), dtype="int32")
    make = partial(build_sluice, tokens, TAGS, [[bilstm] * 2], stem=[embed])
    labels = {"chunk": TOKENS % 3, "pos": TOKENS % 5}
    assert_trains_in("mixed_bfloat16", make, TOKENS, labels)


@pytest.mark.slow
def test_weights_learn_and_are_saved(tmp_path, task_data):
    model = network(build_sluice, task_data=task_data)
    before = alphas(model)
    trained(model)
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(alphas(model), before, strict=True))
    loaded = reloaded(model, tmp_path)
    assert_equal_answers(answers(loaded), answers(model), 0)
    np.testing.assert_array_equal(alphas(loaded), alphas(model))
    for number in (1, 2, 3):
        beta = model.get_layer(f"mixture_{number}").beta
        assert np.abs(beta - [0.1, 0.9]).max() > 1e-5
        np.testing.assert_array_equal(loaded.get_layer(f"mixture_{number}").beta, beta)


def test_sequences_are_saved(tmp_path):
    model = tagger(build_sluice, [[bilstm] * 2] * 2)
    loaded, before = reloaded(model, tmp_path), tags(model)
    for task, found in tags(loaded).items():
        np.testing.assert_array_equal(found, before[task])


def test_seeds_reproduce():
    assert_seeds_reproduce(partial(network, build_sluice))


# Errors


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_subspaces_divide_the_width():
    with refused("'stitch_1' splits features into 3 subspaces of one size, but they have width 4"):
        network(build_sluice, num_subspaces=3)


def test_a_list_has_a_component_per_task():
    with refused("List 1 of `layers` has 4 components, but towers need one for each of 3 tasks"):
        network(build_sluice, [[dense] * 4])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"connections": "all"},
            'connections must be "mixture", "skip", "concat" or "none". Received: \'all\'',
        ),
        (
            {"preset": "soft_sharing"},
            'preset must be None, "paper", "hard_sharing", "group_lasso",.*Received: \'soft_shar',
        ),
        ({"alpha": "sluice2"}, 'alpha="sluice2" .*2 tasks and 2 subspaces. Received 3 tasks and 2'),
        ({"alpha": np.eye(3)}, r"array of shape \(6, 6\).*Received: \(3, 3\)"),
        ({"beta": [1.0]}, "or 2 numbers, one per layer"),
        (
            {"orthogonality_weight": -1.0},
            "orthogonality_weight must be a number of at least 0. Received: -1.0",
        ),
        (
            {"preset": "easy_adaptation", "num_subspaces": 1},
            'preset="easy_adaptation" .*needs num_subspaces=2. Received: 1',
        ),
        (
            {"preset": "paper"},
            'preset="paper" starts alpha .* two tasks.*Received tasks: color, animal, shape',
        ),
        ({"preset": "group_lasso", "normalize_alpha": True}, "decides what normalize_alpha would"),
        ({"preset": "low_supervision"}, 'preset="low_supervision" needs levels'),
        ({"levels": {"animal": 1}}, "no other preset takes it. Received: preset=None"),
        (
            {"preset": "low_supervision", "levels": {"animal": 3}},
            "levels gives task 'animal' the level 3.*levels: 1 to 2, the lists of `layers`",
        ),
        (
            {"preset": "low_supervision", "levels": {"pos": 1}},
            "levels gives task 'pos' the level 1. Tasks: color, animal, shape",
        ),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_errors(settings, message):
    with refused(message):
        network(build_sluice, **settings)


@pytest.mark.parametrize("part", ["inputs", "recurrent"])
def test_an_unknown_part_of_an_lstm_is_an_error(part):
    with refused('orthogonality must be "input_gate_recurrent", "input_kernel" or "all"'):
        tagger(build_sluice, [[lstm] * 2], orthogonality_weight=0.1, orthogonality=part)


@pytest.mark.parametrize(
    "component",
    [
        partial(keras.layers.GRU, 4, return_sequences=True),
        partial(keras.layers.Bidirectional, keras.layers.LSTM(2, return_sequences=True)),
    ],
    ids=["GRU", "Bidirectional"],
)
def test_layers_that_the_penalty_does_not_know_are_named(component):
    wanted = "orthogonality_weight knows Dense, convolution, LSTM and BiLSTM components, but "
    with refused(wanted + "'component_1_1' is of class (GRU|Bidirectional). Give its layers"):
        tagger(build_sluice, [[component] * 2], orthogonality_weight=0.1)


def test_a_layer_with_a_regularizer_of_its_own_is_named():
    plain = partial(dense, kernel_regularizer="l2")
    with refused("'component_1_2' has a kernel_regularizer of its own.*Leave out one of the two"):
        network(build_sluice, [[dense, plain, dense]], orthogonality_weight=0.1)


def test_another_regularizer_beside_the_penalty_is_no_error():
    other = partial(lstm, bias_regularizer="l2", kernel_regularizer="l2")
    model = tagger(build_sluice, [[other] * 2], orthogonality_weight=0.1)
    assert len(model.losses) == 2 * 3


@pytest.mark.parametrize(
    ("preset", "given"),
    [
        ("paper", {"alpha": "balanced"}),
        ("hard_sharing", {"alpha": "balanced"}),
        ("group_lasso", {"alpha": 0.5}),
        ("easy_adaptation", {"alpha": np.eye(6)}),
        ("single_task", {"normalize_alpha": True}),
        ("low_supervision", {"connections": "skip", "levels": {"animal": 1}}),
        ("low_supervision", {"beta": "balanced", "levels": {"animal": 1}}),
        ("cross_stitch", {"connections": "concat"}),
        ("cross_stitch", {"beta": [0.5, 0.5]}),
    ],
)
def test_a_preset_and_what_it_decides_cannot_both_be_given(preset, given):
    wanted = f"preset='{preset}' decides what {list(given)[0]} would.*Leave out one of the two"
    with pytest.raises(ValueError, match=wanted):
        network(build_sluice, preset=preset, **given)


@pytest.mark.parametrize("level", [1.0, True, 0, 3, "1"])
def test_levels_are_whole_numbers(level):
    with pytest.raises(ValueError, match="gives task 'animal' the level .* 1 to 2, the lists"):
        network(build_sluice, preset="low_supervision", levels={"animal": level})
