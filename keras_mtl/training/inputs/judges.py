"""Keras's own losses and metrics, and the kinds of tasks that each fits.

One that reads labels or answers in another form than a task has them seldom fails: it computes
another number, of which nobody can tell that it is wrong. What users write themselves is theirs.
"""

import re
from typing import Any

import keras

from keras_mtl.kinds import KINDS
from keras_mtl.kinds.keras_names import LOGITS, VECTORS, keras_class, plain
from keras_mtl.training.normalized_entropy import NormalizedEntropy


def check_fit(name: str, task: Any) -> None:
    """Raises a `ValueError` when the loss or a metric of a `Task` cannot be right for its kind."""
    if task.loss is not None:
        _check(name, task, "loss", keras.losses.get(task.loss))
    for metric in task.metrics or []:
        if not isinstance(metric, str) or metric not in KINDS[task.kind].metrics:
            _check(name, task, "metric", keras.metrics.get(metric))


def _check(name: str, task: Any, role: Any, judge: Any) -> None:
    made = NormalizedEntropy if isinstance(judge, NormalizedEntropy) else keras_class(judge)
    if made is None:
        return
    word = plain(made.__name__)
    alone = VECTORS if task.size == 1 else ()
    kind = KINDS[task.kind]
    fitting = {plain(fit): fit for fit in kind.fitting if fit not in alone}
    if word in fitting:
        use = _setting(task, word, judge.get_config() if hasattr(judge, "get_config") else {})
    else:
        use = next((fit for fit in fitting.values() if _family(fit) == _family(word)), None)
        use = f'"{use or kind.first_choice[role]}"'
    if use:
        raise ValueError(
            f"The {role} {made.__name__} does not fit task {name!r}: a task of kind {task.kind!r} "
            f"{kind.form}. Use {use}, or a function of your own."
        )


def _setting(task: Any, word: str, config: dict[str, Any]) -> Any:
    """Returns with which setting something of a fitting kind would be right, if not as it is."""
    logits = KINDS[task.kind].reads_logits
    asked = word in map(plain, LOGITS) or "from_logits" in config
    if asked and config.get("from_logits", False) != logits:
        return f"from_logits={logits}"
    if word in ("iou", "meaniou") and (config["sparse_y_pred"] or not config["sparse_y_true"]):
        return 'sparse_y_true=True, sparse_y_pred=False, dtype="float32"'
    if word.endswith("iou") and "float" not in str(config["dtype"]):
        return 'dtype="float32"'  # without it, weights are cut to whole numbers
    if word in ("f1score", "fbetascore"):
        takes_largest = task.size == 1 and config["threshold"] is None  # of one: always a yes
        use = 'average="macro"' if task.has_classes else 'average="macro", threshold=0.5'
        return use if takes_largest or not config["average"] else None
    return None


def _family(name: str) -> Any:
    return re.sub("sparse|categorical|binary|onehot", "", plain(name))
