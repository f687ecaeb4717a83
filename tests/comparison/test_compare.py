"""Methods are compared on the same data with the same seeds; what is finished is not run again."""

import json
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.comparison import runs
from keras_mtl.comparison.directions import lower_is_better
from keras_mtl.comparison.records import Records
from keras_mtl.training import MultiTaskModel

dense = partial(keras.layers.Dense, 4, activation="tanh")
TASKS = {"income": "binary", "height": "regression"}
GIVEN = {  # so that a network for each task is all that is added
    "MMoE": keras_mtl.build_mmoe,
    "bottom": keras_mtl.build_shared_bottom,
    "apart": keras_mtl.build_no_sharing,
    "random": keras_mtl.build_fixed_random,
}
BASELINES = ("Single task", "Shared bottom", "No sharing", "Fixed random")


def part(seed, number=24):
    """Returns inputs, and labels of two tasks of which some are missing."""
    x = np.random.default_rng(seed).normal(size=(number, 3)).astype("float32")
    income = np.where(np.arange(number) % 5, x[:, 0] > 0, np.nan)
    return x, {"income": income, "height": x[:, 1] - x[:, 2]}


TRAIN, VALIDATION, TEST = part(0), part(1, 11), part(2, 13)


def compared(folder, methods=None, **options):
    given = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "seeds": 2, "epochs": 2}
    given |= {"batch_size": 8, "verbose": 0, "folder": folder} | options
    methods = methods or {"MMoE": keras_mtl.build_mmoe}
    inputs, layers = keras.Input((3,)), [[dense] * 2]
    return keras_mtl.compare(methods, inputs, TASKS, layers, **given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def comparison(folder):
    return compared(folder)


def test_baselines_are_added(comparison):
    assert comparison.methods == ("MMoE", *BASELINES)
    assert comparison.not_built == {}
    assert comparison.metrics == {"income": "accuracy", "height": "mae"}


def test_scores_are_those_of_frozen_networks(comparison, tmp_path):
    """What compare says of a method is what a user's own script sees."""
    keras.utils.set_random_seed(1)
    model = keras_mtl.build_mmoe(keras.Input((3,)), TASKS, [[dense] * 2], seed=1)
    model.compile(keras_mtl.allocation_optimizer(keras.optimizers.Adam(1e-3), 5e-3))
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", "val_loss", save_best_only=True, save_weights_only=True
    )
    x, y = TRAIN
    model.fit(x, y, epochs=2, batch_size=8, validation_data=VALIDATION, callbacks=[best], verbose=0)
    model.load_weights(tmp_path / "best.weights.h5")
    frozen = keras_mtl.freeze(model)
    x, y = TEST
    known = ~np.isnan(y["income"])
    answers = {task: np.asarray(answer)[:, 0] for task, answer in frozen.predict(x).items()}
    accuracy = np.mean((answers["income"] > 0.5)[known] == y["income"][known])
    error = np.mean(np.abs(answers["height"] - y["height"]))
    assert comparison.scores("MMoE", "income")[1] == pytest.approx(accuracy)
    assert comparison.scores("MMoE", "height")[1] == pytest.approx(error, rel=1e-5)
    assert comparison.costs("MMoE", "parameters") == frozen.count_params()


def test_single_task_is_a_network_of_all_components_for_each_task(comparison):
    x, y = TRAIN
    keras.utils.set_random_seed(0)
    alone = {"height": "regression"}
    model = keras_mtl.build_shared_bottom(keras.Input((3,)), alone, [[dense] * 2], seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    validation = (VALIDATION[0], {"height": VALIDATION[1]["height"]})
    fit = partial(model.fit, x, {"height": y["height"]}, batch_size=8, verbose=0)
    history = fit(epochs=2, validation_data=validation).history
    assert np.argmin(history["val_loss"]) == 1  # so that the last is the best
    logs = model.evaluate(TEST[0], {"height": TEST[1]["height"]}, verbose=0, return_dict=True)
    found = comparison.scores("Single task", "height")[0]
    assert found == pytest.approx(logs["height_mae"], rel=1e-5)
    both = 2 * (2 * (3 * 4 + 4) + 4 + 1)
    assert comparison.costs("Single task", "parameters") == both
    assert comparison.costs("Single task", "flops") == 2 * 2 * (2 * 3 * 4 + 4)


def test_no_sharing_deals_components_out(comparison):
    assert comparison.costs("No sharing", "flops") == 2 * (2 * 3 * 4 + 2 * 4)


def test_what_is_finished_is_not_run_again(comparison, folder, monkeypatch):
    monkeypatch.setattr(runs.Experiment, "run", lambda *_: pytest.fail("ran again"))
    again = compared(folder)
    assert str(again) == str(comparison)


@pytest.mark.slow
def test_a_stopped_comparison_goes_on(comparison, tmp_path, monkeypatch):
    run, left = runs.Experiment.run, iter(range(2))

    def stops(*args):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(runs.Experiment, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path, GIVEN, baselines=False)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(runs.Experiment, "run", run)
    found = compared(tmp_path, seeds=1)
    for method in found.methods:
        for task in TASKS:
            expected = comparison.scores(method, task)[:1]
            assert found.scores(method, task) == pytest.approx(expected, rel=1e-5)


def test_seeds_and_methods_are_added_to_what_is_there(comparison, folder, monkeypatch):
    run, ran = runs.Experiment.run, []

    def noted(self, method, given, seed, folder):
        ran.append((method.name, seed))
        return run(self, method, given, seed, folder)

    monkeypatch.setattr(runs.Experiment, "run", noted)
    compared(folder, {"moe": keras_mtl.build_moe}, seeds=[1], baselines=False)
    assert ran == [("moe", 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 3}, r"another comparison.*epochs \(2 there, 3 now\)"),
        ({"train": part(5)}, "another comparison.*train .*check sum"),
        ({"methods": {"MMoE": partial(keras_mtl.build_mmoe, tower_units=(2,))}}, "network"),
    ],
)
def test_runs_of_another_comparison_are_not_mixed_in(comparison, folder, options, message):
    with pytest.raises(ValueError, match=message):
        compared(folder, **options)


def test_a_damaged_record_is_named(tmp_path):
    records = Records(tmp_path)
    records.keep({"method": "MMoE", "seed": 3, "experiment": {}})
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:20])
    with pytest.raises(ValueError, match=f"{file.name} is damaged.*Delete it.*'MMoE' with seed 3"):
        records.found("MMoE", 3, {})


def test_records_say_what_was_run(comparison, folder):
    files = sorted(folder.glob("single_task_*.json"))
    record = json.loads(files[0].read_text())
    assert record["seed"] == 0 and record["method"] == "Single task"
    assert {task: own["epochs"] for task, own in record["training"].items()} == dict.fromkeys(
        TASKS, 2
    )
    assert record["experiment"]["backend"] == keras.backend.backend()
    assert record["versions"]["keras"] == keras.__version__
    assert record["seconds"] > 0 and record["milliseconds"] > 0


def test_scorers_see_what_is_labelled(tmp_path):
    seen = {}

    def share_right(y, answers):
        seen[y.tobytes()] = (y.shape, answers.shape)
        return np.mean((answers > 0.5) == (y > 0.5))

    found = compared(tmp_path, seeds=1, epochs=1, baselines=False, scorers={"right": share_right})
    assert found.metrics == {"income": "right", "height": "right"}
    num_known = np.count_nonzero(~np.isnan(TEST[1]["income"]))
    assert sorted(seen.values()) == [((num_known,),) * 2, ((13,),) * 2]


def test_a_task_needs_a_score(tmp_path):
    tasks = {"income": "binary", "height": keras_mtl.Task("regression", metrics=[])}
    with pytest.raises(ValueError, match="Nothing but the loss is logged of 'height'.*scorers"):
        keras_mtl.compare(
            {"MMoE": keras_mtl.build_mmoe}, keras.Input((3,)), tasks, [[dense] * 2], train=TRAIN,
            validation=VALIDATION, test=TEST, folder=tmp_path, epochs=1, baselines=False,
        )  # fmt: skip


@pytest.mark.slow
def test_findings_are_kept_and_given_baselines_not_added(tmp_path):
    found = compared(
        tmp_path, GIVEN, seeds=1, epochs=1, findings=lambda model: {"weights": model.count_params()}
    )
    (mmoe,), (single,) = found.runs["MMoE"], found.runs["Single task"]
    assert mmoe["findings"]["weights"] > 0
    assert set(single["findings"]) == set(TASKS)
    assert found.methods == (*GIVEN, "Single task")


def test_the_best_epoch_is_that_of_the_tasks_losses(tmp_path):
    """A penalty that grows does not choose the epoch."""

    def penalized(*args, **common):
        growing = keras_mtl.RampSchedule(1e3, 9)
        return keras_mtl.build_gumbel_matrix(*args, **common, budget=0.01, budget_weight=growing)

    found = compared(
        tmp_path, {"penalized": penalized}, seeds=1, epochs=3, baselines=False,
        optimizer=lambda _: keras_mtl.allocation_optimizer(keras.optimizers.SGD(0.05), 1e-6),
    )  # fmt: skip
    assert found.runs["penalized"][0]["training"]["all tasks"]["best_epoch"] == 3


def test_training_ends_without_a_better_epoch(tmp_path):
    found = compared(
        tmp_path, seeds=1, epochs=6, patience=1, baselines=False,
        optimizer=lambda model: keras.optimizers.SGD(50.0),
    )  # fmt: skip
    run = found.runs["MMoE"][0]["training"]["all tasks"]
    assert run["epochs"] == run["best_epoch"] + 1 < 6


@pytest.mark.parametrize(
    ("log", "less"),
    [("val_loss", True), ("val_income_loss", True), ("mae", True), ("val_mean_mae", True)]
    + [("mean_squared_error", True), ("val_mean_accuracy", False), ("lossless", False)],
)
def test_names_say_which_way_is_better(log, less):
    assert lower_is_better(log) == less


def test_a_monitored_loss_is_best_where_it_is_least(tmp_path):
    found = compared(
        tmp_path, seeds=1, epochs=3, monitor="val_height_loss", baselines=False,
        optimizer=lambda model: keras.optimizers.SGD(0.05),
    )  # fmt: skip
    assert found.runs["MMoE"][0]["training"]["all tasks"]["best_epoch"] > 1


@pytest.mark.slow
def test_every_network_has_as_many_trials(tmp_path):
    """The best of its trials is trained; they are not run again with the next seed."""
    methods = {
        "apart": keras_mtl.build_no_sharing,
        "random": keras_mtl.build_fixed_random,
        "own": lambda *args, **common: keras_mtl.build_shared_bottom(*args, **common),
    }
    found = compared(tmp_path, methods, seeds=2, epochs=1, trials=2, baselines=False)
    for method in methods:
        (folder,) = (tmp_path / "search").glob(f"{method}_*/all_tasks")
        assert len(list(folder.glob("trial_*"))) == 2
        settings = [run["settings"]["all tasks"] for run in found.runs[method]]
        assert settings[0] == settings[1]
        assert 1e-4 <= settings[0]["learning_rate"] <= 1e-2
    assert found.runs["random"][0]["settings"]["all tasks"]["components_per_task"] in (1, 2)


def test_a_compiled_network_stays_compiled_so(tmp_path):
    rates = []

    def weighted(*args, **common):
        model = keras_mtl.build_shared_bottom(*args, **common)
        model.compile(keras.optimizers.SGD(0.5), balancing=keras_mtl.UncertaintyWeighting())
        return model

    def note(model):
        rates.append(float(model.optimizer.learning_rate))
        return {}

    compared(tmp_path, {"w": weighted}, seeds=1, epochs=1, baselines=False, findings=note)
    assert rates == [0.5]


@pytest.mark.slow
def test_a_baseline_that_cannot_be_built_is_a_row_with_its_reason(tmp_path):
    found = keras_mtl.compare(
        {"MMoE": keras_mtl.build_mmoe}, keras.Input((3,)), TASKS, [[dense]], train=TRAIN,
        validation=VALIDATION, test=TEST, folder=tmp_path, seeds=1, epochs=1, verbose=0,
    )  # fmt: skip
    assert "No sharing" in found.not_built and "No sharing" not in found.methods
    assert "| No sharing | - |" in str(found) and "No sharing was not built:" in str(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": [keras_mtl.build_mmoe]}, "methods must be a dict"),
        ({"methods": {"Single task": keras_mtl.build_mmoe}}, "name of its own"),
        ({"methods": {"MMoE": "mmoe"}}, "'MMoE' must be a builder"),
        ({"methods": {"x": lambda *_, **__: keras.Sequential()}}, "'x' must return a network"),
        ({"train": TRAIN[0]}, r"train must be \(x, y\)"),
        ({"test": (TEST[0], TEST[1]["income"])}, "test must be .* y a dict"),
        ({"test": (TEST[0], {"income": TEST[1]["income"]})}, "of all tasks.* those of income"),
        ({"task_data": "separate"}, "train must be what keras_mtl.task_batches returns"),
        ({"trials": 2, "optimizer": lambda model: "sgd"}, "Leave one of the two out"),
        ({"seeds": 0}, "seeds must be an integer of at least 1"),
        ({"monitor": "val_auc"}, "monitor='val_auc' is no log of these networks.*val_income_acc"),
        ({"folder": ""}, "folder must be the path"),
    ],
)
def test_wrong_arguments(tmp_path, options, message):
    given = {"folder": tmp_path, "seeds": 1, "epochs": 1} | options
    with pytest.raises(ValueError, match=message):
        compared(**given)
    assert not list(tmp_path.iterdir())


def test_networks_are_those_of_the_package(comparison):
    with pytest.raises(ValueError, match="There are no runs of 'x'.*Methods: MMoE"):
        comparison.negative_transfer("x")
    assert issubclass(MultiTaskModel, keras.Model)
