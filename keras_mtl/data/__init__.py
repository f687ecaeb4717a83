"""Batches of tasks, sentences and their tags, and made tasks to try them with."""

from keras_mtl.data.columns import read_columns
from keras_mtl.data.sentence_batches import SentenceBatches, sentence_batches
from keras_mtl.data.sentences import SentenceEncoder
from keras_mtl.data.synthetic import SyntheticTask, synthetic_pairs
from keras_mtl.data.tags import tag_ids
from keras_mtl.data.task_batches import TaskBatches, task_batches
from keras_mtl.data.universal_dependencies import load_universal_dependencies, read_conllu

__all__ = [
    "SentenceBatches",
    "SentenceEncoder",
    "SyntheticTask",
    "TaskBatches",
    "load_universal_dependencies",
    "read_columns",
    "read_conllu",
    "sentence_batches",
    "synthetic_pairs",
    "tag_ids",
    "task_batches",
]
