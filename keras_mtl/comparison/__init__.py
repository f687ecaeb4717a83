"""Methods against each other: same data, seeds and epochs, what they cost, what is chance."""

from keras_mtl.comparison.compare import compare as compare
from keras_mtl.comparison.comparison import Comparison as Comparison
