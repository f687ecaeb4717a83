"""Which of Keras's own losses and metrics fit which kind of task.

One that reads labels or answers in another form than a task has them seldom fails: it computes
another number, of which nobody can tell that it is wrong. What users write themselves is theirs.
"""

import inspect
import re

import keras

from keras_mtl.keras_internals import function_of

_KERAS = (keras.losses, keras.metrics)
_CLASSES = (
    "sparse_categorical_crossentropy",
    "categorical_generalized_cross_entropy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "iou",
    "mean_iou",
)
_NUMBERS = (
    "mean_squared_error",
    "mean_absolute_error",
    "root_mean_squared_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "log_cosh_error",
    "poisson",
    "hinge",
    "squared_hinge",
    "r2_score",
)
_YES_OR_NO = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "binary_accuracy",
    "auc",
    "precision",
    "recall",
    "true_positives",
    "true_negatives",
    "false_positives",
    "false_negatives",
    "precision_at_recall",
    "recall_at_precision",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "f1_score",
    "fbeta_score",
    *_NUMBERS,
)
_LOGITS = (  # a regression task's answers may be read as logits
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "auc",
)
_VECTORS = (  # say nothing about a single value
    "cosine_similarity",
    "categorical_hinge",
    "pearson_correlation",
    "concordance_correlation",
)
_FITTING = {
    "classes": _CLASSES,
    "tagging": _CLASSES,
    "binary": ("binary_iou", *_YES_OR_NO),
    "multilabel": ("cosine_similarity", "dice", "tversky", *_YES_OR_NO),
    "regression": ("mean_absolute_percentage_error", *_VECTORS, *_NUMBERS, *_LOGITS),
}
_FIRST_CHOICE = {
    "classes": {"loss": "sparse_categorical_crossentropy", "metric": "accuracy"},
    "tagging": {"loss": "sparse_categorical_crossentropy", "metric": "accuracy"},
    "binary": {"loss": "binary_crossentropy", "metric": "accuracy"},
    "multilabel": {"loss": "binary_crossentropy", "metric": "accuracy"},
    "regression": {"loss": "mean_squared_error", "metric": "mae"},
}
_FORMS = {
    "classes": "has class indices as labels, and answers with a probability for each class",
    "tagging": "has class indices as labels, and answers with a probability for each class",
    "binary": "has labels 0 and 1, and answers with one probability",
    "multilabel": "has labels 0 and 1, and answers with a probability for each",
    "regression": "has numbers as labels, and answers with numbers",
}


def check_fit(name, task):
    """Raises a `ValueError` when the loss or a metric of a `Task` cannot be right for its kind."""
    if task.loss is not None:
        _check(name, task, "loss", keras.losses.get(task.loss))
    for metric in task.metrics or []:
        if metric != "accuracy" or task.kind == "regression":
            _check(name, task, "metric", keras.metrics.get(metric))


def _check(name, task, role, judge):
    if type(judge) is keras.metrics.MeanMetricWrapper:
        judge = function_of(judge)
    made = judge if inspect.isfunction(judge) else type(judge)
    if made not in (getattr(module, made.__name__, None) for module in _KERAS):
        return
    word = _word(made.__name__)
    alone = _VECTORS if task.size == 1 else ()
    fitting = {_word(fit): fit for fit in _FITTING[task.kind] if fit not in alone}
    if word in fitting:
        use = _setting(task, word, judge.get_config() if hasattr(judge, "get_config") else {})
    else:
        use = next((fit for fit in fitting.values() if _family(fit) == _family(word)), None)
        use = f'"{use or _FIRST_CHOICE[task.kind][role]}"'
    if use:
        raise ValueError(
            f"The {role} {made.__name__} does not fit task {name!r}: a task of kind {task.kind!r} "
            f"{_FORMS[task.kind]}. Use {use}, or a function of your own."
        )


def _setting(task, word, config):
    """Returns with which setting something of a fitting kind would be right, if not as it is."""
    logits = task.kind == "regression"
    asked = word in map(_word, _LOGITS) or "from_logits" in config
    if asked and config.get("from_logits", False) != logits:
        return f"from_logits={logits}"
    if word in ("iou", "meaniou") and (config["sparse_y_pred"] or not config["sparse_y_true"]):
        return 'sparse_y_true=True, sparse_y_pred=False, dtype="float32"'
    if word.endswith("iou") and "float" not in str(config["dtype"]):
        return 'dtype="float32"'  # without it, weights are cut to whole numbers
    if word in ("f1score", "fbetascore"):
        takes_largest = task.size == 1 and config["threshold"] is None  # of one: always a yes
        return 'average="macro", threshold=0.5' if takes_largest or not config["average"] else None
    return None


def _word(name):
    """Returns a name in which classes and functions of Keras are alike."""
    return name.replace("_", "").lower()


def _family(name):
    return re.sub("sparse|categorical|binary|onehot", "", _word(name))
