"""Optimizers with a learning rate of their own for the allocation."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import allocation_optimizer

FEATURES = 5
TASKS = {"a": 3, "b": 2, "c": 4}
SIZES = list(TASKS.values())
COLUMNS = np.cumsum([0, *SIZES])

dense = partial(keras.layers.Dense, 4, activation="sigmoid")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, FEATURES)).astype("float32")
Y = np.array([0, 1, 1, 1, 1, 0], "int32")

IN_ONE_LOOP = {"steps_per_execution": 2, "jit_compile": True}
if keras.backend.backend() == "torch":  # which offers neither
    IN_ONE_LOOP = {}

OPTIMIZERS = {
    "adam": partial(keras.optimizers.Adam, 0.1),
    "adamw": partial(keras.optimizers.AdamW, 0.1, weight_decay=0.25),
    "momentum": partial(keras.optimizers.SGD, 0.1, momentum=0.9),
}


def model_of(optimizer, build=keras_mtl.build_gumbel_matrix, layers=([dense] * 3,), **options):
    compile_options = options.pop("compile_options", {"run_eagerly": True})
    if build is keras_mtl.build_gumbel_matrix:
        options = {"init_probability": 0.95, "temperature": 1.0, **options}
    model = build(keras.Input((FEATURES,)), TASKS, layers, task_data="separate", seed=7, **options)
    model.compile(optimizer, **compile_options)
    return model


def train(model, task_id):
    """One step on a batch of one task."""
    model.train_on_batch({"inputs": X, "task_id": np.full(6, task_id, "int32")}, Y)


def value(variable):
    return np.array(ops.convert_to_numpy(variable))


def named(model, path):
    return value(next(v for v in model.trainable_variables if v.path == path))


def weights_of(model):
    return {variable.path: value(variable) for variable in model.trainable_variables}


def split(array, path, tasks):
    """The slices of a variable that belong to the given tasks."""
    if path == "allocation_1/logits":
        return array[tasks]
    return np.concatenate([array[..., COLUMNS[t] : COLUMNS[t + 1]] for t in tasks], axis=-1)


OF_TASKS = ["allocation_1/logits", "heads/kernel", "heads/bias"]


def state_by_path(model):
    """Optimizer state of the variables with a slice per task, under the variables' paths."""
    return {
        (path, variable.name): value(variable)
        for path in OF_TASKS
        for variable in model.optimizer.variables
        if variable.name.startswith(path.replace("/", "_"))
    }


# Learning rates and weight decay.


def test_one_adam_step_moves_logits_by_their_own_learning_rate():
    """The first step of Adam is the learning rate times the sign of the gradient."""
    model = model_of(allocation_optimizer(keras.optimizers.Adam(0.01, epsilon=1e-12), 0.3))
    before = weights_of(model)
    train(model, 1)
    moved = {path: np.abs(now - before[path]) for path, now in weights_of(model).items()}
    logits = moved["allocation_1/logits"]
    np.testing.assert_allclose(logits[1], 0.3, rtol=1e-3)
    assert (logits[[0, 2]] == 0).all()
    bias = moved["heads/bias"]
    np.testing.assert_allclose(bias[3:5], 0.01, rtol=1e-3)
    assert (np.delete(bias, [3, 4]) == 0).all()


def test_one_sgd_step_scales_the_gradient_by_the_learning_rates():
    def moves(optimizer):
        model = model_of(optimizer)
        before = weights_of(model)
        train(model, 1)
        return {path: now - before[path] for path, now in weights_of(model).items()}

    plain = moves(keras.optimizers.SGD(0.1))
    split_up = moves(allocation_optimizer(keras.optimizers.SGD(0.1), 0.5))
    assert np.abs(plain["allocation_1/logits"]).max() > 1e-5
    for path, move in plain.items():
        factor = 5.0 if path == "allocation_1/logits" else 1.0
        np.testing.assert_allclose(split_up[path], factor * move, rtol=1e-3, atol=1e-6)


def test_one_sgd_step_moves_the_weights_of_stitches_by_their_own_learning_rate():
    def moved(optimizer):
        model = model_of(optimizer, keras_mtl.build_sluice, [[dense] * 3] * 2)
        before = weights_of(model)
        train(model, 1)
        return {path: now - before[path] for path, now in weights_of(model).items()}

    plain = moved(keras.optimizers.SGD(0.1))
    own = moved(allocation_optimizer(keras.optimizers.SGD(0.1), 1.0))
    faster = {path for path in plain if path.endswith(("alpha", "beta"))}
    assert {"stitch_1/alpha", "stitch_2/alpha", "mixture_2/beta"} <= faster
    for path, step in plain.items():
        np.testing.assert_allclose(
            own[path], (10 if path in faster else 1) * step, rtol=1e-3, atol=1e-6, err_msg=path
        )
        assert path == "mixture_1/beta" or path == "mixture_3/beta" or np.any(step), path


def test_schedule_can_be_the_allocations_learning_rate():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.25, 0.0])
    model = model_of(allocation_optimizer(keras.optimizers.SGD(0.1), schedule))
    start = named(model, "allocation_1/logits")
    train(model, 0)
    once = named(model, "allocation_1/logits")
    train(model, 0)
    assert (once != start).any()
    np.testing.assert_array_equal(named(model, "allocation_1/logits"), once)


def test_logits_have_no_weight_decay():
    decaying = partial(keras.optimizers.SGD, 0.1, weight_decay=0.5)
    model = model_of(allocation_optimizer(decaying(), 0.1))
    before = weights_of(model)
    variables = model.trainable_variables
    model.optimizer.apply([ops.zeros(variable.shape) for variable in variables], variables)
    for path, now in weights_of(model).items():
        factor = 1.0 if path == "allocation_1/logits" else 1 - 0.1 * 0.5
        np.testing.assert_allclose(now, factor * before[path], rtol=1e-5, err_msg=path)


def test_settings_other_than_the_learning_rate_are_shared():
    adam = keras.optimizers.Adam(0.01, beta_1=0.5, epsilon=1e-3, clipnorm=2.0)
    allocation, weights = allocation_optimizer(adam, 0.2).optimizers
    assert weights is adam
    ours, theirs = allocation.get_config(), adam.get_config()
    different = {key for key in ours if ours[key] != theirs[key]}
    assert different == {"name", "learning_rate"}
    assert ours["learning_rate"] == pytest.approx(0.2)


@pytest.mark.parametrize("optimizer", ["adam", keras.optimizers.Adam, None])
def test_something_else_than_an_optimizer_is_refused(optimizer):
    with pytest.raises(ValueError, match="optimizer must be a single Keras optimizer, such as"):
        allocation_optimizer(optimizer, 0.1)


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan")])
def test_learning_rate_must_be_above_zero(rate):
    with pytest.raises(ValueError, match="allocation_learning_rate must be a number above 0"):
        allocation_optimizer(keras.optimizers.Adam(), rate)


def test_wrapped_optimizers_are_refused():
    mapped = allocation_optimizer(keras.optimizers.Adam(), 0.1)
    with pytest.raises(ValueError, match="a single Keras optimizer.*GroupedOptimizer"):
        allocation_optimizer(mapped, 0.1)


def test_models_without_logits_train_too():
    def trained(optimizer):
        model = model_of(optimizer, keras_mtl.build_shared_bottom)
        train(model, 0)
        return weights_of(model)

    plain = trained(keras.optimizers.Adam(0.1))
    for update_absent_tasks in (True, False):
        adam = keras.optimizers.Adam(0.1)
        weights = trained(allocation_optimizer(adam, 0.5, update_absent_tasks))
        for path, now in weights.items():
            np.testing.assert_allclose(now, plain[path], atol=1e-6)


# Absent tasks.


@pytest.mark.parametrize("name", ["adam", "momentum"])  # a decay moves weights anyway
def test_absent_tasks_move_on_their_momentum_by_default(name):
    model = model_of(allocation_optimizer(OPTIMIZERS[name](), 0.2))
    train(model, 1)
    before = weights_of(model)
    train(model, 0)
    for path, now in weights_of(model).items():
        if path in OF_TASKS:
            assert (split(now, path, [1]) != split(before[path], path, [1])).any(), path
    np.testing.assert_array_equal(  # task 2 has no momentum yet
        named(model, "allocation_1/logits")[2], before["allocation_1/logits"][2]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_absent_tasks_stay_bit_for_bit(name):
    optimizer = allocation_optimizer(OPTIMIZERS[name](), 0.2, update_absent_tasks=False)
    model = model_of(optimizer, compile_options={})
    train(model, 1)
    weights, state = weights_of(model), state_by_path(model)
    assert len(state) == len(OF_TASKS) * (1 if name == "momentum" else 2)
    train(model, 0)
    for path in OF_TASKS:
        now = weights_of(model)[path]
        np.testing.assert_array_equal(
            split(now, path, [1, 2]), split(weights[path], path, [1, 2]), err_msg=path
        )
        assert (split(now, path, [0]) != split(weights[path], path, [0])).any()
    for (path, variable), now in state_by_path(model).items():
        before = state[path, variable]
        np.testing.assert_array_equal(
            split(now, path, [1, 2]), split(before, path, [1, 2]), err_msg=variable
        )
        assert (split(now, path, [0]) != split(before, path, [0])).any(), variable


def assert_lazy_is_plain(make, present, num_steps, **options):
    """Trains on batches of `present` tasks, with momentum for the absent and without."""
    plain, lazy = (
        model_of(allocation_optimizer(make(), 0.2, update_absent_tasks=update), **options)
        for update in (True, False)
    )
    for model in (plain, lazy):
        for _ in range(num_steps):
            ids = np.resize(present, 6).astype("int32")
            model.train_on_batch({"inputs": X, "task_id": ids}, Y)
    for path, now in weights_of(lazy).items():
        ours, theirs = now, weights_of(plain)[path]
        if path.startswith(("allocation", "heads")):
            ours, theirs = split(ours, path, present), split(theirs, path, present)
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("name", ["adamw", "momentum"])  # Adam without a decay is in the first
def test_present_tasks_get_what_the_plain_optimizer_gives(name):
    assert_lazy_is_plain(OPTIMIZERS[name], [0, 2], num_steps=3)


@pytest.mark.slow
def test_present_task_without_a_component_is_not_taken_for_absent():
    """Most draws leave a layer without components: zeros go on, with zero gradients."""
    layers = [[dense] * 3, [dense] * 2]
    options = {"layers": layers, "init_probability": 0.3}
    assert_lazy_is_plain(OPTIMIZERS["adam"], [0, 1, 2], num_steps=6, **options)


@pytest.mark.slow
def test_absent_tasks_stay_through_fit_in_a_compiled_loop():
    optimizer = allocation_optimizer(keras.optimizers.Adam(0.1), 0.2, update_absent_tasks=False)
    model = model_of(optimizer, compile_options=IN_ONE_LOOP)
    before = weights_of(model)
    batches = keras_mtl.task_batches(TASKS, {"a": (X, Y), "c": (X, Y)}, batch_size=3, seed=0)
    model.fit(batches, epochs=2, verbose=0)
    for path in OF_TASKS:
        now = named(model, path)
        np.testing.assert_array_equal(split(now, path, [1]), split(before[path], path, [1]))
        assert (split(now, path, [0]) != split(before[path], path, [0])).any()


# Saving.


@pytest.mark.parametrize("update_absent_tasks", [True, False])
def test_optimizer_survives_reload_with_its_state(update_absent_tasks, tmp_path):
    optimizer = allocation_optimizer(keras.optimizers.Adam(0.1), 0.2, update_absent_tasks)
    model = model_of(optimizer)
    for task_id in (0, 1):
        train(model, task_id)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(reloaded.optimizer) is type(optimizer)
    rates = [float(one.learning_rate) for one in reloaded.optimizer.optimizers]
    assert rates == pytest.approx([0.2, 0.1])
    for ours, theirs in zip(reloaded.optimizer.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(value(ours), value(theirs))
    for one in (model, reloaded):
        train(one, 2)
    for ours, theirs in zip(reloaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(value(ours), value(theirs))


# One norm over all groups, and steps that wait for several batches.


def long_step(optimizer):
    """Applies gradients of ones to a network's variables; returns the step's length by group."""
    model = model_of(optimizer)
    before = weights_of(model)
    variables = model.trainable_variables
    model.optimizer.apply([ops.ones(variable.shape) for variable in variables], variables)
    moved = {path: np.sum((now - before[path]) ** 2) for path, now in weights_of(model).items()}
    logits = moved.pop("allocation_1/logits")
    return np.sqrt(logits), np.sqrt(sum(moved.values()))


@pytest.mark.parametrize("update_absent_tasks", [True, False])
def test_global_clipnorm_limits_one_norm_over_all_groups(update_absent_tasks):
    sgd = keras.optimizers.SGD(1.0, global_clipnorm=1.0)
    logits, weights = long_step(allocation_optimizer(sgd, 1.0, update_absent_tasks))
    np.testing.assert_allclose(np.hypot(logits, weights), 1.0, rtol=1e-5)  # was 1.41
    model = model_of("sgd")
    sizes = {path: array.size for path, array in weights_of(model).items()}
    share = sizes["allocation_1/logits"] / sum(sizes.values())
    np.testing.assert_allclose(logits**2, share, rtol=1e-5)


def test_a_gradient_below_the_limit_stays_as_it_is():
    def moved(optimizer):
        model = model_of(optimizer)
        train(model, 1)
        return weights_of(model)

    free = moved(allocation_optimizer(keras.optimizers.SGD(0.1), 0.5))
    sgd = keras.optimizers.SGD(0.1, global_clipnorm=1e6)
    for path, weight in moved(allocation_optimizer(sgd, 0.5)).items():
        np.testing.assert_allclose(weight, free[path], rtol=1e-6, err_msg=path)


def accumulating(steps, **options):
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=steps, **options)
    return allocation_optimizer(sgd, 0.1, update_absent_tasks=False)


def test_a_task_is_present_if_any_of_the_accumulated_batches_held_it():
    model = model_of(accumulating(3))
    before = weights_of(model)
    for task in (0, 2, 2):
        train(model, task)
    after = weights_of(model)
    for path in OF_TASKS:
        moved = [np.any(split(after[path] - before[path], path, [t])) for t in range(3)]
        assert moved == [True, False, True], path


def test_a_task_that_is_absent_keeps_its_tower():
    model = model_of(accumulating(None), tower_units=(3, 2))
    for task in (0, 1):
        train(model, task)
    before = weights_of(model)
    train(model, 1)
    after = weights_of(model)
    moved = {path for path in before if np.any(after[path] != before[path])}
    towers = {path.split("/")[0] for path in before if path.startswith("tower_")}
    assert towers == {f"tower_{depth}_{task}" for depth in (1, 2) for task in (1, 2, 3)}
    assert {path.split("/")[0] for path in moved} & towers == {"tower_1_2", "tower_2_2"}


def test_accumulated_batches_make_the_step_of_their_mean():
    """Two batches of one task each, and the same examples in one mixed batch."""
    model = model_of(accumulating(2), keras_mtl.build_shared_bottom, [dense])
    for task in (0, 1):
        train(model, task)
    other = model_of(accumulating(None), keras_mtl.build_shared_bottom, [dense])
    ids = np.repeat([0, 1], 6).astype("int32")
    other.train_on_batch({"inputs": np.tile(X, (2, 1)), "task_id": ids}, np.tile(Y, 2))
    for path, weight in weights_of(other).items():
        np.testing.assert_allclose(named(model, path), weight, rtol=1e-4, atol=1e-6, err_msg=path)


def test_the_norm_of_an_accumulated_gradient_is_that_of_its_mean():
    model = model_of(accumulating(2, global_clipnorm=1.0))
    before = weights_of(model)
    variables = model.trainable_variables
    for sign in (1.0, 2.0):  # each longer than the limit, and so is their mean
        gradients = [ops.full(variable.shape, sign) for variable in variables]
        model.optimizer.apply(gradients, variables)
    length = sum(np.sum((now - before[path]) ** 2) for path, now in weights_of(model).items())
    np.testing.assert_allclose(np.sqrt(length), 0.1, rtol=1e-5)


def test_optimizers_of_different_norms_are_refused():
    with pytest.raises(ValueError, match="global_clipnorm .* same for all"):
        keras_mtl.alternating_optimizer(
            keras.optimizers.SGD(0.1, global_clipnorm=1.0), keras.optimizers.Adam(),
            keras_mtl.PolicyPhases(warm_up=1),
        )  # fmt: skip


def test_phases_do_not_wait_for_accumulated_batches():
    with pytest.raises(ValueError, match="gradient_accumulation_steps"):
        keras_mtl.alternating_optimizer(
            keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), keras.optimizers.Adam(),
            keras_mtl.PolicyPhases(warm_up=1),
        )  # fmt: skip
