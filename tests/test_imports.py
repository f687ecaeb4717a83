"""The package's files, in the order of the dataflow, import only what stands before them."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_mtl"
ROOMS = [
    "keras_internals",
    "checks",
    "replicas",
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
BACKENDS = {"tensorflow", "jax", "torch"}
BACKENDS_OF = {  # where keras.ops cannot do it
    "replicas.py": {"tensorflow"},
    "training/backend_step.py": BACKENDS,
    "training/gradients.py": BACKENDS,
}


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


def modules_in(nodes):
    """Returns the first names of all modules that are imported."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[0] for name in names}


def test_backends_stay_where_they_belong():
    for file in PACKAGE.rglob("*.py"):
        place = file.relative_to(PACKAGE)
        tree = ast.parse(file.read_text())
        used = BACKENDS & modules_in(ast.walk(tree))
        if place.as_posix() in BACKENDS_OF:
            assert used == BACKENDS_OF[place.as_posix()], f"{file} imports {used}"
            assert not BACKENDS & modules_in(tree.body), f"{file} needs a backend nobody chose"
        else:
            allowed = {"tensorflow"} if place.parts[0] in ("data", "serving") else set()
            assert used <= allowed, f"{file} imports {used}"


def test_no_import_hides_behind_a_call():
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).split(".")[-1]
                assert called not in ("import_module", "__import__"), f"{file}: {called}"
