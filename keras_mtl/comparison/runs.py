"""One run of a comparison: a method's networks made, trained and judged; what tells runs apart."""

import dataclasses
import functools
import json
import pathlib
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl.comparison.data import Arrays, Batches
from keras_mtl.comparison.judging import Scorers, judge
from keras_mtl.comparison.methods import Given, Method
from keras_mtl.comparison.search import searched
from keras_mtl.comparison.training import Recipe, train
from keras_mtl.tuning.settings import taken_apart


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What all runs have in common: data by part, training, judges."""

    data: dict[str, Arrays | Batches]
    recipe: Recipe
    scorers: Scorers | None
    findings: Callable[[Any], Mapping[str, Any]] | None
    trials: int

    def facts(self) -> dict[str, str]:
        """Returns what a run of it must have been made with."""
        told = dataclasses.asdict(self.recipe)
        del told["optimizer"], told["callbacks"]  # functions, which cannot be told apart
        return {
            **{name: part.fingerprint() for name, part in self.data.items()},
            **{name: str(value) for name, value in told.items()},
            "trials": str(self.trials),
            "scorers": ", ".join(self.scorers or ()) or "metrics of the tasks",
            "backend": keras.backend.backend(),
        }

    def run(
        self, method: Method, given: Given, seed: int, search_folder: pathlib.Path
    ) -> dict[str, Any]:
        """Returns what is to be known of a method's networks; their costs are added up."""
        versions = {"keras": keras.__version__, "numpy": np.__version__}
        total: dict[str, Any] = {"versions": versions, "scores": {}, "findings": {}}
        for task, own in method.parts(given):
            data = self.data
            if task is not None:
                data = {name: part.of_task(task) for name, part in data.items()}
            recipe, arguments = self.recipe, dict[str, Any]()
            if self.trials:
                folder = search_folder / (task or "all_tasks")
                settings = searched(method, own, data, recipe, self.trials, folder)
                layers, arguments, optimizer = taken_apart(settings, own.layers)
                own = dataclasses.replace(own, layers=layers)
                recipe = dataclasses.replace(recipe, optimizer=functools.partial(_given, optimizer))
                total.setdefault("settings", {})[task or "all tasks"] = settings
            keras.utils.set_random_seed(seed)
            model = method.network(own, seed, **arguments)
            if self.trials and model.compiled:
                raise ValueError(
                    f"{method.name!r} compiles its network itself, so that trials cannot search "
                    "a learning rate for it. Leave trials out, or the compiling."
                )
            training = train(model, data["train"], data["validation"], recipe)
            result = judge(model, data["test"], self.scorers, self.recipe.batch_size)
            total["scores"] |= result.pop("scores")
            found = dict(self.findings(model)) if self.findings else {}
            total["findings"] |= found if task is None else {task: found} if found else {}
            epochs = {name: training.pop(name) for name in ("epochs", "best_epoch")}
            total.setdefault("training", {})[task or "all tasks"] = epochs
            for name, number in (training | result).items():
                total[name] = total.get(name, 0) + number
        return total


def _given(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> Any:
    return optimizer


def described(method: Method, given: Given) -> str:
    """Returns a check sum of a method's networks: their layers, arguments and tasks.

    Names that Keras numbers through a process are left out.
    """
    configs = [method.network(own, seed=0).get_config() for _, own in method.parts(given)]
    text = json.dumps(configs, sort_keys=True, default=repr)
    text = re.sub(r"_\d+\b| at 0x\w+", "", text)
    return f"{zlib.crc32(text.encode()):08x}"
