"""Census-Income (KDD) for TensorFlow Datasets. Importing this file needs the extra `data`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_mtl.data.datasets.census_income import TASKS, load_census_income


class CensusIncome(tfds.core.GeneratorBasedBuilder):
    """Prepares what `load_census_income` returns, by TensorFlow Datasets.

    The splits are `train`, `validation` (a tenth of the train file) and `test`. An example has
    `x`, the inputs, and `y`, a dict, task -> 0 or 1; `as_supervised=True` gives the pair. The
    names of the inputs are `builder.info.metadata["columns"]`. Nothing is downloaded: give the
    folder of the files as `manual_dir`. Import this module to make the name `census_income`
    known to `tfds.load`.

    Source: as for `load_census_income`.

    Raises:
        ValueError: As for `load_census_income`, when the dataset is prepared.

    Example:

    ```python
    import keras_mtl.data.census_income_tfds

    files = tfds.download.DownloadConfig(manual_dir="census_income")
    train = tfds.load(
        "census_income",
        split="train",
        as_supervised=True,
        download_and_prepare_kwargs={"download_config": files},
    )
    ```
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Three tasks, inputs one-hot and standardized."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put census-income.data.gz and census-income.test.gz of "
        "https://archive.ics.uci.edu/dataset/117/census+income+kdd in manual_dir."
    )

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "x": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                    "y": dict.fromkeys(TASKS, np.float32),
                }
            ),
            supervised_keys=("x", "y"),
            homepage="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[Any, Any]:
        parts = load_census_income(dl_manager.manual_dir)
        self.info.metadata["columns"] = parts[0].columns
        return {
            split: self._generate_examples(part)
            for split, part in zip(("train", "validation", "test"), parts, strict=True)
        }

    def _generate_examples(self, part: Any) -> Iterator[Any]:
        for row, x in enumerate(part.x):
            yield row, {"x": x, "y": {task: label[row] for task, label in part.y.items()}}
