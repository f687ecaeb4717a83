"""A `keras.utils.FeatureSpace`, seen as the encoder of an export."""

from typing import Any

import keras
import numpy as np

from keras_mtl.data.tables.parts import columns_of
from keras_mtl.data.tables.raw_values import raw_values

_FORMS = {"string": "string", "float32": "number", "int32": "integer", "int64": "integer"}
_TYPES = {"string": "string", "number": "float32", "integer": "int64"}


class FeatureSpaceEncoder:
    """What an export asks of an encoder, of a `FeatureSpace` that was adapted.

    Attributes:
        columns: List of its `FeatureColumn`.
        lookups: Dict, column -> the Keras layer that encodes it.

    Raises:
        ValueError: A space that was not adapted, a feature of a type that no column has.
    """

    def __init__(self, space: Any) -> None:
        try:
            self._encoded = space.get_encoded_features()
        except ValueError as error:
            if "adapt" not in str(error):
                raise
            raise ValueError(
                "This FeatureSpace knows no values yet. Call adapt(dataset) first."
            ) from error
        self._space, self.lookups = space, space.preprocessors
        self.columns = [FeatureColumn(name, space.features[name]) for name in space.features]

    @property
    def forms(self) -> dict[str, str]:
        """Dict, column -> what its values are."""
        return {column.name: column.form for column in self.columns}

    def inputs(self) -> Any:
        """Returns what a network is told of the encoded features."""
        return self._encoded

    def raw_inputs(self) -> dict[str, Any]:
        """Returns a `keras.InputSpec` of each column, of what signatures of an export take."""
        return {
            name: keras.InputSpec(shape=(None,), dtype=_TYPES[form], name=name)
            for name, form in self.forms.items()
        }

    def encode(self, data: Any) -> Any:
        """Returns what the space makes of a dict of columns or a DataFrame."""
        columns = columns_of(data, list(self.forms))
        raw = {name: raw_values(name, columns[name], form) for name, form in self.forms.items()}
        return keras.tree.map_structure(keras.ops.convert_to_numpy, self(raw))

    def __call__(self, tensors: Any) -> Any:
        return self._space(tensors)


class FeatureColumn:
    """A feature of a space, seen as a column of a table.

    Args:
        name: Of the feature.
        feature: One of `space.features`.
    """

    def __init__(self, name: str, feature: Any) -> None:
        if feature.dtype not in _FORMS:
            raise ValueError(
                f"Feature {name!r} has dtype {feature.dtype!r}. An export takes columns of "
                f"{', '.join(map(repr, _FORMS))}."
            )
        self.name, self.form, self._preprocessor = name, _FORMS[feature.dtype], feature.preprocessor

    def trial_values(self, number: int, rng: np.random.Generator) -> list[Any]:
        """Returns values of the kind that the feature has, known ones where it has any."""
        if self.form == "number":
            return rng.normal(size=number).tolist()
        known = [7, 8, 9] if self.form == "integer" else ["one", "two", "three"]
        if hasattr(self._preprocessor, "get_vocabulary"):
            known += self._preprocessor.get_vocabulary()[1:]
        return [known[index] for index in rng.integers(len(known), size=number)]
