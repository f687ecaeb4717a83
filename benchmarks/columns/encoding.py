"""Rows a second that are encoded, beside what people write by hand.

Twelve columns of strings, 10,000 different ones in each, and eight of numbers. "By hand" is
`pandas.factorize` and NumPy, "scikit-learn" is `LabelEncoder` and `MinMaxScaler` by column, as
the examples of DeepCTR have it; both know no missing or unseen value. Then the rows a second of
training on what was encoded before, and batch by batch. Medians of interleaved rounds.

    python -m benchmarks.columns.encoding --rows 1000000
"""

import argparse
import time
from functools import partial

import keras
import numpy as np
import pandas as pd
from sklearn.preprocessing import LabelEncoder, MinMaxScaler

import keras_mtl
from keras_mtl.data import TableEncoder

STRINGS = [f"string_{number}" for number in range(1, 13)]
NUMBERS = [f"number_{number}" for number in range(1, 9)]


def make_frame(rows):
    rng = np.random.default_rng(0)
    values = np.array([f"value {number}" for number in range(10_000)], object)
    columns = {name: values[rng.zipf(1.3, rows) % len(values)] for name in STRINGS}
    return pd.DataFrame(columns | {name: rng.normal(size=rows) for name in NUMBERS})


def by_table(frame):
    table = TableEncoder(STRINGS, NUMBERS)
    table.adapt(frame)
    return table.encode(frame)


def by_hand(frame):
    ids = {name: pd.factorize(frame[name])[0] for name in STRINGS}
    numbers = {name: frame[name].to_numpy() for name in NUMBERS}
    return ids | {name: (x - x.mean()) / x.std() for name, x in numbers.items()}


def by_sklearn(frame):
    ids = {name: LabelEncoder().fit_transform(frame[name]) for name in STRINGS}
    return ids | dict(zip(NUMBERS, MinMaxScaler().fit_transform(frame[NUMBERS]).T, strict=True))


def trainings(frame, batch_size):
    """Returns functions that train for an epoch, on what was encoded and batch by batch."""
    table = TableEncoder(STRINGS, NUMBERS, embedding_dim=8)
    table.adapt(frame)
    x, y = table.encode(frame), {"click": (frame[NUMBERS[0]] > 0).to_numpy("float32")}
    model = keras_mtl.build_mmoe(
        table.inputs(), {"click": "binary"}, [[partial(keras.layers.Dense, 64)] * 4],
        stem=[table.embedding],
    )  # fmt: skip
    model.compile("adam")
    batches = table.batches(frame, y, batch_size=batch_size, seed=0)
    return {
        "training, encoded before": lambda: model.fit(x, y, batch_size=batch_size, verbose=0),
        "training, batch by batch": lambda: model.fit(batches, verbose=0),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=1024)
    arguments = parser.parse_args()
    frame = make_frame(arguments.rows)
    encodings = {"TableEncoder": by_table, "by hand": by_hand, "scikit-learn": by_sklearn}
    ways = {name: partial(encode, frame) for name, encode in encodings.items()}
    ways |= trainings(frame, arguments.batch_size)
    seconds = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        print(f"| {name} | {arguments.rows / np.median(found):,.0f} |")


if __name__ == "__main__":
    main()
