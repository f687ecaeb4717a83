"""The tasks of run.py, made of TensorFlow Datasets: dicts, task -> (uint8 images, labels)."""

import numpy as np

NUM_POSITIVES, NUM_OF_EACH_OTHER = {"train": 6000, "test": 1000}, {"train": 600, "test": 100}


def load(dataset, data_dir, grouping="superclass"):
    """Returns tasks, training data and test data of a dataset.

    Args:
        dataset: `"fashion_mnist"`, ten tasks that tell one class from the rest, or `"cifar100"`,
            twenty tasks of five classes.
        data_dir: Folder of TensorFlow Datasets; nothing is downloaded.
        grouping: Of CIFAR-100: `"superclass"`, or `"alphabetical"`, five classes in a row.
    """
    import tensorflow_datasets as tfds

    names = ["train", "test"]
    loaded = tfds.load(dataset, split=names, data_dir=data_dir, download=False, batch_size=-1)
    splits = {
        name: {feature: np.asarray(values) for feature, values in split.items()}
        for name, split in zip(names, loaded, strict=True)
    }
    if dataset == "fashion_mnist":
        tasks = {f"class_{number}": "binary" for number in range(10)}
        parts = [one_vs_rest(split, splits[split]) for split in splits]
    else:
        tasks = {f"group_{number}": 5 for number in range(20)}
        parts = [grouped(splits[split], splits["train"], grouping) for split in splits]
    return tasks, *parts


def held_out(parts, share=0.1):
    """Returns training data without, and with nothing but, a share of each task's examples."""
    rest, held = {}, {}
    for task, (images, labels) in parts.items():
        order = np.random.default_rng(0).permutation(len(labels))
        first, cut = order[: round(share * len(order))], order[round(share * len(order)) :]
        held[task], rest[task] = (images[first], labels[first]), (images[cut], labels[cut])
    return rest, held


def one_vs_rest(name, split):
    """Returns a task for each class: its images, and a tenth as many of every other class."""
    rng = np.random.default_rng(0)  # the same examples for every seed of the training
    rows = [np.flatnonzero(split["label"] == number) for number in range(10)]
    parts = {}
    for number, own in enumerate(rows):
        others = [
            rng.choice(other, min(NUM_OF_EACH_OTHER[name], len(other)), replace=False)
            for place, other in enumerate(rows)
            if place != number
        ]
        chosen = np.concatenate([own[: NUM_POSITIVES[name]], *others])
        parts[f"class_{number}"] = split["image"][chosen], split["label"][chosen] == number
    return parts


def grouped(split, train, grouping):
    """Returns a task for each group of five fine classes, which it numbers in their order."""
    parts = {}
    group_of = np.arange(100) // 5
    if grouping == "superclass":
        group_of[train["label"]] = train["coarse_label"]
    for group in range(20):
        classes = np.flatnonzero(group_of == group)
        if len(classes) != 5:
            raise ValueError(f"Group {group} has {len(classes)} classes, not 5: {classes}")
        chosen = np.isin(split["label"], classes)
        labels = np.searchsorted(classes, split["label"][chosen])
        parts[f"group_{group}"] = split["image"][chosen], labels
    return parts
