"""Which methods are asked which problem, with their defaults unless a name says what else."""

from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.execution_paths.depths import policies
from benchmarks.related_sequences.networks import FEW, recurrent_modular
from benchmarks.truths import measures
from benchmarks.truths.problems import UNITS, dense

OF_COMPONENTS = {
    "Gumbel-Matrix": keras_mtl.build_gumbel_matrix,
    "Routing network": keras_mtl.build_routing_network,
    "MMoE": keras_mtl.build_mmoe,
    "MMoEEx": keras_mtl.build_mmoeex,
    "DSelect-k": keras_mtl.build_dselect_k,
    "MoE": keras_mtl.build_moe,
}


def ple(inputs, tasks, layers, **settings):
    """Progressive layered extraction: one expert a task, and as many shared as fill the list."""
    layers = [[*entry, *entry[:2]] for entry in layers]
    return keras_mtl.build_ple(inputs, tasks, layers, **settings)


def soft_ordering(inputs, tasks, layers, **settings):
    """Soft ordering, whose components keep the width of what they read."""
    return keras_mtl.build_soft_ordering(inputs, tasks, layers, stem=[dense], **settings)


OF_CLUSTERS = {
    **OF_COMPONENTS,
    "PLE": ple,
    "Soft ordering": soft_ordering,
    "Cross-stitch": keras_mtl.build_cross_stitch,
    "Sluice": partial(keras_mtl.build_sluice, orthogonality_weight=0.1),
    "SNR": keras_mtl.build_snr,
}
OF_ARMS = {name: build for name, build in OF_COMPONENTS.items() if name != "MMoEEx"} | {
    "Routing network, REINFORCE": partial(keras_mtl.build_routing_network, learner="reinforce")
}
OF_BLOCKS = {"Gates": keras_mtl.build_dynashare}


def adashare(seed):
    """AdaShare, whose weights and policy learn in turns, each from its part of the data."""
    rows, logs = policies(seed, final=0.1, cycles=30)
    deep = {task: task.startswith("product") for task in rows}
    accuracy = float(np.mean([logs[f"{task}_accuracy"] for task in rows]))
    blocks = {task: float(row.sum()) for task, row in rows.items()}
    return {"found": measures.deep_tasks_found(blocks, deep), "accuracy": accuracy}


def lstms(build):
    """Returns a builder of a network of LSTMs, which brings its own layers."""

    def method(inputs, tasks, **settings):
        return build(
            inputs, tasks, [partial(keras.layers.LSTM, UNITS, return_sequences=True)], **settings
        )

    return method


OF_SEQUENCES = {
    "MT-RMN": recurrent_modular,
    "MT-RMN, few, decided by step": partial(recurrent_modular, **FEW, decide_by="step"),
    "IC-MTL": partial(keras_mtl.build_communicating, graph="star", units=UNITS),
    "RRN": partial(
        keras_mtl.build_recursive_routing,
        stem=[partial(keras.layers.Dense, 4 * UNITS)],
        units=UNITS,
    ),
    "FS-MTL": lstms(keras_mtl.build_shared_bottom),
    "An LSTM for each task": lstms(keras_mtl.build_single_tasks),
}
METHODS = {
    "clusters": OF_CLUSTERS,
    "disturbing tasks": OF_CLUSTERS,
    "views": OF_COMPONENTS,
    "bandit": OF_ARMS,
    "task depths": OF_BLOCKS,
    "example depths": {"Gates": partial(keras_mtl.build_dynashare, target_rates=0.6)},
    "sequences by position": OF_SEQUENCES,
    "sequences by content": OF_SEQUENCES,
}
BY_THEIR_OWN_RECIPE = {"task depths": {"AdaShare": adashare}}
