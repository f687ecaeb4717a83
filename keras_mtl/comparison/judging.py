"""What a trained network is worth, and what it costs, once it is frozen for serving."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_mtl.comparison.data import Arrays, Batches
from keras_mtl.layers.flops import layer_flops
from keras_mtl.layers.timing import milliseconds
from keras_mtl.serving.freezing.freeze import frozen_network
from keras_mtl.serving.freezing.frozen_score import judged
from keras_mtl.training import MultiTaskModel

Scorers = Mapping[str, Callable[[Any, Any], float]]


def judge(
    model: MultiTaskModel, test: Arrays | Batches, scorers: Scorers | None, batch_size: int
) -> dict[str, Any]:
    """Returns the scores of a frozen network, its parameters, FLOPs and milliseconds a batch."""
    frozen = frozen_network(model)
    if scorers is None:
        scores = _own_metrics(model, frozen, test, batch_size)
    else:
        scores = {
            name: {word: float(score(y, answers)) for word, score in scorers.items()}
            for name, y, answers in test.answers(frozen, model.tasks, batch_size)
        }
    costs = [flops for _, flops in layer_flops(frozen, frozen.inputs, frozen.outputs)]
    return {
        "scores": scores,
        "parameters": frozen.count_params(),
        "flops": sum(flops or 0 for flops in costs),
        "milliseconds": milliseconds(frozen, test.batch(batch_size)),
    }


def _own_metrics(
    model: MultiTaskModel, frozen: keras.Model, test: Arrays | Batches, batch_size: int
) -> dict[str, dict[str, float]]:
    """Returns what the metrics of each task say of a frozen network."""
    logs = judged(model, frozen).evaluate(**test.for_fit(batch_size), return_dict=True, verbose=0)
    by_task: dict[str, dict[str, float]] = {name: {} for name in model.tasks}
    for log, value in logs.items():
        owners = [name for name in model.tasks if log.startswith(f"{name}_")]
        if owners and not log.endswith("_loss"):
            owner = max(owners, key=len)
            by_task[owner][log.removeprefix(f"{owner}_")] = float(value)
    silent = [name for name, values in by_task.items() if not values]
    if silent:
        raise ValueError(
            f"Nothing but the loss is logged of {', '.join(map(repr, silent))}, so there is no "
            "score. Give the tasks metrics, or scorers."
        )
    return by_task
