"""What Python refuses to do with a network, and in which words."""

import keras

from tests.conformance.methods import METHODS

REFUSALS = [  # builder, mode, kind, way, and a pattern of the message; "*" is all
    *((name, *refused) for name, method in METHODS.items() for refused in method.refusals),
    ("*", "*", "half precision", "quantized", "doesn't work well with compute_dtype='float16'"),
]
if keras.backend.backend() == "torch":
    REFUSALS.append(("*", "*", "*", "exported", "cannot be written on the torch backend"))


def rows_of(cell):
    """Returns the rows of the table that say something of a cell."""
    return [
        row
        for row in REFUSALS
        if all(said in ("*", there) for said, there in zip(row[:4], cell, strict=True))
    ]
