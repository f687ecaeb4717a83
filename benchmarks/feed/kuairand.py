"""KuaiRand-Pure: click, long view, like and watch time, by one network or several, and by trees.

Area under the curve of the first three, R2 of the logarithm of the seconds watched. Train 25 April
to 2 May, validation 3 and 4 May, test 5 to 8 May; what past days say of ids is counted without a
row's own day. LightGBM, one model a task, reads the same columns and stops by the same validation.

    KERAS_BACKEND=jax python -m benchmarks.feed.kuairand --data DIR --folder kuairand
    python -m benchmarks.feed.kuairand --data DIR --trees

DIR is the folder of the Parquet files and tables of KuaiRand-Pure. A finished run is kept in the
folder and not run again.
"""

import argparse
import pathlib
import time
from functools import partial

import keras
import numpy as np
from sklearn.metrics import r2_score, roc_auc_score

import keras_mtl
from benchmarks.feed.columns import IDS, LABELS, load, split
from keras_mtl.data import TableEncoder

TASKS = {
    **dict.fromkeys(LABELS, "binary"),
    "watch": keras_mtl.Task("regression", weight=0.2),
}
FUNNEL = TASKS | {
    "long_view": keras_mtl.Task("binary", given="click"),
    "like": keras_mtl.Task("binary", given="click"),
}
dense = partial(keras.layers.Dense, activation="relu")
METHODS = {
    "MMoE": (keras_mtl.build_mmoe, [[partial(dense, 128)] * 4]),
    "PLE": (keras_mtl.build_ple, [[partial(dense, 64)] * 8]),
    "Gumbel-Matrix": (keras_mtl.build_gumbel_matrix, [[partial(dense, 64)] * 4]),
}


def score(y, answers):
    """Returns the area under the curve of a yes-or-no label, R2 of a number."""
    judge = roc_auc_score if set(np.unique(y)) <= {0, 1} else r2_score
    return float(judge(y.ravel(), answers.ravel()))


def method(build, own):
    """Returns a method with layers of its own."""

    def make(inputs, tasks, layers, **settings):
        return build(inputs, tasks, own, tower_units=(64,), **settings)

    return make


def compared(parts, kinds, arguments):
    table = TableEncoder(
        **kinds, min_count=dict.fromkeys(IDS, arguments.min_count), embedding_dim=8
    )
    table.adapt(parts["train"])
    tasks = FUNNEL if arguments.funnel else TASKS
    data = {
        name: (table.encode(part), {task: part[task].to_numpy("float32") for task in tasks})
        for name, part in parts.items()
    }
    return keras_mtl.compare(
        {name: method(*METHODS[name]) for name in arguments.methods},
        table.inputs(), tasks, [partial(dense, 256)], stem=[table.embedding], **data,
        folder=arguments.folder, seeds=arguments.seeds, epochs=arguments.epochs,
        batch_size=arguments.batch_size, scorers={"score": score},
        optimizer=lambda model: keras.optimizers.Adam(arguments.learning_rate),
    )  # fmt: skip


def trees(parts, kinds):
    """Prints the scores of LightGBM, and how long it trained."""
    import lightgbm

    x = {
        name: part[[*kinds["categorical"], *kinds["numeric"]]].copy()
        for name, part in parts.items()
    }
    for name in kinds["categorical"]:
        known = parts["train"][name].astype("category").cat.categories
        for part in x.values():
            part[name] = part[name].astype("category").cat.set_categories(known)
    start, scores = time.perf_counter(), {}
    for task in TASKS:
        kind = lightgbm.LGBMRegressor if task == "watch" else lightgbm.LGBMClassifier
        trees = kind(n_estimators=1000, learning_rate=0.05, num_leaves=63, verbose=-1)
        held_out = x["validation"], parts["validation"][task]
        stop = lightgbm.early_stopping(50, verbose=False)
        trees.fit(x["train"], parts["train"][task], eval_set=[held_out], callbacks=[stop])
        answers = (
            trees.predict(x["test"]) if task == "watch" else trees.predict_proba(x["test"])[:, 1]
        )
        scores[task] = score(parts["test"][task].to_numpy(), answers)
    print(", ".join(f"{task} {found:.4f}" for task, found in scores.items()), end="")
    print(f" ({time.perf_counter() - start:.0f} s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, help="of finished runs")
    parser.add_argument("--trees", action="store_true", help="LightGBM, and nothing else")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--funnel", action="store_true", help="views and likes are given clicks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="at most")
    parser.add_argument("--batch_size", type=int, default=1024)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--min_count", type=int, default=50, help="of an id, to be known")
    arguments = parser.parse_args()
    frame, kinds = load(arguments.data)
    if arguments.trees:
        trees(split(frame), kinds)
    else:
        print(compared(split(frame), kinds, arguments))


if __name__ == "__main__":
    main()
