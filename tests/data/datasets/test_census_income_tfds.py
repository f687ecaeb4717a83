"""Census-Income prepared by TensorFlow Datasets is what the loader returns."""

import importlib.util

import numpy as np
import pytest

from keras_mtl.data import load_census_income
from keras_mtl.data.datasets.census_income import COLUMNS, QUANTITIES

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("tensorflow_datasets"), reason="no tensorflow-datasets"
)


@pytest.fixture
def folder(tmp_path):
    person = dict.fromkeys(COLUMNS, "Not in universe") | dict.fromkeys(QUANTITIES, "0")
    person |= {"education": "Children", "marital stat": "Divorced", "income": "- 50000."}
    for name, count in (("data", 20), ("test", 3)):
        people = [
            person
            | {
                "age": str(age),
                "race": "OW"[age % 2],
                "income": ("- 50000.", "50000+.")[age % 3 == 0],
            }
            for age in range(20, 20 + count)
        ]
        text = "".join(", ".join(answers.values()) + "\n" for answers in people)
        (tmp_path / f"census-income.{name}").write_text(text)
    return tmp_path


def prepared(folder, **options):
    import tensorflow_datasets as tfds

    import keras_mtl.data.census_income_tfds  # noqa: F401, makes the name known

    files = tfds.download.DownloadConfig(manual_dir=folder)
    return tfds.load(
        "census_income",
        data_dir=folder / "prepared",
        download_and_prepare_kwargs={"download_config": files},
        **options,
    )


def test_splits_are_the_parts_of_the_loader(folder):
    splits, info = prepared(folder, with_info=True)
    assert list(splits) == ["train", "validation", "test"]
    for part, split in zip(load_census_income(folder), splits.values(), strict=True):
        examples = sorted(split.as_numpy_iterator(), key=lambda example: example["x"][0])
        np.testing.assert_array_equal(np.stack([example["x"] for example in examples]), part.x)
        assert set(examples[0]["y"]) == set(part.y)
        for task, label in part.y.items():  # ages rise in the files
            assert [example["y"][task] for example in examples] == label.tolist()
    assert [len(split) for split in splits.values()] == [18, 2, 3]


def test_names_of_inputs_are_kept_with_the_dataset(folder):
    prepared(folder)
    _, info = prepared(folder, with_info=True)  # read back
    assert info.metadata["columns"] == load_census_income(folder)[0].columns


def test_supervised_examples_are_pairs_for_fit(folder):
    train = prepared(folder, split="train", as_supervised=True)
    x, y = next(train.batch(18).as_numpy_iterator())
    assert x.shape == (18, 39) and x.dtype == np.float32
    assert {task: label.dtype for task, label in y.items()} == dict.fromkeys(
        ("income", "never_married", "college"), np.float32
    )
