"""Batches of tasks, and made tasks to try them with."""

from keras_mtl.data.synthetic import SyntheticTask, synthetic_pairs
from keras_mtl.data.task_batches import TaskBatches, task_batches

__all__ = ["SyntheticTask", "TaskBatches", "synthetic_pairs", "task_batches"]
