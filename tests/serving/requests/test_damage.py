"""Two hundred damaged exports and saved networks: each is named, or answers right."""

import collections
import json
import random
import shutil
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import export, load_served
from tests.serving.damage import (
    ALLOCATION,
    MANIFEST,
    edit_allocation,
    edit_manifest,
    flip_a_bit,
)

pytestmark = [pytest.mark.saved_model, pytest.mark.slow]

ODD = [None, True, -1, 0, 2, 2**70, 1.5, 1e308, "", "x", "multilabel", "../x", [], ["x"], {}]


def places(content, wanted=lambda path: True, path=()):
    """Yields the places of a JSON content, as what holds them and their name or number there."""
    if isinstance(content, dict | list):
        for name in list(content) if isinstance(content, dict) else range(len(content)):
            if wanted((*path, name)):
                yield content, name
            yield from places(content[name], wanted, (*path, name))


def mutate(content, draw, wanted=lambda path: True):
    """Changes one place of a JSON content."""
    holder, name = draw.choice(list(places(content, wanted)))
    way = draw.choice(["value", "value", "leave out", "other name", "twice", "turn around"])
    if way == "leave out":
        del holder[name]
    elif way == "other name" and isinstance(holder, dict):
        holder[draw.choice(["x", "age", "income", name + "_"])] = holder.pop(name)
    elif way == "twice" and isinstance(holder, list):
        holder.append(holder[name])
    elif way == "turn around" and isinstance(holder, list):
        holder.reverse()
    else:
        holder[name] = draw.choice(ODD)


def files_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file())


def cut(file, draw):
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content))])


def blank(file, draw):
    content = bytearray(file.read_bytes())
    start = draw.randrange(len(content))
    content[start : start + 64] = b"\0" * len(content[start : start + 64])
    file.write_bytes(content)


def fill(file, draw):
    file.write_bytes(file.read_bytes() + draw.randbytes(9))


def flip(file, draw):
    for _ in range(draw.choice([1, 1, 3])):
        flip_a_bit(file, draw.randrange(file.stat().st_size), draw.randrange(8))


def empty(file, draw):
    file.write_bytes(b"")


def remove(file, draw):
    file.unlink()


def rename(file, draw):
    file.rename(file.with_name(file.name + "~"))


def make_folder(file, draw):
    file.unlink()
    file.mkdir()


def break_link(file, draw):
    file.unlink()
    file.symlink_to("gone")


DAMAGED_FILE = [flip, flip, flip, cut, blank, fill, empty, remove, rename, make_folder, break_link]


def damage_a_file(path, other, draw):
    draw.choice(DAMAGED_FILE)(draw.choice(files_of(path)), draw)


def damage_the_manifest(path, other, draw):
    draw.choice(DAMAGED_FILE)(path / MANIFEST, draw)


def damage_an_early_manifest(path, other, draw):
    edit_manifest(path, lambda content: content.pop("sha256"))
    draw.choice([flip, flip, cut, blank])(path / MANIFEST, draw)


def swap_a_file(path, other, draw):
    file = draw.choice(files_of(path))
    shutil.copyfile(other / file.relative_to(path), file)


def swap_a_folder(path, other, draw):
    name = draw.choice(["assets.extra", "variables"])
    shutil.rmtree(path / name)
    shutil.copytree(other / name, path / name)


def exchange_two_files(path, other, draw):
    one, two = draw.sample(files_of(path), 2)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def add_a_file(path, other, draw):
    name = draw.choice(["x", "saved_model.pbtxt", "saved_model.cpb", "variables/x", "debug/x"])
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_bytes(draw.randbytes(20))


def edit(path, other, draw):
    sealed = draw.random() < 0.5
    edit_manifest(path, lambda content: mutate(content, draw), sealed)


def edit_without_seal(path, other, draw):
    edit_manifest(path, lambda content: content.pop("sha256"))
    edit_manifest(path, lambda content: mutate(content, draw))


def edit_rows(path, other, draw):
    edit_allocation(path, lambda content: mutate(content, draw))


def edit_both(path, other, draw):
    """Gives a task another name, or leaves it out, wherever it stands."""
    old, new = draw.sample(["income", "age", "height", "hobbies"], 2)
    new = draw.choice([new, "x"])
    for file in (path / ALLOCATION, path / MANIFEST):
        file.write_text(file.read_text().replace(f'"{old}"', f'"{new}"'))
    edit_allocation(path, lambda content: None)


OF_EXPORTS = [
    damage_a_file, damage_a_file, damage_a_file, damage_the_manifest, damage_an_early_manifest,
    swap_a_file, swap_a_folder, exchange_two_files, add_a_file, edit, edit, edit_without_seal,
    edit_rows, edit_rows, edit_both,
]  # fmt: skip


def sequences():
    """Returns an untrained network of the tasks of `build`, that reads sequences and streams."""
    kinds = {"income": "binary", "age": "tagging", "height": "regression", "hobbies": "tagging"}
    sizes = {"age": 3, "hobbies": 4}
    tasks = {
        name: keras_mtl.Task(kind, sizes.get(name, 1), per_step=True)
        for name, kind in kinds.items()
    }
    lstm = partial(keras.layers.LSTM, 4, return_sequences=True)
    return keras_mtl.build_shared_bottom(keras.Input((None, 5)), tasks, [lstm])


def test_damaged_exports_are_named_or_answer_right(build, features, tmp_path):
    exports = {
        "dense": Path(export(build(task_data="separate"), tmp_path / "dense" / "1")),
        "streaming": Path(export(sequences(), tmp_path / "streaming" / "1", streaming=True)),
    }
    x = {"dense": features(4), "streaming": features(12).reshape(4, 3, 5)}
    expected = {
        name: {task: served.predict(task, x[name]) for task in served.tasks}
        for name, served in ((name, load_served(path)) for name, path in exports.items())
    }
    draw, outcomes = random.Random(0), collections.Counter()
    for number in range(120):
        way = OF_EXPORTS[number % len(OF_EXPORTS)]
        name, other = draw.sample(list(exports), 2)
        path = tmp_path / "damaged" / str(number)
        shutil.copytree(exports[name], path)
        way(path, exports[other], draw)
        try:
            served = load_served(path)
        except ValueError as error:
            assert str(path) in str(error), (number, way)
            outcomes["named"] += 1
        else:
            assert set(served.tasks) == set(expected[name]), (number, way)
            for task, answer in expected[name].items():
                np.testing.assert_array_equal(served.predict(task, x[name]), answer, (number, way))
            outcomes["right"] += 1
        shutil.rmtree(path)
    print(dict(outcomes))
    assert outcomes["named"] + outcomes["right"] == 120
    assert outcomes["named"] > 80


def rewrite(file, change):
    """Writes a `.keras` file anew from its parts, as `change` leaves them."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def leave_out_a_part(file, other, draw):
    rewrite(file, lambda parts: parts.pop(draw.choice(list(parts))))


def damage_a_part(file, other, draw):
    def change(parts):
        name = draw.choice(["config.json", "metadata.json", "model.weights.h5"])
        parts[name] = parts[name][: draw.randrange(len(parts[name]) // 2)]

    rewrite(file, change)


def swap_a_part(file, other, draw):
    with zipfile.ZipFile(other) as archive:
        name = draw.choice(archive.namelist())
        content = archive.read(name)
    rewrite(file, lambda parts: parts.update({name: content}))


def edit_tasks(file, other, draw):
    """Changes an entry of a task, or the list of tasks, and keeps the check sums right."""

    def of_tasks(path):
        return "tasks" in path and path[-2] in ("config", "tasks") and path[-1] != "tasks"

    def change(parts):
        config = json.loads(parts["config.json"])
        mutate(config["config"], draw, of_tasks)
        parts["config.json"] = json.dumps(config).encode()

    rewrite(file, change)


def damage_the_file(file, other, draw):
    draw.choice([flip, flip, cut, blank, fill, empty, remove, make_folder])(file, draw)


OF_NETWORKS = [damage_the_file, damage_the_file, edit_tasks, edit_tasks, swap_a_part,
               damage_a_part, leave_out_a_part]  # fmt: skip
READABLE = (ValueError, OSError, zipfile.BadZipFile, TypeError, KeyError, RuntimeError)


@pytest.mark.filterwarnings("ignore:Skipping nested container", "ignore:Skipping variable loading")
def test_damaged_networks_are_named_or_answer_right(build, features, answers, tmp_path):
    model, other = build(task_data="separate"), sequences()
    model.compile("adam")
    other.compile("adam")
    model.save(tmp_path / "intact.keras")
    other.save(tmp_path / "other.keras")
    x, draw, outcomes = features(4), random.Random(0), collections.Counter()
    expected = {task: answers(model, x, task) for task in model.tasks}
    file = tmp_path / "damaged.keras"
    for number in range(80):
        way = OF_NETWORKS[number % len(OF_NETWORKS)]
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "intact.keras", file)
        way(file, tmp_path / "other.keras", draw)
        try:
            loaded = keras.models.load_model(file)
        except READABLE as error:
            assert len(str(error)) > 15, (number, way, error)
            outcomes["named"] += 1
        else:
            assert list(loaded.tasks) == list(expected), (number, way)
            for task, answer in expected.items():
                np.testing.assert_array_equal(answers(loaded, x, task), answer, (number, way))
            outcomes["right"] += 1
    print(dict(outcomes))
    assert outcomes["named"] + outcomes["right"] == 80
    assert outcomes["named"] > 40
