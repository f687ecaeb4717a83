"""Names of Keras's losses and metrics, and of ours, by the labels and answers that they read."""

import inspect
from typing import Any

import keras

from keras_mtl.keras_internals import function_of
from keras_mtl.kinds.quantile import Quantile
from keras_mtl.kinds.tweedie import Tweedie

CLASSES = (
    "sparse_categorical_crossentropy",
    "categorical_generalized_cross_entropy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "iou",
    "mean_iou",
)
_AT_THRESHOLDS = (
    "precision_at_recall",
    "recall_at_precision",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "f1_score",
    "fbeta_score",
)
ONE_HOT = (  # of classes: they read a column for each, which the label becomes
    "categorical_focal_crossentropy",
    "auc",
    "precision",
    "recall",
    *_AT_THRESHOLDS,
)
NUMBERS = (
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
YES_OR_NO = (
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
    *_AT_THRESHOLDS,
    *NUMBERS,
)
LOGITS = (  # numbers may be read as logits
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "auc",
)
VECTORS = (  # say nothing about a single value
    "cosine_similarity",
    "categorical_hinge",
    "pearson_correlation",
    "concordance_correlation",
)
_KERAS = (keras.losses, keras.metrics)
_OURS = (Quantile, Tweedie)


def plain(name: str) -> str:
    """Returns a name in which classes and functions of Keras are alike."""
    return name.replace("_", "").lower()


def keras_class(judge: Any) -> Any:
    """Returns which class or function of Keras or ours one is; `None` of what users write."""
    if type(judge) is keras.metrics.MeanMetricWrapper:
        judge = function_of(judge)
    made = judge if inspect.isfunction(judge) else type(judge)
    own = made in (getattr(module, made.__name__, None) for module in _KERAS)
    return made if own or made in _OURS else None


def reads_one_hot(judge: Any) -> bool:
    """Returns whether a loss or metric of Keras reads class labels as columns of 0 and 1."""
    made = keras_class(judge)
    return made is not None and plain(made.__name__) in map(plain, ONE_HOT)
