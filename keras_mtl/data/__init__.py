"""Batches of tasks, sentences and their tags, and made tasks to try them with."""

from keras_mtl.data.alternating_batches import AlternatingBatches, alternating_batches
from keras_mtl.data.array_batches import ArrayBatches
from keras_mtl.data.census_income import CensusPart, load_census_income
from keras_mtl.data.columns import read_columns
from keras_mtl.data.fmri import region_tasks
from keras_mtl.data.icu_stays import ICUStays, standardize_stays
from keras_mtl.data.mimic3 import read_mimic3_benchmark
from keras_mtl.data.physionet2012 import load_physionet2012
from keras_mtl.data.sentence_batches import SentenceBatches, sentence_batches
from keras_mtl.data.sentences import SentenceEncoder
from keras_mtl.data.synthetic import SyntheticTask, synthetic_pairs
from keras_mtl.data.synthetic_sequences import synthetic_sequences
from keras_mtl.data.tags import tag_ids
from keras_mtl.data.task_batches import TaskBatches, task_batches
from keras_mtl.data.universal_dependencies import load_universal_dependencies, read_conllu

__all__ = [
    "AlternatingBatches",
    "ArrayBatches",
    "CensusPart",
    "ICUStays",
    "SentenceBatches",
    "SentenceEncoder",
    "SyntheticTask",
    "TaskBatches",
    "alternating_batches",
    "load_census_income",
    "load_physionet2012",
    "load_universal_dependencies",
    "read_columns",
    "read_conllu",
    "read_mimic3_benchmark",
    "region_tasks",
    "sentence_batches",
    "standardize_stays",
    "synthetic_pairs",
    "synthetic_sequences",
    "tag_ids",
    "task_batches",
]
