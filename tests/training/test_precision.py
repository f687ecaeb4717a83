"""Training in half precision and with XLA."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

FEATURES = 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, FEATURES)).astype("float32")
DATA = {"sign": (X, (X[:, 0] > 0) * 1), "sum": (X, (X.sum(axis=1) > 0) * 1 + (X[:, 1] > 0))}
TASKS = {"sign": "binary", "sum": 3}

dense = partial(keras.layers.Dense, 6, activation="relu")


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def separate_model(**compile_options):
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((FEATURES,)),
        TASKS,
        [[dense] * 2],
        task_data="separate",
        init_probability=0.9,
        budget=0.5,
        budget_weight=0.1,
        seed=1,
    )
    optimizer = keras_mtl.allocation_optimizer(
        keras.optimizers.Adam(0.05), 0.05, update_absent_tasks=False
    )
    model.compile(optimizer, **compile_options)
    return model


def shared_model(**compile_options):
    model = keras_mtl.build_gumbel_matrix(
        keras.Input((FEATURES,)), TASKS, [[dense] * 2], init_probability=0.9, budget=0.5, seed=1
    )
    model.compile(keras.optimizers.Adam(0.05), **compile_options)
    return model


def assert_learns(model, *data):
    losses = model.fit(*data, epochs=5, batch_size=None, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


def batches():
    return keras_mtl.task_batches(TASKS, DATA, batch_size=8, seed=0)


@pytest.mark.parametrize(
    "policy",
    [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"],
    indirect=True,
)
def test_half_precision_trains_separate_tasks(policy):
    model = separate_model()
    assert_learns(model, batches())
    assert model.get_layer("modular_1").compute_dtype == policy.removeprefix("mixed_")
    predictions = model.predict({"inputs": X, "task_id": np.ones(32, "int32")}, verbose=0)
    assert {kind: array.dtype for kind, array in predictions.items()} == {
        "binary": "float32",
        "classes": "float32",
    }
    np.testing.assert_allclose(predictions["classes"].sum(axis=-1), 1, atol=1e-6)
    assert {v.dtype for v in model.get_layer("allocation_1").weights} == {"float32", "int32"}


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
def test_half_precision_trains_shared_tasks(policy):
    model = shared_model()
    y = {name: labels.astype("float32") for name, (_, labels) in DATA.items()}
    y["sign"][::2] = np.nan
    assert_learns(model, X, y)
    predictions = model.predict(X, verbose=0)
    assert {name: array.dtype for name, array in predictions.items()} == {
        "sign": "float32",
        "sum": "float32",
    }
    assert model.get_layer("allocation_1").trainable_weights[0].dtype == "float32"
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles with Inductor")
def test_xla_trains_separate_tasks():
    assert_learns(separate_model(jit_compile=True), batches())


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles with Inductor")
@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_xla_trains_shared_tasks_in_half_precision(policy):
    y = {name: labels for name, (_, labels) in DATA.items()}
    assert_learns(shared_model(jit_compile=True), X, y)
