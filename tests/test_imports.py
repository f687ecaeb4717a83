"""The package's files, in the order of the dataflow, import only what stands before them."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_mtl"
ROOMS = [
    "tasks",
    "schedules",
    "phases",
    "data",
    "layers",
    "training",
    "models",
    "analysis",
    "plots",
    "serving",
    "tuning",
]
STRANGERS = {("layers", "data")}  # neighbours that do not know each other


def imports_of(file):
    """Yields the rooms that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "keras_mtl" and len(parts) > 1 and parts[1] in ROOMS:
                yield parts[1]


def test_every_room_has_a_place():
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.stem not in ("__init__", "__pycache__")
    }
    assert rooms == set(ROOMS)


def test_imports_flow_one_way():
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for imported in imports_of(file):
            assert ROOMS.index(imported) <= ROOMS.index(room), f"{file} imports {imported}"
            assert (room, imported) not in STRANGERS, f"{file} imports {imported}"


def test_tensorflow_stays_in_data_and_serving():
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0]
        modules = [
            name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        ]
        if any(name and name.split(".")[0] == "tensorflow" for name in modules):
            assert room in ("data", "serving"), f"{file} imports tensorflow"
