"""What functions take and return is written down, for editors and for mypy."""

import ast
import pathlib

import keras_mtl

PACKAGE = pathlib.Path(keras_mtl.__file__).parent


def functions_of(file):
    """Yields the functions of a file and the methods of its classes; not those inside others."""
    waiting = list(ast.parse(file.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef | ast.If):
            waiting += node.body


def unannotated(function):
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named = [one for one in named if one.arg not in ("self", "cls")]
    named += [one for one in (arguments.vararg, arguments.kwarg) if one]
    missing = [one.arg for one in named if one.annotation is None]
    return missing + ["return"] * (function.returns is None)


def test_every_function_says_its_types():
    found = {
        f"{file.relative_to(PACKAGE)}:{function.lineno} {function.name}": missing
        for file in PACKAGE.rglob("*.py")
        for function in functions_of(file)
        if (missing := unannotated(function))
    }
    assert found == {}


def test_types_ship():
    assert (PACKAGE / "py.typed").is_file()
