"""The public contract's code, as printed: people write scripts against it."""

IMPORTS = """\
from functools import partial
import keras, keras_mtl
"""

SEPARATE = (
    IMPORTS
    + """\

conv = partial(keras.layers.Conv2D, 4, activation="relu")
pool = partial(keras.layers.AveragePooling2D, 2)
layers = [
    [partial(conv, 5)] * 4, pool,
    [partial(conv, 3)] * 4, pool,
    [partial(conv, 3)] * 4, keras.layers.Flatten, partial(keras.layers.Dropout, 0.5),
]
tasks = {"upright": 10, "upright_again": 10, "rotated": 10, "rotated_again": 10}
train = keras_mtl.task_batches(tasks, {name: (x[name], y[name]) for name in tasks}, batch_size=16, seed=0)
validation = keras_mtl.task_batches(tasks, {name: (x_val[name], y_val[name]) for name in tasks}, batch_size=64, order="sequential")

model = keras_mtl.build_gumbel_matrix(keras.Input((28, 28, 1)), tasks, layers, task_data="separate", init_probability=0.5, budget=0.75, budget_weight=1.0)
model.compile(keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.005), allocation_learning_rate=0.005))
model.fit(train, epochs=2, validation_data=validation)     # temperature and its counter live in the model: no callback to forget

model.evaluate(validation, return_dict=True)       # loss, budget_penalty, upright_accuracy, ..., mean_accuracy
keras_mtl.allocation(model)                        # [(T, C) array of 0/1 for each modular layer], in the order of tasks
keras_mtl.allocation_probabilities(model)          # the same shapes, in [0, 1]
keras_mtl.task_embeddings(model)                   # (T, sum of C): the concatenated rows
keras_mtl.task_similarity(model)                   # (T, T) cosine similarity
keras_mtl.sharing_report(model)                    # printable: parameters, FLOPs and components per task, unused components, overlap
"""  # noqa: E501
)

FREEZE = """\
frozen = keras_mtl.freeze(model)                   # plain keras.Model: maximum-likelihood allocation, unused components gone
upright = keras_mtl.freeze(model, "upright")       # plain single-task model: input x, output (batch, 10); no task_id, no randomness
upright.save("upright.keras")                      # loads where keras_mtl is not installed
path = keras_mtl.export(model, "saved_models/digits/1")   # SavedModel: one signature per task (named as it) + serving_default, weights once, allocation + manifest in assets.extra
keras_mtl.export(model, "digits_onnx", format="onnx")     # one file per task; also "litert"; default format="tf_saved_model"
served = keras_mtl.load_served(path)               # checks the manifest, lists tasks
served.predict("upright", x)
"""  # noqa: E501

SEARCH = """\
import keras_tuner
tuner = keras_tuner.BayesianOptimization(
    keras_mtl.tuning.hypermodel(keras_mtl.build_gumbel_matrix, keras.Input((28, 28, 1)), tasks, layers, task_data="separate"),
    objective=keras_tuner.Objective("val_mean_accuracy", "max"), max_trials=10, directory="search")
tuner.search(train, validation_data=validation, epochs=3)
"""  # noqa: E501

GROW = """\
grown = keras_mtl.add_task(model, "braille", 26)   # learns the new task's rows and head only (and, for MT-RMN, its decoder)
"""  # noqa: E501

GROW_DATA = """\
task_batches({**tasks, "braille": 26}, {"braille": (x_new, y_new)}, batch_size=16)
"""

SEQUENCES = """\
tokens = keras.Input((None,), dtype="int32")
embed = partial(keras.layers.Embedding, 20_000, 64, mask_zero=True)
tasks = {"chunk": keras_mtl.Task("tagging", 22), "pos": keras_mtl.Task("tagging", 44)}
sluice = keras_mtl.build_sluice(tokens, tasks, [[partial(keras_mtl.layers.BiLSTM, 100)] * 2] * 3, stem=[embed], num_subspaces=2)
modular = keras_mtl.build_recurrent_modular(tokens, tasks, stem=[embed], num_cells=3, cell_units=50, num_sub_encoders=(3, 3), units=(32, 32), open_fraction=0.75)
"""  # noqa: E501

SLUICE_WEIGHTS = """\
sluice.get_layer("stitch_1").alpha                 # and keras_mtl.plots.plot_alpha(sluice)
"""

ROUTING = """\
keras_mtl.routing_over_time(modular, token_batch)  # {task: (time, layer, sub-network) share of open connections}
"""  # noqa: E501

COLUMNS = """\
from keras_mtl.data import TableEncoder

table = TableEncoder(categorical=["user_id", "video_id", "tab"], numeric=["duration"], sequences=["tags"], embedding_dim=16)
table.adapt(train_columns)                          # a dict of columns, a DataFrame, or a tf.data.Dataset of dicts
dense = partial(keras.layers.Dense, 64, activation="relu")
tasks = {"click": "binary", "long_view": keras_mtl.Task("binary", given="click"), "like": "binary"}
model = keras_mtl.build_mmoe(table.inputs(), tasks, [[dense] * 4], stem=[table.embedding], tower_units=(32,))
model.compile(keras.optimizers.Adam(1e-3))
model.fit(table.encode(train_columns), labels, epochs=1, batch_size=1024)
path = keras_mtl.export(model, folder + "/feed/1", preprocessing=table)
keras_mtl.load_served(path).predict("long_view", {"user_id": ["u1"], "video_id": ["v9"], "tab": ["home"], "duration": [12.0], "tags": [["music", "live"]]})
"""  # noqa: E501

COMPARE = """\
comparison = keras_mtl.compare(
    {"MMoE": partial(keras_mtl.build_mmoe, tower_units=(8,)), "Gumbel-Matrix": keras_mtl.build_gumbel_matrix},
    keras.Input((12,)), {"income": "binary", "age_group": 5}, [[dense] * 4],
    train=(x, y), validation=(x_val, y_val), test=(x_test, y_test), seeds=3, epochs=2, folder=folder + "/runs")
print(comparison)                                    # mean and interval of every task, Delta against single task, parameters, FLOPs, seconds
comparison.negative_transfer()                       # which task loses by which method, with its test
comparison.plot()
"""  # noqa: E501
