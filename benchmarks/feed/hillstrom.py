"""Hillstrom's e-mail campaign: who buys after a visit, by networks and by logistic regression.

64,000 customers, 578 of whom bought something. Area under the curve of a conversion, 5 folds
stratified by it, a tenth of each training part for early stopping. The treatment is an input.

    KERAS_BACKEND=jax python -m benchmarks.feed.hillstrom --data DIR

DIR holds hillstrom.csv.gz.
"""

import argparse
import pathlib
from functools import partial

import keras
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import keras_mtl
from keras_mtl import Task
from keras_mtl.data import TableEncoder

CATEGORIES = ["history_segment", "zip_code", "channel", "treatment", "mens", "womens", "newbie"]
NUMBERS = ["recency", "log_history"]
TASKS = {
    "conversion alone": {"conversion": "binary"},
    "visit, conversion": {"visit": "binary", "conversion": "binary"},
    "visit, conversion, spend": {
        "visit": "binary", "conversion": "binary", "spend": Task("amount", weight=0.02),
    },
    "visit -> conversion": {"visit": "binary", "conversion": Task("binary", given="visit")},
    "visit -> conversion, clicked alone": {
        "visit": "binary", "conversion": Task("binary", given="visit", estimator="given"),
    },
}  # fmt: skip
WIDTHS = {"no hidden layer": [], "16 units": [16]}


def load(folder):
    frame = pd.read_csv(folder / "hillstrom.csv.gz")
    return frame.assign(log_history=np.log1p(frame["history"]))


def logistic(train, test):
    """Returns the area under the curve of logistic regression."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES), (StandardScaler(), NUMBERS)
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000, C=0.1))
    model.fit(train, train["conversion"])
    return roc_auc_score(test["conversion"], model.predict_proba(test)[:, 1])


def network(tasks, widths, train, test, seed):
    """Returns the area under the curve of a network that stops by the loss of conversions."""
    train, held_out = train_test_split(
        train, test_size=0.1, stratify=train["conversion"], random_state=seed
    )
    table = TableEncoder(CATEGORIES, NUMBERS, embedding_dim=4)
    table.adapt(train)
    keras.utils.set_random_seed(seed)
    layers = [partial(keras.layers.Dense, width, activation="relu") for width in widths]
    model = keras_mtl.build_shared_bottom(
        table.inputs(), tasks, layers, stem=[table.embedding], seed=seed
    )
    model.compile(keras.optimizers.Adam(2e-3))
    data = [(table.encode(part), _labels(part, tasks)) for part in (train, held_out, test)]
    stop = keras.callbacks.EarlyStopping(
        "val_conversion_loss", mode="min", patience=4, restore_best_weights=True
    )
    model.fit(
        *data[0], validation_data=data[1], epochs=30, batch_size=512, callbacks=[stop], verbose=0
    )
    answers = model.predict(data[2][0], batch_size=4096, verbose=0)
    return roc_auc_score(test["conversion"], answers["conversion"][:, 0])


def _labels(frame, tasks):
    return {task: frame[task].to_numpy("float32") for task in tasks}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    frame = load(arguments.data)
    folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=0)
    ways = {"logistic regression": lambda train, test, seed: logistic(train, test)}
    for name, tasks in TASKS.items():
        for width, units in WIDTHS.items():
            ways[f"{name}, {width}"] = partial(network, tasks, units)
    found = {name: [] for name in ways}
    for fold, (train, test) in enumerate(folds.split(frame, frame["conversion"])):
        for name, way in ways.items():
            parts = frame.iloc[train], frame.iloc[test]
            found[name].append(way(*parts, seed=fold))
            print(f"fold {fold}, {name}: {found[name][-1]:.4f}", flush=True)
    print("\n| conversion, AUC | mean | minus logistic |\n|---|---|---|")
    base = np.array(found["logistic regression"])
    for name, scores in found.items():
        gain = np.array(scores) - base
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(f"| {name} | {np.mean(scores):.4f} | {gain.mean():+.4f} ± {error:.4f} |")


if __name__ == "__main__":
    main()
