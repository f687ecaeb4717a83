"""The networks of run.py: one tagger, and how its two tasks may share."""

from functools import partial

import keras
import numpy as np
from keras import ops

import keras_mtl

MAIN, AUXILIARY = "main", "pos"
UNITS, LEARNING_RATE = 64, 2e-3
ORTHOGONALITY = 0.1  # of the subspaces of sluice networks, as in the example of the authors' code
bilstm = partial(keras_mtl.layers.BiLSTM, UNITS, direction="concat")
STACK, TOWERS = [bilstm] * 3, [[bilstm] * 2] * 3


def single_task(inputs, tasks, **settings):
    """Returns a network for the main task alone."""
    return keras_mtl.build_shared_bottom(inputs, {MAIN: tasks[MAIN]}, STACK, **settings)


def by_hand(inputs, tasks, stem, seed):
    """Returns the single-task tagger as somebody would write it in plain Keras."""
    inputs = {
        name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in inputs.items()
    }
    features = inputs
    for make in stem:
        features = make()(features)
    for _ in range(3):
        lstm = keras.layers.LSTM(UNITS, return_sequences=True)
        features = keras.layers.Bidirectional(lstm)(features)
    head = keras.layers.Dense(tasks[MAIN].size, activation="softmax")
    return keras.Model(inputs, head(features))


class Weighted(keras.utils.PyDataset):
    """Batches of the main task as plain Keras wants them: missing labels weigh nothing."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        x, y, weight = self.batches[index]
        return x, np.maximum(y[MAIN], 0), (y[MAIN] >= 0) * weight[:, None]

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()


def sluice(inputs, tasks, **settings):
    """Returns a sluice network, with the penalty on subspaces that is part of the method."""
    settings = {"orthogonality_weight": ORTHOGONALITY, **settings}
    return keras_mtl.build_sluice(inputs, tasks, TOWERS, **settings)


METHODS = {
    "single task": single_task,
    "hard sharing": lambda inputs, tasks, **settings: keras_mtl.build_shared_bottom(
        inputs, tasks, STACK, **settings
    ),
    "low supervision": lambda inputs, tasks, **settings: keras_mtl.build_low_supervision(
        inputs, tasks, STACK, levels={AUXILIARY: 1}, **settings
    ),
    "cross-stitch": lambda inputs, tasks, **settings: keras_mtl.build_cross_stitch(
        inputs, tasks, TOWERS, **settings
    ),
    "sluice": sluice,
    "plain Keras": by_hand,
}
paper_sluice = partial(sluice, preset="paper", tower_units=(100,))
VARIANTS = {
    "sluice, no penalty": partial(sluice, orthogonality_weight=0.0),
    "sluice, paper": paper_sluice,
    "sluice, paper, SGD": paper_sluice,  # with --batch_size 1 the paper's recipe
}


def both_towers(inputs, tasks, **settings):
    """Hard sharing with as many parameters as the stitched networks."""
    return keras_mtl.build_shared_bottom(inputs, tasks, TOWERS, **settings)


def grid_cell(alpha, connections, num_subspaces):
    """Returns a sluice network of Table 6: alpha "constant" or "learned"."""
    preset = "hard_sharing" if alpha == "constant" else None
    return partial(
        sluice,
        num_subspaces=num_subspaces,
        connections=connections,
        preset=preset,
        orthogonality_weight=ORTHOGONALITY * (num_subspaces > 1),
    )


ABLATION = {"hard sharing, both towers": both_towers}
for alpha in ("constant", "learned"):
    for connections in ("concat", "skip", "mixture"):
        ABLATION[f"{alpha} alpha, {connections}"] = grid_cell(alpha, connections, 1)
ABLATION["learned alpha, mixture, subspaces"] = grid_cell("learned", "mixture", 2)


def word_features(encoder, dropout):
    """Returns a model from word and character ids to features of each word."""
    inputs = encoder.inputs()
    words = keras_mtl.layers.WordDropout(dropout / 6)(inputs["words"])
    words = keras.layers.Embedding(encoder.num_words, 64, mask_zero=True)(words)
    characters = keras.layers.Embedding(encoder.num_characters, 24)(inputs["characters"])
    characters = keras.layers.Conv2D(48, (1, 3), padding="same", activation="relu")(characters)
    characters = ops.max(characters, axis=2)
    there = ops.cast(ops.not_equal(inputs["words"], 0), "float32")
    characters = keras.layers.Masking()(characters * ops.expand_dims(there, axis=-1))
    return keras.Model(inputs, keras.layers.Concatenate()([words, characters]))


def compiled(method, encoder, tasks, seed, steps_per_epoch, dropout=0.3):
    """Returns the compiled network of one method."""
    stem = [partial(word_features, encoder, dropout), partial(keras.layers.Dropout, dropout)]
    build = {**METHODS, **VARIANTS, **ABLATION}[method]
    model = build(encoder.inputs(), tasks, stem=stem, seed=seed)
    if method == "plain Keras":
        loss = keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
        model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, weighted_metrics=["accuracy"])
    elif method.endswith("SGD"):
        rate = keras.optimizers.schedules.InverseTimeDecay(0.1, steps_per_epoch, 0.05)
        model.compile(keras.optimizers.SGD(rate))
    else:
        model.compile(keras.optimizers.Adam(LEARNING_RATE))
    return model
