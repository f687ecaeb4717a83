"""A model that looks at data before compiled code does."""

import functools
import inspect
from typing import Any

import keras

from keras_mtl.funnels import warn_of_impossible
from keras_mtl.training.inputs.after_errors import WholeAfterErrors
from keras_mtl.training.inputs.checks import check_batch, check_data
from keras_mtl.training.inputs.distribution import check_first_batch
from keras_mtl.training.inputs.prepared_inputs import prepared
from keras_mtl.training.inputs.standard_units import check_units, learn_units

_DATA = ("x", "y", "sample_weight")


class CheckedData(WholeAfterErrors):
    """Checks what the methods of a model are given, in the users' words.

    It does so while the tasks' own losses are used: what stock losses mean by labels is Keras's.
    """

    uses_task_losses = False

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        given = named(super().evaluate, args, kwargs)
        if not given.get("_use_cached_eval_dataset"):
            check_units(self)
            given = self._by_column(given)
            given = self._checked(given, check_data)
            check_first_batch(self, given.get("x"), given.get("batch_size"))
        return super().evaluate(**given | {"x": prepared(given.get("x"))})

    @functools.wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return super().predict(**self._by_column(named(super().predict, args, kwargs)))

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        check_units(self)
        given = named(super().train_on_batch, args, kwargs)
        return super().train_on_batch(**self._checked(given, check_batch))

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        check_units(self)
        given = named(super().test_on_batch, args, kwargs)
        return super().test_on_batch(**self._checked(given, check_batch))

    def _checked_for_fit(self, given: Any) -> Any:
        """Returns what `fit` is called with, after a check of training and validation data."""
        given = self._checked(self._by_column(given), check_data)
        check_first_batch(self, given.get("x"), given.get("batch_size"))
        if self.uses_task_losses:
            learn_units(self, given)
        if self.uses_task_losses and isinstance(given.get("y"), dict):
            warn_of_impossible(self.tasks, given["y"])
        validation = given.get("validation_data")
        if validation is None or not self.uses_task_losses:
            return given
        x, *labels = keras.utils.unpack_x_y_sample_weight(validation)
        data = check_data(self, self._by_column({"x": x})["x"], *labels)
        given["validation_data"] = data if isinstance(validation, tuple | list) else validation
        return given

    def _by_column(self, given: Any) -> Any:
        """Returns what a method is called with, a DataFrame as a dict of columns if x is one."""
        x = given.get("x")
        if not isinstance(self.input, dict) or not hasattr(x, "to_dict"):
            return given
        return given | {"x": {name: x[name].to_numpy() for name in x.columns}}

    def _checked(self, given: Any, check: Any) -> Any:
        """Returns what a method is called with, data that fit the model among it."""
        if given.get("class_weight") is not None:
            raise ValueError(
                "class_weight is refused: it cannot say which task it means. "
                "Use sample_weight, or Task(class_weight=...)."
            )
        if not self.uses_task_losses:
            return given
        data = check(self, *map(given.get, _DATA))
        return given | dict(zip(_DATA, data, strict=True))


def named(method: Any, args: Any, kwargs: Any) -> Any:
    """Returns what a method is called with, by name."""
    given = inspect.signature(method).bind(*args, **kwargs).arguments
    return given | given.pop("kwargs", {})
