"""Batches of tasks, encoders of sentences and tables, and made tasks to try them with."""

from keras_mtl.data.batches.alternating_batches import AlternatingBatches as AlternatingBatches
from keras_mtl.data.batches.alternating_batches import alternating_batches as alternating_batches
from keras_mtl.data.batches.array_batches import ArrayBatches as ArrayBatches
from keras_mtl.data.batches.sentence_batches import SentenceBatches as SentenceBatches
from keras_mtl.data.batches.sentence_batches import sentence_batches as sentence_batches
from keras_mtl.data.batches.task_batches import TaskBatches as TaskBatches
from keras_mtl.data.batches.task_batches import task_batches as task_batches
from keras_mtl.data.datasets.census_income import CensusPart as CensusPart
from keras_mtl.data.datasets.census_income import load_census_income as load_census_income
from keras_mtl.data.datasets.column_files import read_columns as read_columns
from keras_mtl.data.datasets.fmri import region_tasks as region_tasks
from keras_mtl.data.datasets.icu_stays import ICUStays as ICUStays
from keras_mtl.data.datasets.icu_stays import standardize_stays as standardize_stays
from keras_mtl.data.datasets.mimic3 import read_mimic3_benchmark as read_mimic3_benchmark
from keras_mtl.data.datasets.physionet2012 import load_physionet2012 as load_physionet2012
from keras_mtl.data.datasets.synthetic import SyntheticTask as SyntheticTask
from keras_mtl.data.datasets.synthetic import synthetic_pairs as synthetic_pairs
from keras_mtl.data.datasets.synthetic_bandits import synthetic_bandits as synthetic_bandits
from keras_mtl.data.datasets.synthetic_clusters import synthetic_clusters as synthetic_clusters
from keras_mtl.data.datasets.synthetic_depths import synthetic_depths as synthetic_depths
from keras_mtl.data.datasets.synthetic_depths import (
    synthetic_example_depths as synthetic_example_depths,
)
from keras_mtl.data.datasets.synthetic_feed import synthetic_feed as synthetic_feed
from keras_mtl.data.datasets.synthetic_funnel import synthetic_funnel as synthetic_funnel
from keras_mtl.data.datasets.synthetic_sequences import synthetic_sequences as synthetic_sequences
from keras_mtl.data.datasets.synthetic_views import synthetic_views as synthetic_views
from keras_mtl.data.datasets.universal_dependencies import (
    load_universal_dependencies as load_universal_dependencies,
)
from keras_mtl.data.datasets.universal_dependencies import read_conllu as read_conllu
from keras_mtl.data.tables.table_batches import TableBatches as TableBatches
from keras_mtl.data.tables.table_encoder import TableEncoder as TableEncoder
from keras_mtl.data.text.sentences import SentenceEncoder as SentenceEncoder
from keras_mtl.data.text.tags import tag_ids as tag_ids
