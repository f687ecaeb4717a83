"""What `keras_mtl` and its rooms hand on, and how it is called: `public_api.txt` pins it.

python -m tests.public_api > tests/public_api.txt
"""

import ast
import importlib
import inspect

ROOMS = ["", ".analysis", ".data", ".layers", ".plots", ".serving", ".tuning"]


def exported(module):
    """Returns a list of the names that a package re-exports, `from ... import name as name`."""
    return sorted(alias.name for alias in _aliases(module) if alias.asname == alias.name)


def imported(module):
    """Returns a list of all names that a package imports, what builders are made of too."""
    return sorted(alias.name for alias in _aliases(module))


def _aliases(module):
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def builders():
    return [name for name in exported("keras_mtl") if name.startswith("build_")]


def signature(value):
    """Returns the parameters of a function or class, with defaults, without annotations."""
    if inspect.ismodule(value) or (isinstance(value, type) and issubclass(value, dict)):
        return ""
    plain = inspect.signature(value)
    parameters = [p.replace(annotation=p.empty) for p in plain.parameters.values()]
    return str(plain.replace(parameters=parameters, return_annotation=plain.empty))


def lines():
    for room in ROOMS:
        module = importlib.import_module("keras_mtl" + room)
        for name in exported(module.__name__):
            yield f"{module.__name__}.{name}{signature(getattr(module, name))}"


if __name__ == "__main__":
    print("\n".join(lines()))
