"""What documents show is what happens."""

import doctest
import importlib
import pathlib
import pkgutil
import re
import subprocess

import keras
import numpy as np
import pytest

import keras_mtl
from tests import readme_table
from tests.public_api import builders

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(keras_mtl.__path__, "keras_mtl."))
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, extraglobs={"keras_mtl": keras_mtl, "keras": keras})
    assert failures == 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="README exports a SavedModel")
@pytest.mark.filterwarnings("ignore:The allocation is undecided")  # two epochs of training
@pytest.mark.slow
def test_readme_blocks_run(tmp_path):
    rng = np.random.default_rng(0)
    names = {
        "x": rng.random((20, 12), "float32"),
        "income": np.where(np.arange(20) < 15, np.arange(20) % 2, np.nan),
        "age_group": np.arange(20) % 5,
        "y": {"income": np.arange(20) % 2, "age_group": np.arange(20) % 5},
        "folder": str(tmp_path),
        "hours": rng.random((10, 24, 6), "float32"),
        "outcome": np.arange(10) % 2,
        "severity": np.where(rng.random((10, 24)) < 0.5, rng.random((10, 24)), np.nan),
        "a": rng.random((20, 8, 8, 1), "float32"),
        "b": rng.random((30, 8, 8, 1), "float32"),
        "label_a": np.arange(20) % 10,
        "label_b": np.arange(30) % 10,
        "sentences": ["the dog sees a cat".split(), "a cat sleeps".split()],
        "chunks": ["B-NP I-NP O B-NP I-NP".split(), "B-NP I-NP O".split()],
        "tags": [list("DNVDN"), list("DNV")],
        "columns": {
            "shop": ["north", "south", "north", None, "south"],
            "price": [1.0, None, 3.0, 4.0, 5.0],
            "tags": [["new"], [], None, ["new", "red"], ["red"]],
        },
        "users": np.arange(4000) % 50,
        "clicks_and_likes": {"click": np.arange(5) % 2, "like": np.ones(5)},
    }
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, names)
    assert list(names["grown"].tasks) == ["upright", "rotated", "mirrored"]


def test_readme_table_is_that_of_the_docstrings():
    assert README == readme_table.with_table(README), "python -m tests.readme_table writes it"
    listed = re.findall(r"^\| `(build_\w+)` \|", README, re.MULTILINE)
    assert sorted(listed) == builders()


def test_ci_runs_readmes_test_command():
    commands = [line for line in README.splitlines() if "python -m pytest" in line]
    assert len(commands) == 1
    assert "grep -m1 'python -m pytest' README.md" in (ROOT / ".ci" / "run").read_text()


def test_workflow_names_stages_of_ci():
    listed = subprocess.run([ROOT / ".ci" / "run", "--list"], capture_output=True, text=True)
    stages = {line.split(":")[0] for line in listed.stdout.splitlines()}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    named = re.findall(r"stage: \[(.*)\]", workflow)
    assert len(named) == 2
    assert set(re.findall(r"\w+", " ".join(named))) <= stages


def test_files_that_contributors_are_sent_to_are_there():
    named = re.findall(r"`([\w./]+\.(?:py|txt|md|yml))`", (ROOT / "CONTRIBUTING.md").read_text())
    assert "layers/freezing.py" in named
    missing = [
        name
        for name in named
        if not any((ROOT / room / name).is_file() for room in ("", "keras_mtl"))
    ]
    assert missing == []
