"""The training of one network of a comparison, to the epoch that its validation chooses."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras

from keras_mtl.comparison.data import Arrays, Batches
from keras_mtl.comparison.directions import lower_is_better
from keras_mtl.training import MultiTaskModel, allocation_optimizer

TASKS_LOSS = "val_tasks_loss"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How all networks of a comparison are trained.

    Attributes:
        epochs: Most epochs.
        batch_size: Of arrays.
        optimizer: Function of the model that returns an optimizer.
        callbacks: Function of the model that returns a list of callbacks.
        monitor: Name of a log that marks the best epoch, or `None` for the sum of the tasks'
            validation losses.
        patience: Epochs without a better one before training ends, or `None`.
    """

    epochs: int
    batch_size: int
    optimizer: Callable[[MultiTaskModel], Any]
    callbacks: Callable[[MultiTaskModel], list[Any]]
    monitor: str | None
    patience: int | None

    @property
    def objective(self) -> tuple[str, str]:
        """The log that marks the best epoch, and whether "max" or "min" is best."""
        log = self.monitor or TASKS_LOSS
        return log, "min" if lower_is_better(log) else "max"

    def early_stopping(self, names: list[str]) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that find the best epoch; `names` are tasks with labels."""
        log, mode = self.objective
        patience = self.epochs if self.patience is None else self.patience
        stop = keras.callbacks.EarlyStopping(
            log, mode=mode, patience=patience, restore_best_weights=True
        )
        return [TasksLoss(names), LogCheck(log), stop]


def adam(model: MultiTaskModel) -> keras.optimizers.Optimizer:
    """Returns Adam, which learns an allocation five times as fast as weights."""
    return allocation_optimizer(keras.optimizers.Adam(1e-3), 5e-3)


class TasksLoss(keras.callbacks.Callback):
    """Logs the sum of the tasks' validation losses, without penalties that some methods have."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None and "val_loss" in logs:
            weights = {name: task.weight for name, task in self.model.tasks.items()}
            losses = [weights[name] * logs.get(f"val_{name}_loss", 0.0) for name in self.names]
            known = any(f"val_{name}_loss" in logs for name in self.names)
            logs[TASKS_LOSS] = sum(losses) if known else logs["val_loss"]


class LogCheck(keras.callbacks.Callback):
    """Raises a `ValueError` where the logs have not what is to be watched."""

    def __init__(self, log: str) -> None:
        super().__init__()
        self.log = log

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.log not in (logs or {}):
            raise ValueError(
                f"monitor={self.log!r} is no log of these networks. Their logs: "
                f"{', '.join(name for name in logs or {} if name.startswith('val_'))}"
            )


def train(
    model: MultiTaskModel, train: Arrays | Batches, validation: Arrays | Batches, recipe: Recipe
) -> dict[str, Any]:
    """Trains a network, which has the weights of its best epoch then; returns facts."""
    if not model.compiled:
        model.compile(recipe.optimizer(model))
    stops = recipe.early_stopping(validation.labelled_tasks(model.tasks))
    start = time.perf_counter()
    history = model.fit(
        **train.for_fit(recipe.batch_size),
        **validation.for_validation(recipe.batch_size),
        epochs=recipe.epochs,
        callbacks=[*recipe.callbacks(model), *stops],
        verbose=0,
    )
    return {
        "epochs": len(history.epoch),
        "best_epoch": stops[-1].best_epoch + 1,
        "seconds": time.perf_counter() - start,
    }
