"""Batches of tasks, sentences and their tags, and made tasks to try them with."""

from keras_mtl.data.batches.alternating_batches import AlternatingBatches, alternating_batches
from keras_mtl.data.batches.array_batches import ArrayBatches
from keras_mtl.data.batches.sentence_batches import SentenceBatches, sentence_batches
from keras_mtl.data.batches.task_batches import TaskBatches, task_batches
from keras_mtl.data.datasets.census_income import CensusPart, load_census_income
from keras_mtl.data.datasets.column_files import read_columns
from keras_mtl.data.datasets.fmri import region_tasks
from keras_mtl.data.datasets.icu_stays import ICUStays, standardize_stays
from keras_mtl.data.datasets.mimic3 import read_mimic3_benchmark
from keras_mtl.data.datasets.physionet2012 import load_physionet2012
from keras_mtl.data.datasets.synthetic import SyntheticTask, synthetic_pairs
from keras_mtl.data.datasets.synthetic_sequences import synthetic_sequences
from keras_mtl.data.datasets.universal_dependencies import load_universal_dependencies, read_conllu
from keras_mtl.data.text.sentences import SentenceEncoder
from keras_mtl.data.text.tags import tag_ids

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
