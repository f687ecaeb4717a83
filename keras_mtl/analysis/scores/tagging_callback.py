"""Tagging scores after every epoch, where other callbacks can follow them."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_mtl.analysis.scores.tagging import scoring_functions, tagging_scores
from keras_mtl.kinds import KINDS
from keras_mtl.training.inputs.checks import check_arrays


class TaggingRecorder(keras.callbacks.Callback):
    """Adds F1 scores of tagging tasks on validation data to the logs of every epoch.

    `val_<task>_macro_f1` and, for BIO tags, `val_<task>_span_f1`, as `tagging_scores` counts
    them; `fit` returns them with its history. F1 over a whole data set is no mean over
    batches, so it cannot be a metric of the task. Put this callback before those that follow
    a score, and tell them its direction:
    `keras.callbacks.EarlyStopping("val_chunk_span_f1", mode="max")`. Each epoch costs one
    more prediction.

    Args:
        validation_data: What `fit` takes: `(x, y)` arrays, `y` a dict by task, or a
            `keras.utils.PyDataset` of such batches, whose widths may differ. For tasks with
            separate data `keras_mtl.task_batches(..., order="sequential")`. Sample weights
            do not count.
        tag_names: Dict, name of a tagging task -> list of its tags' names, in the order of
            the tag ids. Other tasks are not scored.

    Raises:
        ImportError: scikit-learn or seqscore is not installed.
        ValueError: Validation data of another form, a name that is no tagging task of the
            model, another number of tags than the task has; after an epoch, what
            `tagging_scores` refuses.

    Example:

    >>> import numpy as np
    >>> x = np.array([[1, 2, 0], [2, 1, 2]])
    >>> y = {"chunk": np.array([[1, 0, -1], [0, 1, 0]])}
    >>> recorder = TaggingRecorder((x, y), {"chunk": ["O", "B-NP", "I-NP"]})
    >>> embed = lambda: keras.layers.Embedding(3, 4, mask_zero=True)
    >>> model = keras_mtl.build_shared_bottom(
    ...     keras.Input((None,), dtype="int32"), {"chunk": keras_mtl.Task("tagging", 3)}, [embed])
    >>> model.compile("adam")
    >>> logs = model.fit(x, y, callbacks=[recorder], verbose=0).history
    >>> [name for name in logs if name.startswith("val_")]
    ['val_chunk_macro_f1', 'val_chunk_span_f1']
    """

    def __init__(self, validation_data: Any, tag_names: Any) -> None:
        super().__init__()
        self.validation_data = validation_data
        self.tag_names = tag_names
        if not isinstance(validation_data, tuple | keras.utils.PyDataset):
            raise ValueError(
                "validation_data must be a tuple (x, y) of arrays or a keras.utils.PyDataset of "
                f"batches. Received: {type(validation_data).__name__}"
            )
        if not isinstance(tag_names, dict):
            raise ValueError(
                "tag_names must be a dict, name of a tagging task -> list of its tags' names. "
                f"Received: {type(tag_names).__name__}"
            )
        scoring_functions()  # what is not installed is known before the first epoch

    def on_train_begin(self, logs: Any = None) -> None:
        if isinstance(self.validation_data, tuple):
            check_arrays(self.model, *self.validation_data[:2])
        tasks = self.model.tasks
        tagging = {n: task.size for n, task in tasks.items() if KINDS[task.kind].always_per_step}
        for name, tags in self.tag_names.items():
            if name not in tagging:
                raise ValueError(
                    f"tag_names has an entry {name!r}, which is no tagging task of this model. "
                    f"Tagging tasks: {', '.join(tagging) or 'none'}"
                )
            if len(tags) != tagging[name]:
                raise ValueError(
                    f"Task {name!r} has {tagging[name]} tags, tag_names has {len(tags)} names for "
                    "it. Give one name for each tag."
                )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        y_true: dict[str, list[Any]] = {task: [] for task in self.tag_names}
        y_pred: dict[str, list[Any]] = {task: [] for task in self.tag_names}
        for x, y, predictions in self._predicted_batches():
            for task in self.tag_names:
                labels, probabilities = _of_task(self.model, task, x, y, predictions)
                y_true[task].extend(labels)
                y_pred[task].extend(probabilities)
        for task, names in self.tag_names.items():
            try:
                scores = tagging_scores(y_true[task], y_pred[task], names)
            except ValueError as error:
                raise ValueError(f"Validation data of task {task!r}: {error}") from error
            logs[f"val_{task}_macro_f1"] = scores.macro_f1
            if scores.span_f1 is not None:
                logs[f"val_{task}_span_f1"] = scores.span_f1

    def _predicted_batches(self) -> Iterator[Any]:
        """Yields inputs, labels and predictions: all at once, or batch by batch."""
        data = self.validation_data
        if isinstance(data, tuple):
            yield *data[:2], self.model.predict(data[0], verbose=0)
            return
        for index in range(data.num_batches):
            x, y = data[index][:2]
            yield x, y, self.model.predict_on_batch(x)


def _of_task(model: keras.Model, task: Any, x: Any, y: Any, predictions: Any) -> tuple[Any, Any]:
    """Returns labels and probabilities of one task's sentences."""
    if model.task_data == "shared":
        return y[task], predictions[task]
    rows = x["task_id"] == list(model.tasks).index(task)
    return y[rows], predictions[rows][..., : model.tasks[task].size]
