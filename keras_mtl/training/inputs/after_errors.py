"""A model that an error leaves as it was."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras

from keras_mtl.keras_internals import ModelHooks


class WholeAfterErrors(ModelHooks):
    """Keeps a model's variables through an error, such as labels that do not fit.

    On JAX, Keras takes the values out of the variables while it trains, evaluates or predicts,
    and an exception in the first step would leave them empty. Other backends have no need of it.
    """

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with self._whole_after_errors():
            return super().evaluate(*args, **kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        with self._whole_after_errors():
            return super().predict(*args, **kwargs)

    @contextlib.contextmanager
    def _whole_after_errors(self) -> Iterator[Any]:
        try:
            yield
        finally:
            if keras.backend.backend() == "jax":
                self.jax_state_sync()  # as `fit` does itself; nothing where all went well
