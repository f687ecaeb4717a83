"""README's table of methods, made of what the builders' docstrings begin with and cite.

python -m tests.readme_table
"""

import inspect
import pathlib
import re

import keras_mtl
from tests.public_api import builders

README = pathlib.Path(__file__).parents[1] / "README.md"
HEAD = "| method | what it builds | source |\n|---|---|---|\n"
_TABLE = re.compile(re.escape(HEAD) + r"(\|.*\n)+")


def row(name):
    text = inspect.getdoc(getattr(keras_mtl, name))
    summary = text.splitlines()[0].removeprefix("Builds ").removesuffix(".")
    source = " ".join(re.search(r"Source: (.*?)(\n\n|\Z)", text, re.DOTALL)[1].split())
    year = re.search(r"\b20\d\d\b", source)
    cited = re.match(r'".*?"|.*?(?=, "| 20\d\d)|[^.]*', source)[0]
    return f"| `{name}` | {summary} | {cited}{f' {year[0]}' if year else ''} |\n"


def with_table(text):
    """Returns README's text with the table as it has to be."""
    return _TABLE.sub(lambda _: HEAD + "".join(map(row, sorted(builders(), key=place))), text)


def place(name):
    """Returns what methods are ordered by: the rooms of their files, then their names."""
    return getattr(keras_mtl, name).__module__.split(".")[-2], name


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
