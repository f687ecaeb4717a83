"""Ranks a feed: raw columns, a funnel of three tasks, a comparison, an export, and the next day.

A log of impressions with clicks, and long views and likes after a click, is encoded; MMoE is
compared with one network for each task, shared bottom and others; then it is trained, exported with
its encoder, and asked as a server is asked, by a row of JSON. On the next day new videos have come,
and the network starts from the one before.

    python examples/ranking.py
    python examples/ranking.py --rows 60000 --seeds 5 --out feed
"""

import argparse
import json
import pathlib
import tempfile
from functools import partial

import keras

import keras_mtl
from keras_mtl import Task
from keras_mtl.data import TableEncoder, synthetic_feed

COLUMNS = {
    "categorical": ["user_id", "video_id", "tab", "hour"], "numeric": ["duration"],
    "sequences": ["tags"], "min_count": 3, "embedding_dim": 8,
}  # fmt: skip
TASKS = {
    "click": Task("binary", metrics=["AUC"]),
    "long_view": Task("binary", given="click", metrics=["AUC"]),
    "like": Task("binary", given="click", metrics=["AUC"]),
}
ROW = '{"user_id": "u7", "video_id": "v3", "tab": "home", "hour": 20, "duration": null, "tags": []}'
dense = partial(keras.layers.Dense, 32, activation="relu")
build_mmoe = partial(keras_mtl.build_mmoe, tower_units=(16,))


def day_of(number, rows):
    """Returns the columns and labels of a day."""
    columns, labels, _ = synthetic_feed(rows, day=number)
    return columns, labels


def encoded(columns):
    """Returns an encoder of a day's columns."""
    table = TableEncoder(**COLUMNS)
    table.adapt(columns)
    return table


def new_network(table):
    model = build_mmoe(table.inputs(), TASKS, [[dense] * 4], stem=[table.embedding], seed=0)
    model.compile(keras.optimizers.Adam(2e-3))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000, help="of a day")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, default=tempfile.mkdtemp())
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.out)

    first, second, third = (day_of(number, arguments.rows) for number in range(3))
    table = encoded(first[0])
    train, validation = ((table.encode(columns), labels) for columns, labels in (first, second))
    print(
        keras_mtl.compare(
            {"MMoE": build_mmoe}, table.inputs(), TASKS, [[dense] * 4], stem=[table.embedding],
            train=train, validation=validation, test=(table.encode(third[0]), third[1]),
            seeds=arguments.seeds, epochs=arguments.epochs, batch_size=512, folder=out / "runs",
        )
    )  # fmt: skip

    model = new_network(table)
    model.fit(*train, epochs=arguments.epochs, batch_size=512, verbose=2)
    usage = keras_mtl.analysis.expert_usage(model, train[0])
    keras_mtl.plots.plot_expert_usage(usage).figure.savefig(out / "experts.png")
    path = keras_mtl.export(model, out / "feed" / "1", preprocessing=table)
    table.save(out / "table.json")

    served = keras_mtl.load_served(path)
    request = {name: [value] for name, value in json.loads(ROW).items()}
    for task in TASKS:
        print(f"{task} of {ROW}: {served.predict(task, request)[0, 0]:.3f}")

    tomorrow = encoded(second[0])
    later = new_network(tomorrow)
    print(keras_mtl.warm_start(later, model, preprocessing=(tomorrow, table)))
    for name, network in (("warm", later), ("new", new_network(tomorrow))):
        network.fit(tomorrow.encode(second[0]), second[1], epochs=1, batch_size=512, verbose=0)
        logs = network.evaluate(
            tomorrow.encode(third[0]), third[1], batch_size=4096, return_dict=True, verbose=0
        )
        print(f"{name}: mean AUC of the day after {logs['mean_auc']:.4f}")
    print(f"Written to {out}")


if __name__ == "__main__":
    main()
