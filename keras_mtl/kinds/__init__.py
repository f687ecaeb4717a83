"""The kinds of tasks: one table, which heads, losses, metrics and checks of labels read."""

from keras_mtl.kinds.amount import AMOUNT
from keras_mtl.kinds.classes import CLASSES, TAGGING
from keras_mtl.kinds.count import COUNT
from keras_mtl.kinds.kind import MISSING_CLASS as MISSING_CLASS
from keras_mtl.kinds.kind import Kind as Kind
from keras_mtl.kinds.ordinal import ORDINAL
from keras_mtl.kinds.quantile import Quantile as Quantile
from keras_mtl.kinds.regression import REGRESSION
from keras_mtl.kinds.tweedie import Tweedie as Tweedie
from keras_mtl.kinds.yes_or_no import BINARY, MULTILABEL

KINDS = {
    "classes": CLASSES,
    "binary": BINARY,
    "multilabel": MULTILABEL,
    "regression": REGRESSION,
    "tagging": TAGGING,
    "count": COUNT,
    "amount": AMOUNT,
    "ordinal": ORDINAL,
}
