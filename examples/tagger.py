"""Tags words with two kinds of labels, and serves strings.

A sluice network learns part-of-speech tags and chunks of the same sentences and how much its
two towers share, next to single networks; then it is exported with its vocabulary, loaded as
a server would and asked about sentences it has not seen. Without --conll, sentences are made
from a small grammar.

    python examples/tagger.py
    python examples/tagger.py --conll conll2000/train.txt.gz --epochs 6
"""

import argparse
import pathlib
import tempfile
from functools import partial

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import SentenceEncoder, read_columns, sentence_batches, tag_ids

TASKS = ("pos", "chunk")
TOWERS = [[partial(keras_mtl.layers.BiLSTM, 16)] * 2] * 2
WORDS = {
    "DT": "the a this every",
    "JJ": "small red noisy old quick",
    "NN": "dog cat river house child engine",
    "VB": "sees finds carries hears leaves",
    "RB": "quickly often never",
    "IN": "near behind under with",
}


def made_sentences(number, seed):
    """Returns sentences of a small grammar: words, part-of-speech tags, chunk tags."""
    rng = np.random.default_rng(seed)
    sentences = {"word": [], "pos": [], "chunk": []}

    def chunk(name, *tags):
        words = [(rng.choice(WORDS[tag].split()), tag) for tag in tags]
        return [
            (word, tag, f"{'I' if place else 'B'}-{name}")
            for place, (word, tag) in enumerate(words)
        ]

    def noun_phrase():
        return chunk("NP", "DT", *["JJ"] * rng.integers(0, 3), "NN")

    for _ in range(number):
        verb = ["RB", "VB"] if rng.random() < 0.5 else ["VB"]
        rows = noun_phrase() + chunk("VP", *verb) + noun_phrase()
        if rng.random() < 0.5:
            rows += chunk("PP", "IN") + noun_phrase()
        for column, values in zip(sentences, zip(*rows, strict=True), strict=True):
            sentences[column].append(list(values))
    return sentences


def load(path):
    """Returns training and test sentences."""
    if path is None:
        return made_sentences(400, seed=0), made_sentences(100, seed=1)
    sentences = read_columns(path, ["word", "pos", "chunk"])
    return [
        {name: values[rows] for name, values in sentences.items()}
        for rows in (slice(1000, None), slice(1000))
    ]


def prepare(train):
    """Returns the encoder of words, the names of tags by task, and batches of sentences."""
    encoder = SentenceEncoder(lowercase=True, zero_digits=True)
    encoder.adapt(train["word"])
    names = {task: sorted({tag for tags in train[task] for tag in tags}) for task in TASKS}
    labels = {task: tag_ids(train[task], names[task]) for task in TASKS}
    return encoder, names, sentence_batches(encoder.encode(train["word"]), labels, 32, seed=0)


def trained(build, encoder, names, batches, epochs, layers=TOWERS):
    """Returns a fitted tagger of any method."""
    tasks = {task: keras_mtl.Task("tagging", len(tags)) for task, tags in names.items()}
    stem = [
        partial(keras_mtl.layers.WordDropout, 0.1, seed=0),
        partial(keras.layers.Embedding, encoder.num_words, 32, mask_zero=True),
    ]
    keras.utils.set_random_seed(0)
    model = build(encoder.inputs(), tasks, layers, stem=stem, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(batches, epochs=epochs, verbose=0)
    return model


def scores(model, encoder, names, test):
    """Returns how well a tagger does on other sentences, by task."""
    predicted = model.predict(encoder.encode(test["word"]), verbose=0)
    found = {}
    for task, tag_names in names.items():
        known = [[tag if tag in tag_names else None for tag in tags] for tags in test[task]]
        y = tag_ids(known, tag_names)
        found[task] = keras_mtl.analysis.tagging_scores(y, predicted[task], tag_names)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conll", type=pathlib.Path, help="file in the format of CoNLL-2000")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=pathlib.Path, help="folder of the export")
    arguments = parser.parse_args()
    out = arguments.out or pathlib.Path(tempfile.mkdtemp())

    train, test = load(arguments.conll)
    encoder, names, batches = prepare(train)
    for build in (keras_mtl.build_single_tasks, keras_mtl.build_sluice):
        model = trained(build, encoder, names, batches, arguments.epochs)
        print(build.__name__)
        for task, found in scores(model, encoder, names, test).items():
            print(f"  {task:6}", found)

    print("\nshare of what a tower reads from the other one, by layer and task")
    print(keras_mtl.analysis.cross_task_mass(model).round(2))
    path = keras_mtl.export(model, out / "tagger" / "1", preprocessing=encoder)
    served = keras_mtl.load_served(path)
    for sentence in ("The noisy dog never hears the zeppelin", ""):
        tags = served.predict("chunk", [sentence])[0].argmax(axis=-1)
        print([(w, names["chunk"][t]) for w, t in zip(sentence.split(), tags, strict=False)])
    print(f"\nserved from {path}: signatures {', '.join(served.tasks)}")


if __name__ == "__main__":
    main()
