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


def own_statements(function):
    """Yields what a function does itself, not what functions inside it do."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            waiting += ast.iter_child_nodes(node)


def test_none_is_what_nothing_returns():
    """mypy lets a function that returns `Any` say `None`."""
    found = [
        f"{file.relative_to(PACKAGE)}:{function.lineno} {function.name}"
        for file in PACKAGE.rglob("*.py")
        for function in functions_of(file)
        if isinstance(function.returns, ast.Constant) and function.returns.value is None
        for node in own_statements(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    assert found == []


def test_types_ship():
    assert (PACKAGE / "py.typed").is_file()
