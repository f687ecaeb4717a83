import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import HalvingSchedule, MultiTaskModel, Task, task_batches
from keras_mtl.layers import GumbelRouter, TaskHead, TaskHeads, straight_through
from keras_mtl.layers.routers.gumbel import logistic_noise
from tests.gradients import gradient

LOGITS = np.array([-1.0, 0.0, 2.0], "float32")


def array(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, "float64")))


def draws_of(temperature, num_draws=4000, seed=3):
    router = GumbelRouter(temperature, seed=seed)
    return array(router(np.tile(LOGITS, (num_draws, 1)), training=True))


# Draws


@pytest.mark.parametrize("temperature", [0.1, 1.0, 50.0])
def test_a_decision_is_active_as_often_as_the_sigmoid_of_its_logit(temperature):
    frequency = draws_of(temperature, seed=int(10 * temperature)).mean(axis=0)
    probability = np.array([0.26894, 0.5, 0.88080])
    bound = 4 * np.sqrt(probability * (1 - probability) / 4000)
    assert np.all(np.abs(frequency - probability) < bound)


def test_equal_noise_gives_equal_draws_at_every_temperature():
    cold = draws_of(0.01)
    np.testing.assert_array_equal(cold, draws_of(1.0))
    np.testing.assert_array_equal(cold, draws_of(50.0))


def test_each_call_draws_anew():
    router = GumbelRouter(1.0, seed=0)
    logits = np.zeros((40, 3), "float32")
    first, second = router(logits, training=True), router(logits, training=True)
    assert np.any(array(first) != array(second))


def test_different_seeds_draw_differently():
    assert np.any(draws_of(1.0, seed=1) != draws_of(1.0, seed=2))


def test_noise_is_finite_when_the_uniform_draw_is_at_its_ends():
    noise = array(logistic_noise((200_000,), 7))
    assert np.all(np.isfinite(noise))
    assert np.abs(noise).max() < np.log(1e6) + 0.1


# Values


@pytest.mark.parametrize("temperature", [1e-3, 0.7, 50.0])
def test_values_are_exactly_0_or_1(temperature):
    logits = np.array([[-1e4, -3.3, -1e-7, 1e-7, 0.1, 1e4]] * 50, "float32")
    noise = logistic_noise(logits.shape, 1)
    values = array(straight_through(logits, temperature, noise))
    assert set(np.unique(values)) == {0.0, 1.0}


def test_without_noise_a_tie_is_active():
    assert array(straight_through(np.array([-1e-6, 0.0, 1e-6]))).tolist() == [0.0, 1.0, 1.0]


def test_inference_takes_the_most_likely_decision():
    router = GumbelRouter(50.0, seed=0)
    assert array(router(np.array([[-2.0, 0.0, 3.0]]))).tolist() == [[0.0, 1.0, 1.0]]


def test_stochastic_draws_in_inference_without_counting():
    router = GumbelRouter(1.0, stochastic=True, seed=0)
    draws = array(router(np.zeros((500, 2), "float32")))
    assert 0.3 < draws.mean() < 0.7
    assert int(router.updates.value) == 0


def test_an_untrainable_router_neither_draws_nor_counts():
    router = GumbelRouter(1.0, seed=0)
    router.trainable = False
    assert np.all(array(router(np.full((200, 2), 0.1, "float32"), training=True)) == 1.0)
    assert int(router.updates.value) == 0


def test_values_are_in_the_compute_dtype_and_decided_in_float32():
    router = GumbelRouter(1.0, dtype="mixed_bfloat16")
    logits = np.array([[-1e-3, 1e-3]], "float32")
    values = router(logits)
    assert keras.backend.standardize_dtype(values.dtype) == "bfloat16"
    assert array(values).tolist() == [[0.0, 1.0]]


# Gradients


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_gradient_is_that_of_the_sigmoid(seed, temperature):
    slope = np.array([[1.0, -2.0, 0.5, 3.0], [0.0, 4.0, -1.0, 2.0]], "float32")
    start = np.array([[0.0, 0.0, -1.5, 2.0], [0.3, 0.0, 6.0, -4.0]], "float32")
    logits = keras.Variable(start)
    noise = logistic_noise(start.shape, seed)

    def loss():
        return ops.sum(ops.multiply(slope, straight_through(logits, temperature, noise)))

    soft = sigmoid((start + array(noise)) / temperature)
    expected = slope * soft * (1 - soft) / temperature
    np.testing.assert_allclose(gradient(loss, logits), expected, rtol=1e-4, atol=1e-6)


def test_a_tie_without_noise_has_the_full_gradient():
    logits = keras.Variable(np.zeros(2, "float32"))
    found = gradient(lambda: ops.sum(straight_through(logits, 0.5)), logits)
    np.testing.assert_allclose(found, [0.5, 0.5], rtol=1e-6)  # 1/2 * 1/2 / 0.5


def test_the_gradient_reaches_logits_made_from_features():
    weight = keras.Variable(np.array([[2.0], [-1.0]], "float32"))
    router = GumbelRouter(1.0, seed=0)
    x = np.array([[1.0, 2.0], [0.0, 3.0], [-1.0, 1.0]], "float32")
    router.build((3, 1))
    found = gradient(lambda: ops.sum(router(ops.matmul(x, weight))), weight)
    soft = sigmoid(x @ [[2.0], [-1.0]])
    np.testing.assert_allclose(found, x.T @ (soft * (1 - soft)), rtol=1e-5)


def test_huge_logits_and_a_temperature_that_underflows_have_finite_gradients():
    logits = keras.Variable(np.array([-1e6, 0.0, 1e6], "float32"))
    router = GumbelRouter(keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.0), seed=0)
    router.build((3,))
    router.updates.assign(5)  # the schedule is 0 there
    assert np.all(np.isfinite(gradient(lambda: ops.sum(router(logits, training=True)), logits)))


# The counter and the temperature


def router_model(**arguments):
    inputs = keras.Input((3,))
    return keras.Model(inputs, GumbelRouter(name="router", **arguments)(inputs))


def test_the_counter_counts_training_calls_only():
    router = GumbelRouter(seed=0)
    logits = np.zeros((2, 3), "float32")
    for _ in range(3):
        router(logits, training=True)
    for _ in range(4):
        router(logits)
    assert int(router.updates.value) == 3


def test_the_counter_is_saved_and_goes_on_where_it_stopped(tmp_path):
    model = router_model(temperature=2.0)
    for _ in range(5):
        model(np.zeros((2, 3), "float32"), training=True)
    model.save(tmp_path / "router.keras")
    loaded = keras.models.load_model(tmp_path / "router.keras")
    assert int(loaded.get_layer("router").updates.value) == 5
    loaded(np.zeros((2, 3), "float32"), training=True)
    assert int(loaded.get_layer("router").updates.value) == 6


@pytest.mark.parametrize(("updates", "temperature"), [(0, 50.0), (99, 5.0), (20_000, 0.5)])
def test_the_default_temperature_follows_the_counter(updates, temperature):
    logits = keras.Variable(np.array([1.0], "float32"))
    router = GumbelRouter()
    router.build((1,))
    router.updates.assign(updates)
    soft = sigmoid(1.0 / temperature)
    found = gradient(lambda: ops.sum(router(logits)), logits)
    np.testing.assert_allclose(found, [soft * (1 - soft) / temperature], rtol=1e-5)


@pytest.mark.parametrize(("epochs", "temperature"), [(0, 100.0), (3, 12.5), (200, 0.1)])
def test_a_temperature_may_follow_the_epochs(epochs, temperature):
    logits = keras.Variable(np.array([0.25], "float32"))
    router = GumbelRouter(HalvingSchedule())
    router.build((1,))
    router.epochs.assign(epochs)
    soft = sigmoid(0.25 / temperature)
    found = gradient(lambda: ops.sum(router(logits)), logits)
    np.testing.assert_allclose(found, [soft * (1 - soft) / temperature], rtol=1e-5)


def test_batches_do_not_count_as_epochs():
    router = GumbelRouter(HalvingSchedule(), seed=0)
    for _ in range(3):
        router(np.zeros((2, 3), "float32"), training=True)
    assert int(router.epochs.value) == 0
    assert [variable.name for variable in router.weights] == ["epochs"]


def epoch_model(**compile_options):
    """Builds a model for two classes whose router cools with the epochs."""
    inputs = keras.Input((3,), name="inputs")
    decisions = GumbelRouter(HalvingSchedule(), seed=0, name="router")(inputs)
    head = TaskHead(Task("classes", 2), 0, name="kind")
    model = MultiTaskModel(inputs, {"kind": head(decisions)})
    model.compile("sgd", **compile_options)
    return model


class SeenEpochs(keras.callbacks.Callback):
    """Writes down the router's count as every epoch begins."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(int(self.model.get_layer("router").epochs.value))


FEATURES, KINDS = np.zeros((4, 3), "float32"), {"kind": np.array([0, 1, 1, 0])}


@pytest.mark.slow
def test_fit_counts_the_epochs_from_the_first_that_it_is_told():
    model, follow = epoch_model(), SeenEpochs()
    settings = {"batch_size": 2, "callbacks": [follow], "verbose": 0}
    model.fit(FEATURES, KINDS, epochs=3, validation_data=(FEATURES, KINDS), **settings)
    assert follow.seen == [0, 1, 2]
    model.fit(FEATURES, KINDS, initial_epoch=7, epochs=9, **settings)
    assert follow.seen == [7, 8]
    model.evaluate(FEATURES, KINDS, verbose=0)
    model.predict(FEATURES, verbose=0)
    assert int(model.get_layer("router").epochs.value) == 9


@pytest.mark.slow
def test_a_second_fit_counts_on():
    model, follow = epoch_model(), SeenEpochs()
    settings = {"callbacks": [follow], "verbose": 0}
    seen = []
    for epochs in ({"epochs": 2}, {"epochs": 2}, {"initial_epoch": 1, "epochs": 2}):
        model.fit(FEATURES, KINDS, **epochs, **settings)
        seen.append(follow.seen)
    assert seen == [[0, 1], [2, 3], [4]]


@pytest.mark.slow
@pytest.mark.parametrize("backup", [keras.callbacks.BackupAndRestore, keras_mtl.AtomicBackup])
def test_a_second_fit_that_is_resumed_counts_on_too(backup, tmp_path):
    follow = SeenEpochs()

    def second_fit(epochs):
        model = epoch_model()
        model.fit(FEATURES, KINDS, epochs=3, verbose=0)
        backups = [backup(tmp_path / "backup", delete_checkpoint=False), follow]
        model.fit(FEATURES, KINDS, epochs=epochs, callbacks=backups, verbose=0)

    second_fit(2)
    assert follow.seen == [3, 4]
    second_fit(3)
    assert follow.seen == [5]


@pytest.mark.slow
def test_the_epochs_are_saved_and_go_on_where_they_stopped(tmp_path):
    model, follow = epoch_model(), SeenEpochs()
    model.fit(FEATURES, KINDS, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.get_layer("router").epochs.value) == 3
    loaded.fit(FEATURES, KINDS, initial_epoch=3, epochs=4, callbacks=[follow], verbose=0)
    assert follow.seen == [3]
    loaded.fit(FEATURES, KINDS, epochs=1, callbacks=[follow], verbose=0)
    assert follow.seen == [4]


def test_task_batches_tell_the_epoch_too():
    task_id = keras.Input((), dtype="int32", name="task_id")
    inputs = {"inputs": keras.Input((3,), name="inputs"), "task_id": task_id}
    decisions = GumbelRouter(HalvingSchedule(), seed=0, name="router")(inputs["inputs"])
    tasks = {"kind": Task("classes", 2), "form": Task("classes", 5)}
    heads = TaskHeads(tasks, name="heads")
    model, follow = MultiTaskModel(inputs, heads(decisions, task_id)), SeenEpochs()
    model.compile("sgd")
    data = {task: (FEATURES, KINDS["kind"]) for task in tasks}
    batches = task_batches(tasks, data, batch_size=2, seed=0)
    model.fit(batches, initial_epoch=4, epochs=6, callbacks=[follow], verbose=0)
    assert follow.seen == [4, 5] and batches.epoch == 5


def test_a_schedule_survives_the_config_round_trip():
    schedule = keras.optimizers.schedules.ExponentialDecay(8.0, 10, 0.5)
    router = GumbelRouter(schedule, stochastic=True, seed=4)
    copy = GumbelRouter.from_config(router.get_config())
    assert float(copy.temperature(10)) == 4.0
    assert copy.stochastic and copy.seed == 4


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "cold"])
def test_a_temperature_not_above_0_is_an_error(temperature):
    with pytest.raises(ValueError, match="temperature must be a number above 0 or a schedule"):
        GumbelRouter(temperature)
