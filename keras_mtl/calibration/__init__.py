"""Probabilities that are right on average, as a property of a network's own heads."""

from keras_mtl.calibration.calibrate import calibrate as calibrate
from keras_mtl.calibration.correct_sampling import correct_sampling as correct_sampling
