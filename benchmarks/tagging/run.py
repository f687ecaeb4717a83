"""Sequence tagging with loosely related tasks: what cross-stitch and sluice networks gain.

Source: Ruder et al. 2017, https://arxiv.org/abs/1705.08142, sections 5 and 6: three BiLSTM
layers, word and character features, a main task and part-of-speech tagging. Differs from the
paper: the data (OntoNotes is not free), 64 units instead of 100, layers read both directions
of the one below, characters by convolution, Adam at 0.002, dropout
0.3 on word features, word dropout 0.05.

    python -m benchmarks.tagging.run conll --data CONLL --results conll.jsonl
    python -m benchmarks.tagging.run domains --data EWT --results domains.jsonl
    python -m benchmarks.tagging.run noise --data CONLL --results noise.jsonl
    python -m benchmarks.tagging.run ablation --data CONLL --results ablation.jsonl

CONLL is conll2000/train.txt.gz, EWT en_ewt-ud-train.conllu.gz. A finished run is kept in the
results and not run again; tables.py prints them.
"""

import argparse
import pathlib
import time

import keras
import numpy as np

import keras_mtl
from benchmarks.finished_runs import FinishedRuns
from benchmarks.tagging.networks import ABLATION, AUXILIARY, MAIN, METHODS, Weighted, compiled
from keras_mtl.data import SentenceEncoder, read_columns, read_conllu, sentence_batches, tag_ids

BOUNDARIES = (12, 24, 36, 60)
MAX_LENGTH = 80


class Corpus:
    """Sentences with two kinds of tags, as arrays, and how words and tags are numbered.

    Args:
        parts: Dict, name of the part -> dict with "word", "main" and "pos", lists of
            sentences. Words are numbered by the part named "train".
        batch_size: Sentences in a batch.
    """

    def __init__(self, parts, batch_size):
        self.batch_size = batch_size
        self.encoder = SentenceEncoder(lowercase=True, zero_digits=True, word_length=12)
        self.encoder.adapt(parts["train"]["word"], min_count=2)
        self.tags = {
            task: sorted({tag for part in parts.values() for tags in part[task] for tag in tags})
            for task in (MAIN, AUXILIARY)
        }
        self.tasks = {
            task: keras_mtl.Task("tagging", len(tags)) for task, tags in self.tags.items()
        }
        self.x = {
            name: self.encoder.encode(part["word"], MAX_LENGTH) for name, part in parts.items()
        }
        self.y = {
            name: {task: tag_ids(part[task], self.tags[task], MAX_LENGTH) for task in self.tags}
            for name, part in parts.items()
        }

    def batches(self, part, model, seed=0):
        """Returns batches of a part, with the labels that a model learns."""
        labels = {task: self.y[part][task] for task in tasks_of(model)}
        batches = sentence_batches(self.x[part], labels, self.batch_size, BOUNDARIES, seed)
        return batches if hasattr(model, "tasks") else Weighted(batches)

    def steps_per_epoch(self):
        """Returns roughly how many batches the training part has."""
        return -(-len(self.y["train"][MAIN]) // self.batch_size)

    def scores(self, model, part):
        """Returns what a model scores on the main task, and its accuracy on the other."""
        predicted = model.predict(self.x[part], batch_size=100, verbose=0)
        if not isinstance(predicted, dict):
            predicted = {MAIN: predicted}
        found = {}
        for task in tasks_of(model):
            scores = keras_mtl.analysis.tagging_scores(
                self.y[part][task], predicted[task], self.tags[task]
            )
            found[task] = {"accuracy": scores.accuracy, "span_f1": scores.span_f1}
        return found


def tasks_of(model):
    """Returns the names of a model's tasks; a plain Keras model has the main task."""
    return list(getattr(model, "tasks", [MAIN]))


def split(sentences, sizes, seed=0):
    """Returns random parts of a corpus; what is left over after `sizes` is "train"."""
    order = np.random.default_rng(seed).permutation(len(sentences["word"]))
    parts, start = {}, 0
    for name, size in {**sizes, "train": len(order) - sum(sizes.values())}.items():
        rows = order[start : start + size]
        parts[name] = {
            column: [values[row] for row in rows] for column, values in sentences.items()
        }
        start += size
    return parts


def conll(path):
    sentences = read_columns(path, ["word", AUXILIARY, MAIN])
    return split(sentences, {"dev": 500, "test": 1000})


def train(corpus, method, seed, epochs, patience):
    """Trains one network with early stopping on the main task and returns it."""
    keras.utils.set_random_seed(seed)
    model = compiled(method, corpus.encoder, corpus.tasks, seed, corpus.steps_per_epoch())
    score = f"val_{MAIN}_accuracy" if hasattr(model, "tasks") else "val_accuracy"
    start = time.time()
    history = model.fit(
        corpus.batches("train", model, seed),
        validation_data=corpus.batches("dev", model),
        epochs=epochs,
        callbacks=[
            keras.callbacks.EarlyStopping(
                score, patience=patience, mode="max", restore_best_weights=True
            )
        ],
        verbose=0,
    )
    return model, {
        "method": method,
        "seed": seed,
        "epochs": len(history.epoch),
        "parameters": model.count_params(),
        "minutes": round((time.time() - start) / 60, 1),
        "backend": keras.backend.backend(),
    }


def run_conll(arguments, keep):
    """Chunking with part-of-speech tags, on all of the training part and on a tenth."""
    for fraction in arguments.fractions:
        patience = 2 if fraction == 1 else 6
        for seed in range(arguments.seeds):
            parts = conll(arguments.data)
            size = round(fraction * len(parts["train"]["word"]))
            parts["train"] = {c: values[:size] for c, values in parts["train"].items()}
            corpus = None
            for method in arguments.only or METHODS:
                key = {"experiment": "conll", "fraction": fraction, "method": method, "seed": seed}
                if keep.has(key):
                    continue
                corpus = corpus or Corpus(parts, arguments.batch_size)
                epochs = arguments.epochs * (6 if fraction < 1 else 1)
                model, facts = train(corpus, method, seed, epochs, patience)
                keep(key, facts | {"test": corpus.scores(model, "test")})


def run_ablation(arguments, keep):
    """The grid of Table 6: alpha, connections of layers, subspaces; a tenth of the data."""
    parts = conll(arguments.data)
    size = len(parts["train"]["word"]) // 10
    parts["train"] = {column: values[:size] for column, values in parts["train"].items()}
    corpus = Corpus(parts, arguments.batch_size)
    for seed in range(arguments.seeds):
        for method in ABLATION:
            key = {"experiment": "ablation", "method": method, "seed": seed}
            if not keep.has(key):
                model, facts = train(corpus, method, seed, 6 * arguments.epochs, patience=6)
                keep(key, facts | {"test": corpus.scores(model, "test")})


def run_domains(arguments, keep):
    """Dependency labels with part-of-speech tags: trained on one genre, tested on all."""
    columns = read_conllu(arguments.data, ("form", "deprel", "upos", "sent_id"))
    sentences = {"word": columns["form"], MAIN: columns["deprel"], AUXILIARY: columns["upos"]}
    genres = np.array([sent_id.split("-")[0] for sent_id in columns["sent_id"]])
    names = sorted(set(genres.tolist()))
    by_genre = {}
    for genre in names:
        rows = np.flatnonzero(genres == genre)
        own = {column: [values[row] for row in rows] for column, values in sentences.items()}
        by_genre[genre] = split(own, {"dev": len(rows) // 8, "test": len(rows) // 4})
    for seed in range(arguments.seeds):
        for source in arguments.sources or names:
            corpus = None
            for method in METHODS:
                key = {"experiment": "domains", "source": source, "method": method, "seed": seed}
                if keep.has(key):
                    continue
                if corpus is None:
                    tests = {genre: by_genre[genre]["test"] for genre in names}
                    own = by_genre[source]
                    corpus = Corpus(
                        {"train": own["train"], "dev": own["dev"], **tests}, arguments.batch_size
                    )
                model, facts = train(corpus, method, seed, 2 * arguments.epochs, patience=3)
                scores = {genre: corpus.scores(model, genre) for genre in names}
                keep(key, facts | {"test": scores})


def run_noise(arguments, keep):
    """Figure 3: how fast random chunk labels are learned, beside gold part-of-speech tags."""
    parts = conll(arguments.data)
    sentences = {column: values[:300] for column, values in parts["train"].items()}
    corpus = Corpus({"train": sentences}, arguments.batch_size)
    labels, rng = corpus.y["train"], np.random.default_rng(0)
    words = labels[MAIN] >= 0
    labels[MAIN] = np.where(words, rng.integers(0, len(corpus.tags[MAIN]), words.shape), -1)
    labels[MAIN][200:] = -1
    labels[AUXILIARY][:200] = -1
    for seed in range(arguments.seeds):
        for method in ("single task", "hard sharing", "sluice"):
            key = {"experiment": "noise", "method": method, "seed": seed}
            if keep.has(key):
                continue
            keras.utils.set_random_seed(seed)
            model = compiled(
                method, corpus.encoder, corpus.tasks, seed, corpus.steps_per_epoch(), dropout=0.0
            )
            history = model.fit(
                corpus.batches("train", model, seed), epochs=10 * arguments.epochs, verbose=0
            )
            curve = history.history[f"{MAIN}_accuracy"]
            keep(key, {"curve": [round(float(value), 4) for value in curve]})


RUNS = {"conll": run_conll, "ablation": run_ablation, "domains": run_domains, "noise": run_noise}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=RUNS)
    parser.add_argument("--data", type=pathlib.Path, help="file with the sentences")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="at most, on all of CoNLL-2000")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 1.0], help="of CoNLL")
    parser.add_argument("--only", nargs="+", help="methods of CoNLL, or VARIANTS of networks.py")
    parser.add_argument("--sources", nargs="+", help="genres to train on; all, if not given")
    parser.add_argument("--results", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    RUNS[arguments.experiment](arguments, FinishedRuns(arguments.results))


if __name__ == "__main__":
    main()
