"""Gates that do not all decide the same."""

import keras
import numpy as np

from keras_mtl.layers import InstanceGate
from keras_mtl.layers.averages import mean_of_places, mean_so_far


def gates_of(model):
    return [layer for layer in model.layers if isinstance(layer, InstanceGate)]


def half_open(model, x, seed=4):
    """Gives gates random weights that open for half of the examples, or of the steps."""
    rng = np.random.default_rng(seed)
    for gate in gates_of(model):
        for variable in gate.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))
        gate.scores.bias.assign([0.0, 0.0])
        features, *_ = keras.tree.flatten(gate.input)  # without the mask
        features = keras.Model(model.input, features)(x)
        mean = mean_so_far(features) if gate.per_step else mean_of_places(features)
        hidden = keras.ops.relu(gate.normalization(gate.hidden(mean)))
        scores = keras.ops.convert_to_numpy(gate.scores(hidden))
        median = float(np.median(scores[..., 1] - scores[..., 0]))  # a list takes no bfloat16
        gate.scores.bias.assign([median + 1e-3, 0.0])  # no tie, which rounding would decide
    return model
