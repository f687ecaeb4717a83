"""Tagging of code-switched text: what recurrent modular networks add to four base networks.

Source: Xu et al., "Multi-Task Recurrent Modular Networks", AAAI 2021, Table 3, and Gupta et al.,
"GIRNet", AAAI 2019: parts of speech of sentences that mix two languages, the primary task, beside
those of each language alone. Differs from the papers: no WhatsApp sentences; Hindi is UD Hindi, in
another script than the primary task's; a validation part to stop early on, in place of the best
test accuracy; sentences in pieces of 24 words, 3,000 of each language; 50 units in GIRNet too.

    export KERAS_BACKEND=jax
    python -m benchmarks.tagging.code_switching sizes --data DATA
    python -m benchmarks.tagging.code_switching run --data DATA --results hi_en.jsonl
    python -m benchmarks.tagging.code_switching run --pair tr_de --data DATA --results tr_de.jsonl
    python -m benchmarks.tagging.code_switching table hi_en.jsonl tr_de.jsonl

DATA has code_switch_hi_en/, conll2000/ and ud/. A finished run is kept and not run again.
"""

import argparse
import itertools
import json
import pathlib
import time
from collections import defaultdict
from functools import partial

import keras
import numpy as np

import keras_mtl
from benchmarks.finished_runs import FinishedRuns
from keras_mtl.data import SentenceEncoder, read_columns, read_conllu, tag_ids, task_batches

PRIMARY = "mixed"
UNITS, EMBEDDING, LENGTH, BATCH = 50, 64, 24, 32
LEARNING_RATE, PATIENCE, ROUNDS = 3e-3, 4, 20  # an epoch is 20 batches of each task
TOWERS = [[partial(keras.layers.LSTM, UNITS, return_sequences=True)] * 3]
BASES = {
    "NS-MTL": partial(keras_mtl.build_no_sharing, layers=TOWERS),
    "cross-stitch": partial(keras_mtl.build_cross_stitch, layers=TOWERS),
    "sluice": partial(keras_mtl.build_sluice, layers=TOWERS),
    "GIRNet": partial(keras_mtl.build_girnet, primary=PRIMARY, units=UNITS),
}
METHODS = BASES | {
    f"{name} + MT-RMN": partial(keras_mtl.build_recurrent_modular, base=base, cell_units=UNITS)
    for name, base in BASES.items()
}


def conllu(path, tag="upos"):
    """Returns words and tags of a treebank, lists of sentences."""
    return list(read_conllu(path, ("form", tag)).values())


def joined(*parts):
    return [sum(lists, []) for lists in zip(*parts, strict=True)]


def hi_en(folder):
    """Hindi-English: 80 % of each file, of which the last 15 % validate; the last 20 % test."""
    cuts = []
    for platform in ("FB", "TWT"):
        path = folder / "code_switch_hi_en" / f"{platform}_HI_EN_CR.txt.gz"
        columns = read_columns(path, ["word", "language", "tag"], separator="\t")
        end = round(0.8 * len(columns["word"]))
        ranges = slice(0, round(0.85 * end)), slice(round(0.85 * end), end), slice(end, None)
        cuts.append([(columns["word"][cut], columns["tag"][cut]) for cut in ranges])
    train, validation, test = (joined(*parts) for parts in zip(*cuts, strict=True))
    english = read_columns(folder / "conll2000" / "train.txt.gz", ["word", "tag", "chunk"])
    treebanks = [folder / "ud" / f"hi-ud-{part}.ud1.2.conllu.gz" for part in ("dev", "test")]
    auxiliary = {
        "hindi": joined(*(conllu(path, "xpos") for path in treebanks)),
        "english": (english["word"], english["tag"]),
    }
    return {PRIMARY: train, **auxiliary, "validation": validation, "test": test}


def tr_de(folder):
    """Turkish-German: the parts of the treebank SAGT."""
    names = {
        PRIMARY: "qtd_sagt-ud-train", "turkish": "tr_imst-ud-train", "german": "de_pud-ud-test",
        "validation": "qtd_sagt-ud-dev", "test": "qtd_sagt-ud-test",
    }  # fmt: skip
    return {part: conllu(folder / "ud" / f"{name}.conllu.gz") for part, name in names.items()}


PAIRS = {"hi_en": hi_en, "tr_de": tr_de}


class Corpus:
    """Sentences of three tasks and two held-out parts of the primary one, as arrays."""

    def __init__(self, pair, folder, num_auxiliary):
        self.parts = PAIRS[pair](folder)
        auxiliary = [part for part in self.parts if part not in (PRIMARY, "validation", "test")]
        for task in auxiliary:
            self.parts[task] = [sentences[:num_auxiliary] for sentences in self.parts[task]]
        self.tag_names = {
            part: sorted(set(itertools.chain(*tags))) for part, (_, tags) in self.parts.items()
        }
        held_out = set(self.tag_names.pop("validation") + self.tag_names.pop("test"))
        self.tag_names[PRIMARY] = sorted(held_out.union(self.tag_names[PRIMARY]))
        self.tasks = {
            task: keras_mtl.Task("tagging", len(self.tag_names[task]))
            for task in (PRIMARY, *auxiliary)
        }
        self.encoder = SentenceEncoder(lowercase=True)
        known = itertools.chain(*(self.parts[task][0] for task in self.tasks))
        self.encoder.adapt(list(known), min_count=2)

    def arrays(self, part):
        """Returns word ids and tag ids of one part, in pieces, so that no word is cut off."""
        words, tags = (
            [each[start : start + LENGTH] for each in both for start in range(0, len(each), LENGTH)]
            for both in self.parts[part]
        )
        names = self.tag_names.get(part, self.tag_names[PRIMARY])
        return self.encoder.encode(words, LENGTH), tag_ids(tags, names, LENGTH)

    def training_batches(self, seed):
        data = {task: self.arrays(task) for task in self.tasks}
        steps = ROUNDS * len(self.tasks)
        return task_batches(self.tasks, data, BATCH, seed=seed, steps_per_epoch=steps)

    def scores(self, predicted):
        """Returns what tags, or their probabilities, score on the test part."""
        tags, names = self.arrays("test")[1], self.tag_names[PRIMARY]
        scores = keras_mtl.analysis.tagging_scores(tags, predicted, names)
        return {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}

    def most_frequent_tags(self):
        """Returns for the words of the test part the tag that each has most often in training."""
        words, tags = self.arrays(PRIMARY)
        counts = np.zeros((self.encoder.num_words, len(self.tag_names[PRIMARY])))
        np.add.at(counts, (words[tags >= 0], tags[tags >= 0]), 1)
        counts += 1e-6 * counts.sum(axis=0)  # decides on words of auxiliary tasks only
        return counts.argmax(axis=-1)[self.arrays("test")[0]]


def train(corpus, method, seed, epochs):
    """Trains one network, with early stopping on the primary task, and returns what it scores."""
    keras.utils.set_random_seed(seed)
    inputs, num_words = corpus.encoder.inputs(), corpus.encoder.num_words
    stem = [partial(keras.layers.Embedding, num_words, EMBEDDING, mask_zero=True)]
    model = METHODS[method](inputs, corpus.tasks, task_data="separate", stem=stem, seed=seed)
    model.compile(keras.optimizers.Adam(LEARNING_RATE))
    stop = keras.callbacks.EarlyStopping(
        f"val_{PRIMARY}_accuracy", patience=PATIENCE, mode="max", restore_best_weights=True
    )
    held_out = {PRIMARY: corpus.arrays("validation")}
    validation = task_batches(corpus.tasks, held_out, BATCH, order="sequential")
    batches, start = corpus.training_batches(seed), time.time()
    history = model.fit(
        batches, validation_data=validation, epochs=epochs, callbacks=[stop], verbose=0
    )
    words, _ = corpus.arrays("test")
    inputs = {"inputs": words, "task_id": np.zeros(len(words), "int32")}  # the first task
    predicted = model.predict(inputs, verbose=0)[..., : corpus.tasks[PRIMARY].size]
    return {
        "parameters": model.count_params(),
        "best_epoch": stop.best_epoch + 1,
        "validation_curve": [round(float(value), 4) for value in history.history[stop.monitor]],
        "minutes": round((time.time() - start) / 60, 1),
        "backend": keras.backend.backend(),
        "test": corpus.scores(predicted),
    }


def run(arguments):
    """Trains all methods with one seed, then with the next."""
    keep = FinishedRuns(arguments.results)
    corpus = Corpus(arguments.pair, arguments.data, arguments.auxiliary)
    for seed, method in itertools.product(arguments.seeds, arguments.methods):
        key = {"pair": arguments.pair, "method": method, "seed": seed}
        keep.once(key, partial(train, corpus, method, seed, arguments.epochs))


def sizes(arguments):
    """Prints what the corpora hold, and how many words of the test part occur in each."""
    corpus = Corpus(arguments.pair, arguments.data, arguments.auxiliary)
    tested = [word.lower() for words in corpus.parts["test"][0] for word in words]
    print(f"sentences, words, longer than {LENGTH}, pieces, tags, unknown, share of test words")
    for part, (sentences, _) in corpus.parts.items():
        lengths, (words, tags) = np.array(list(map(len, sentences))), corpus.arrays(part)
        vocabulary = {word.lower() for words in sentences for word in words}
        counts = [len(lengths), lengths.sum(), np.sum(lengths > LENGTH), len(words)]
        counts.append(len(np.unique(tags)) - 1)  # -1 is padding
        shares = np.mean(words[words > 0] == 1), np.mean([word in vocabulary for word in tested])
        print(f"{part:12}", *(f"{n:7,}" for n in counts), *(f"{share:7.1%}" for share in shares))
    print("most frequent tag of each word:", corpus.scores(corpus.most_frequent_tags()))


def text(runs):
    """Returns mean and standard error over seeds of accuracy and macro F1, in percent."""
    scores = 100 * np.array([[run["accuracy"], run["macro_f1"]] for run in runs])
    errors = scores.std(axis=0, ddof=1) / len(runs) ** 0.5 if len(runs) > 1 else [np.nan] * 2
    pairs = zip(scores.mean(axis=0), errors, strict=True)
    return "".join(f"{mean:8.2f} ± {error:4.2f}" for mean, error in pairs)


def table(arguments):
    """Prints the scores of all methods, and what MT-RMN adds to each base network."""
    found = defaultdict(dict)
    for line in itertools.chain(*(path.open() for path in arguments.results)):
        run = json.loads(line)
        found[run["pair"], run["method"]][run["seed"]] = run
    for (pair, method), runs in found.items():
        scores = text([run["test"] for run in runs.values()])
        (size,) = {run["parameters"] for run in runs.values()}
        epochs = [run["best_epoch"] for run in runs.values()]
        print(f"{pair} {method:24}{len(runs)} seeds{scores}{size:10,}  best epochs {epochs}")
    for (pair, method), runs in found.items():
        extended = found.get((pair, f"{method} + MT-RMN"), {})
        gains = [
            {score: extended[seed]["test"][score] - value for score, value in run["test"].items()}
            for seed, run in runs.items()
            if seed in extended
        ]
        if gains:
            print(f"{pair} MT-RMN adds to {method:14}{len(gains)} seeds{text(gains)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for command in (run, sizes):
        options = commands.add_parser(command.__name__, help=command.__doc__)
        options.set_defaults(command=command)
        options.add_argument("--pair", choices=PAIRS, default="hi_en")
        options.add_argument("--data", type=pathlib.Path, required=True, help="folder")
        options.add_argument("--auxiliary", type=int, default=3000, help="sentences of a task")
        if command is run:
            options.add_argument("--results", type=pathlib.Path, required=True)
            options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
            options.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
            options.add_argument("--epochs", type=int, default=15, help="at most")
    options = commands.add_parser("table", help=table.__doc__)
    options.set_defaults(command=table)
    options.add_argument("results", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
