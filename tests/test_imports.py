"""The package's files, in the order of the dataflow, import only what stands before them."""

import ast
import functools
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_mtl"
ROOMS = [
    "types",
    "keras_internals",
    "checks",
    "replicas",
    "seeds",
    "names",
    "kinds",
    "funnels",
    "tasks",
    "row_embedding",
    "schedules",
    "phases",
    "data",
    "layers",
    "training",
    "models",
    "analysis",
    "calibration",
    "plots",
    "serving",
    "tuning",
    "comparison",
]
INNER_ROOMS = {  # a file beside them imports from none of them, or none of them from it
    "data": ["text", "tables", "batches", "datasets"],
    "layers": ["routers", "mixing", "gates", "components", "recurrent", "penalties", "heads"],
    "training": ["optimizers", "callbacks", "inputs", "balancing"],
    "models": ["allocated", "experts", "towers", "blocks", "recurrent", "growth", "warm"],
    "analysis": ["allocated", "costs", "recurrent", "scores"],
    "plots": ["scores"],
    "serving": ["freezing", "streams", "requests", "exports"],
}
STRANGERS = {("layers", "data")}  # neighbours that do not know each other
BACKENDS = {"tensorflow", "jax", "torch"}
BACKENDS_OF = {  # where keras.ops cannot do it
    "replicas.py": {"tensorflow"},
    "row_embedding.py": {"tensorflow"},
    "training/backend_step.py": BACKENDS,
    "training/gradients.py": BACKENDS,
    "training/optimizers/visited_adam.py": {"tensorflow"},
}


def module_of(file):
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


FILES = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imports_of(module):
    """Returns the files that a file imports names of, through any `__init__` on the way."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in FILES}
        elif isinstance(node, ast.ImportFrom) and node.module in FILES:
            found |= {source_of(node.module, alias.name) for alias in node.names}
    return found - {module}


def source_of(module, name):
    """Returns the file that a name comes from, which `module` has or hands on."""
    if FILES[module].name == "__init__.py":
        for node in ast.parse(FILES[module].read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module in FILES and node.module != module:
                if name in [alias.asname or alias.name for alias in node.names]:
                    return source_of(node.module, name)
    return f"{module}.{name}" if f"{module}.{name}" in FILES else module


def circles_among(arrows):
    """Returns the nodes of a graph from which arrows lead back to themselves."""
    left = {node: set(others) for node, others in arrows.items()}
    while leaves := {node for node, others in left.items() if not others & set(left)}:
        left = {node: others for node, others in left.items() if node not in leaves}
    return sorted(left)


def test_every_room_has_a_place():
    rooms = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.name not in ("__init__.py", "__pycache__", "py.typed")
    }
    assert rooms == set(ROOMS)
    inner = {
        path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/*/__init__.py")
    }
    assert inner == {f"{room}/{name}" for room, names in INNER_ROOMS.items() for name in names}
    assert not list(PACKAGE.glob("*/*/*/__init__.py"))


def test_imports_flow_one_way():
    for module in FILES:
        room = (module.split(".") + [""])[1]
        for imported in imports_of(module) if room else ():
            other = (imported.split(".") + [""])[1]
            assert other in ROOMS, f"{module} imports {imported}"
            assert ROOMS.index(other) <= ROOMS.index(room), f"{module} imports {imported}"
            assert (room, other) not in STRANGERS, f"{module} imports {imported}"


@pytest.mark.parametrize("room", INNER_ROOMS)
def test_inner_rooms_import_one_way(room):
    order = INNER_ROOMS[room]
    for module in FILES:
        _, outer, inner, *_ = [*module.split("."), "", ""]
        for imported in imports_of(module) if outer == room and inner in order else ():
            _, outer, other, *_ = [*imported.split("."), "", ""]
            if outer == room and other in order:
                assert order.index(other) <= order.index(inner), f"{module} imports {imported}"


@pytest.mark.parametrize("depth", [2, 3, 4], ids=["rooms", "inner rooms", "files"])
def test_no_imports_go_in_circles(depth):
    arrows = {}
    for module in FILES:
        place = tuple(module.split(".")[:depth])
        others = {tuple(imported.split(".")[:depth]) for imported in imports_of(module)}
        arrows.setdefault(place, set()).update(others - {place})
    assert circles_among(arrows) == []


def test_circles_are_seen():
    assert circles_among({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_rooms_are_small():
    root = PACKAGE.parent
    files = [
        file
        for room in (PACKAGE, root / "tests", root / "benchmarks")
        for file in room.rglob("*.py")
    ]
    for folder in {file.parent for file in files}:
        assert len(list(folder.glob("*.py"))) <= 16, folder


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
