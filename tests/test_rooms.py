"""The rooms of the package: which may import which, and what stays out of them."""

import ast
import functools
import graphlib
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1] / "dirjax"
GROUND = {"errors", "checks", "digits", "dotted", "ops", "optimizers"}
FIRST = GROUND | {"labels", "models", "runtime", "cli"}
SECOND = FIRST | {"correct", "features", "metrics", "data", "workdir", "resampling"}
THIRD = SECOND | {"objectives", "report"}
FOURTH = THIRD | {"augment", "evals", "config"}
# Room -> the rooms that it may import, besides itself. Commands and `train` are above.
MAY_IMPORT = {
    "": {"cli"},  # the package itself
    "errors": set(),
    "checks": set(),
    "digits": set(),
    "dotted": set(),
    "ops": {"checks"},
    "optimizers": {"checks"},
    "labels": GROUND,
    "models": GROUND,
    "runtime": GROUND,
    "cli": GROUND,
    "correct": GROUND | {"labels"},
    "features": GROUND | {"labels"},
    "metrics": GROUND | {"labels"},
    "resampling": GROUND | {"labels"},
    "data": GROUND | {"labels", "runtime", "resampling"},
    "workdir": GROUND | {"labels", "runtime"},
    "objectives": GROUND | {"labels", "features", "metrics"},
    "report": GROUND | {"labels", "features", "metrics", "workdir", "cli"},
    "parallel": {"objectives"},
    "augment": SECOND | {"objectives"},
    "evals": SECOND | {"objectives"},
    "config": SECOND | {"augment"},
    "training": FOURTH,
    "choosing": FOURTH | {"training"},
    "interface": FOURTH
    | {"choosing", "sweeping", "report", "train", "describe", "choose"},
    "sweeping": GROUND | {"cli", "config", "workdir"},
    "train": FOURTH | {"training"},
    "projects": FOURTH | {"choosing", "training"},
}
# Commands: nobody imports them but one another, and doors to them (`__main__`).
COMMANDS = {"main", "sweep", "choose", "evaluate", "predict", "noise", "describe"}
COMMANDS |= {"export"}
COMMANDS_MAY_IMPORT = FOURTH | {"choosing", "sweeping", "training", "train"} | COMMANDS


def files():
    return sorted(ROOT.rglob("*.py"))


def module_of(file):
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(f): f for f in files()}


LATE = (ast.FunctionDef, ast.AsyncFunctionDef)


def names_of(node):
    """Dotted names that an import statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.module:
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in MODULES else node.module


@functools.cache
def imported(tree):
    """Dotted names that a module imports, and whether it does when it is loaded."""
    found, waiting = [], [(tree, True)]
    while waiting:
        node, loads = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [(name, loads) for name in names_of(node)]
        elif not isinstance(node, ast.expr):  # An expression imports nothing.
            hidden = (
                isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            )
            loads = loads and not hidden and not isinstance(node, LATE)
            waiting += [(child, loads) for child in ast.iter_child_nodes(node)]
    return found


def ours(tree):
    return {n for n, _ in imported(tree) if n == "dirjax" or n.startswith("dirjax.")}


def room_of(module):
    return module.split(".")[1] if "." in module else ""


def problems(module, tree):
    """What a module imports that its room may not."""
    room, is_door = room_of(module), module.endswith("__main__")
    above = room in COMMANDS or is_door
    allowed = COMMANDS_MAY_IMPORT if above else MAY_IMPORT.get(room, set())
    for name in ours(tree):
        other = room_of(name)
        if other and other not in (room, "configs") and other not in allowed:
            yield f"{module} imports {name}"
    for name, _ in imported(tree):
        top = name.split(".")[0]
        if top.startswith("tensorflow") and room != "data":
            yield f"{module} imports {name}: TensorFlow is for data/"
        if name.startswith("flax") and room != "models":
            yield f"{module} imports {name}: Linen is for models/"
        if top in ("jax", "jaxlib", "optax") and room in (
            "correct",
            "labels",
            "report",
            "resampling",
        ):
            yield f"{module} imports {name}: {room}/ does without JAX"
        if top == "ml_collections" and room in ("objectives", "models", "data"):
            yield f"{module} imports {name}: config objects end at the door"


def at_load(tree):
    """Modules that are imported when a module is."""
    return {name for name, loads in imported(tree) if loads}


def circle(trees):
    """A circle of imports, or None."""
    graph = {
        m: {n for n in at_load(t) if n in trees and n != m} for m, t in trees.items()
    }
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_every_room_is_in_the_table():
    rooms = {room_of(m) for m in MODULES} - {"py", "__main__"}
    assert rooms == {*MAY_IMPORT, *COMMANDS}


def test_imports_run_one_way():
    trees = {m: ast.parse(f.read_text()) for m, f in MODULES.items()}
    assert [p for m, t in trees.items() for p in problems(m, t)] == []
    assert circle(trees) is None
    # The table itself has no circle.
    tuple(graphlib.TopologicalSorter(MAY_IMPORT).static_order())


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("dirjax.labels.bins", "import jax"),
        ("dirjax.report.tables", "from jax import numpy"),
        ("dirjax.labels.bins", "from dirjax.objectives import base"),
        ("dirjax.objectives.l1", "from dirjax import train"),
        ("dirjax.objectives.l1", "import ml_collections"),
        ("dirjax.data.sources", "from dirjax.models import heads"),
        ("dirjax.evals.view", "import flax.linen as nn"),
        ("dirjax.training.build", "import tensorflow as tf"),
        ("dirjax.training.build", "def late():\n    from dirjax import evaluate"),
    ],
)
def test_the_table_fails_on(module, line):
    assert list(problems(module, ast.parse(line)))


def test_a_circle_is_found():
    trees = {
        "dirjax.labels.bins": ast.parse("from dirjax.labels import groups"),
        "dirjax.labels.groups": ast.parse("from dirjax.labels.bins import Bins"),
    }
    assert circle(trees)
    trees["dirjax.labels.bins"] = ast.parse(
        "def f():\n from dirjax.labels import groups"
    )
    assert circle(trees) is None


def test_no_rooms_without_a_name_and_nothing_left_open():
    for file in files():
        assert file.stem not in ("utils", "helpers", "misc"), file
        assert not re.search(r"\b(TODO|FIXME)\b", file.read_text()), file
    assert len(list(ROOT.glob("*.py"))) <= 16


def test_the_program_is_one_scroll():
    assert len((ROOT / "train.py").read_text().splitlines()) <= 300
