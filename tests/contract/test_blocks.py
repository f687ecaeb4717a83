"""Every code block of the contract runs as printed, given the arrays it names."""

import importlib.util
import pathlib
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from tests.contract import blocks

TASKS = ("upright", "upright_again", "rotated", "rotated_again")
DESIGN = pathlib.Path(__file__).parents[3] / "shared" / "design.md"
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the blocks run on the TensorFlow backend"
)


def arrays(num_examples, seed):
    rng = np.random.default_rng(seed)
    x = {name: rng.random((num_examples, 28, 28, 1), "float32") for name in TASKS}
    return x, {name: rng.integers(0, 10, num_examples) for name in TASKS}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Runs block A once; the other blocks go on from its names."""
    folder = tmp_path_factory.mktemp("script")
    x, y = arrays(16, 0)
    x_val, y_val = arrays(8, 1)
    names = {"x": x, "y": y, "x_val": x_val, "y_val": y_val}
    exec(blocks.SEPARATE, names)
    return names, folder


@on_tensorflow
def test_block_a_trains_and_reads_the_allocation(script):
    names, _ = script
    model = names["model"]
    logs = model.evaluate(names["validation"], return_dict=True, verbose=0)
    task_logs = {f"{task}_{log}" for task in TASKS for log in ("loss", "accuracy")}
    assert set(logs) == {"loss", "mean_loss", "budget_penalty", "mean_accuracy"} | task_logs
    assert [matrix.shape for matrix in keras_mtl.allocation(model)] == [(4, 4)] * 3
    assert set(np.unique(keras_mtl.task_embeddings(model))) <= {0.0, 1.0}
    assert keras_mtl.task_embeddings(model).shape == (4, 12)
    assert keras_mtl.task_similarity(model).shape == (4, 4)
    assert all(((p >= 0) & (p <= 1)).all() for p in keras_mtl.allocation_probabilities(model))
    assert "upright" in str(keras_mtl.sharing_report(model))


@on_tensorflow
@pytest.mark.skipif(not importlib.util.find_spec("tf2onnx"), reason="tf2onnx is not installed")
@pytest.mark.filterwarnings("ignore:The allocation is undecided")  # two epochs on noise
@pytest.mark.filterwarnings("ignore:Task '.*' has no component")
def test_block_d_freezes_exports_and_serves(script, monkeypatch):
    names, folder = script
    monkeypatch.chdir(folder)
    images = names["x"]["upright"]
    names = {**names, "x": images}
    exec(blocks.FREEZE, names)
    ids = np.zeros(len(images), "int32")
    expected = names["model"].predict({"inputs": images, "task_id": ids}, verbose=0)
    np.testing.assert_allclose(names["served"].predict("upright", images), expected, atol=1e-6)
    assert names["served"].tasks == list(TASKS)
    assert names["upright"].output.shape == (None, 10)
    assert sorted(file.name for file in folder.glob("digits_onnx/*.onnx")) == sorted(
        f"{task}.onnx" for task in TASKS
    )
    _assert_loads_without_keras_mtl(folder / "upright.keras")


def _assert_loads_without_keras_mtl(file):
    code = (
        "import sys; sys.modules['keras_mtl'] = None; import keras; "
        f"print(keras.models.load_model({str(file)!r}).output.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "(None, 10)" in done.stdout, done.stderr


@pytest.mark.slow
def test_block_c_builds_a_sluice_network_that_trains():
    names = {}
    exec(blocks.IMPORTS + blocks.SEQUENCES + blocks.SLUICE_WEIGHTS, names)
    sluice = names["sluice"]
    assert sluice.get_layer("stitch_1").alpha.shape == (4, 4)
    axes = keras_mtl.plots.plot_alpha(sluice)
    assert any("chunk" in label.get_text() for label in axes.get_yticklabels())
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 20_000, (4, 6))
    labels = {name: rng.integers(0, task.size, (4, 6)) for name, task in sluice.tasks.items()}
    sluice.compile(keras.optimizers.Adam(1e-3))
    logs = sluice.train_on_batch(tokens, labels, return_dict=True)
    assert np.isfinite(logs["loss"])


@pytest.mark.slow
def test_block_c_builds_a_recurrent_modular_network_that_trains():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 20_000, (4, 6))
    tokens[:, 5] = 0  # padding
    names = {"token_batch": tokens}
    exec(blocks.IMPORTS + blocks.SEQUENCES + blocks.ROUTING, names)
    modular = names["modular"]
    routing = keras_mtl.routing_over_time(modular, tokens)
    assert {task: shares.shape for task, shares in routing.items()} == {
        "chunk": (6, 2, 3),
        "pos": (6, 2, 3),
    }
    assert np.isnan(routing["chunk"][5]).all() and not np.isnan(routing["chunk"][:5]).any()
    labels = {name: rng.integers(0, task.size, (4, 6)) for name, task in modular.tasks.items()}
    modular.compile(keras.optimizers.Adam(1e-3))
    logs = modular.train_on_batch(tokens, labels, return_dict=True)
    assert np.isfinite(logs["loss"])


@on_tensorflow
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the tuner's Gaussian process complains of ten trials
@pytest.mark.skipif(not importlib.util.find_spec("keras_tuner"), reason="no keras-tuner")
def test_block_e_searches(script, monkeypatch):
    names, folder = script
    monkeypatch.chdir(folder)
    exec(blocks.SEARCH, names)
    trials = names["tuner"].oracle.get_best_trials(10)
    assert len(trials) == 10
    assert all(0 <= trial.score <= 1 for trial in trials)


@on_tensorflow
def test_block_f_grows(script):
    names, _ = script
    x_new = np.random.default_rng(2).random((16, 28, 28, 1), "float32")
    names = {**names, "x_new": x_new, "y_new": np.arange(16) + 10}
    exec(blocks.GROW, names)
    batches = eval(blocks.GROW_DATA, {**names, "task_batches": keras_mtl.task_batches})
    old, grown = names["model"], names["grown"]
    assert not getattr(grown, "compiled", False)
    frozen = {
        variable.path: variable.numpy().copy()
        for variable in grown.weights
        if not variable.trainable and not variable.path.endswith("updates")
    }
    grown.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), run_eagerly=True)
    grown.fit(batches, epochs=1, verbose=0)
    after = {variable.path: variable.numpy() for variable in grown.weights}
    assert all((after[path] == value).all() for path, value in frozen.items())
    for task_id in range(4):
        inputs = {"inputs": names["x"]["rotated"], "task_id": np.full(16, task_id, "int32")}
        np.testing.assert_allclose(grown(inputs)[:, :10], old(inputs), atol=1e-6)


@on_tensorflow
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Task 'long_view' .* 1 where")  # labels by lot
def test_block_g_reads_raw_columns(tmp_path):
    rng = np.random.default_rng(0)
    columns = {
        "user_id": [f"u{number}" for number in range(40)],
        "video_id": [f"v{number % 10}" for number in range(40)],
        "tab": ["home", "new"] * 20,
        "duration": rng.random(40),
        "tags": [["music", "live"][: number % 3] for number in range(40)],
    }
    click = rng.integers(0, 2, 40)
    labels = {"click": click, "long_view": click * rng.integers(0, 2, 40), "like": 1 - click}
    names = {"train_columns": columns, "labels": labels, "folder": str(tmp_path)}
    exec(blocks.IMPORTS + blocks.COLUMNS, names)
    served = keras_mtl.load_served(names["path"])
    request = {"user_id": ["u1"], "video_id": ["?"], "tab": [None], "duration": [0.5], "tags": [[]]}
    x = names["table"].encode(request)
    expected = names["model"].predict(x, verbose=0)
    for task in ("click", "long_view", "like"):
        np.testing.assert_allclose(served.predict(task, request), expected[task], atol=1e-6)
    joint = expected["click"] * expected["long_view_given_click"]
    np.testing.assert_allclose(expected["long_view"], joint, rtol=1e-5)


@pytest.mark.slow
def test_block_h_compares(tmp_path, capsys):
    rng = np.random.default_rng(0)
    names = {"folder": str(tmp_path), "dense": partial(keras.layers.Dense, 8, activation="relu")}
    for part, number in (("", 64), ("_val", 20), ("_test", 30)):
        x = rng.normal(size=(number, 12)).astype("float32")
        names[f"x{part}"] = x
        names[f"y{part}"] = {"income": x[:, 0] > 0, "age_group": rng.integers(0, 5, number)}
    exec(blocks.IMPORTS + blocks.COMPARE, names)
    methods = ("MMoE", "Gumbel-Matrix", "Single task", "Shared bottom", "No sharing")
    assert names["comparison"].methods == (*methods, "Fixed random")
    assert "| Gumbel-Matrix | 0." in capsys.readouterr().out
    before = str(names["comparison"])
    exec(blocks.IMPORTS + blocks.COMPARE, names)
    assert str(names["comparison"]) == before


@pytest.mark.skipif(not DESIGN.exists(), reason="the contract's own text is not here")
@pytest.mark.parametrize(
    "block",
    [
        "SEPARATE",
        "FREEZE",
        "SEARCH",
        "GROW",
        "SEQUENCES",
        "SLUICE_WEIGHTS",
        "ROUTING",
        "COMPARE",
        "COLUMNS",
    ],
)
def test_blocks_are_the_contract_to_the_letter(block):
    assert getattr(blocks, block) in DESIGN.read_text()


@pytest.mark.skipif(not DESIGN.exists(), reason="the contract's own text is not here")
def test_data_of_a_later_task_is_the_contract_to_the_letter():
    assert f"`{blocks.GROW_DATA.strip()}`" in DESIGN.read_text()
