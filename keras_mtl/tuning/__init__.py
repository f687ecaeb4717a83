"""Search for good settings with keras_tuner. Needs `pip install "keras_mtl[tune]"`."""

from keras_mtl.tuning.pareto import pareto_trials as pareto_trials
from keras_mtl.tuning.search import hypermodel as hypermodel
