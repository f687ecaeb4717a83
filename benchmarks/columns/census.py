"""Census-Income from its raw columns to a served answer: how many lines does a user write?

    python -m benchmarks.columns.census DATA OUT

DATA is the folder of census-income.data.gz, OUT a new one. Three tasks; MMoE against single tasks,
shared bottom and others over three seeds by the area under the curve; a search; an export that
takes raw columns.
"""

import sys
from functools import partial

import keras
import keras_tuner
import pandas as pd

import keras_mtl
from keras_mtl.data import TableEncoder

folder, out = sys.argv[1:]
frame = pd.read_csv(f"{folder}/census-income.data.gz", header=None, skipinitialspace=True)
frame = frame.rename(columns="column_{}".format).sample(frac=1, random_state=0)
numeric = [f"column_{n}" for n in (0, 5, 16, 17, 18, 30, 39)]
others = [f"column_{n}" for n in range(41) if n not in (0, 5, 16, 17, 18, 30, 39, 4, 7, 24)]
college = "Some college", "Associates", "Bachelors", "Masters", "Prof school", "Doctorate"
frame["income"] = frame.column_41 == "50000+."
frame["never_married"] = frame.column_7 == "Never married"
frame["college"] = frame.column_4.str.startswith(college)
labels = ["income", "never_married", "college"]
tasks = {name: keras_mtl.Task("binary", metrics=["AUC"]) for name in labels}
table = TableEncoder(others, numeric, embedding_dim=4)
table.adapt(frame[:150_000])


def part(rows):
    return table.encode(rows), {name: rows[name].to_numpy("float32") for name in labels}


data = {"train": part(frame[:150_000]), "validation": part(frame[150_000:175_000])}
network = [[partial(keras.layers.Dense, 32, activation="relu")] * 4]
common = {"inputs": table.inputs(), "tasks": tasks, "layers": network, "stem": [table.embedding]}
runs = {"seeds": 3, "epochs": 3, "batch_size": 1024, "folder": out, "test": part(frame[175_000:])}
print(keras_mtl.compare({"MMoE": keras_mtl.build_mmoe}, **common, **data, **runs))

space = keras_mtl.tuning.hypermodel(keras_mtl.build_mmoe, **common)
goal = keras_tuner.Objective("val_mean_auc", "max")
tuner = keras_tuner.RandomSearch(space, goal, max_trials=4, directory=out, seed=0)
tuner.search(*data["train"], validation_data=data["validation"], epochs=2, batch_size=1024)

path = keras_mtl.export(tuner.get_best_models()[0], f"{out}/1", preprocessing=table)
print(keras_mtl.load_served(path).predict("income", frame[-5:][[*others, *numeric]]))
