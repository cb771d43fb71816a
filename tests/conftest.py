"""Test configuration: four CPU devices, no rank promotion, warnings as errors.

Compilation dominates the test time, so programs are compiled with little optimisation
and only once per session.
"""

import fcntl
import gc
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading

import pytest

from tests.commands import FAST_COMPILER

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Shells start background jobs with SIGINT ignored, which the commands of tests would
# inherit; they do not inherit a handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Rewriting and compiling the tests takes three seconds: once is enough.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# There is a worker for each core: threads of BLAS and scikit-learn would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Workers inherit the flags; duplicates would change the key of the compilation cache.
_FLAGS = os.environ.get("XLA_FLAGS", "").split()
_FLAGS += [flag for flag in FAST_COMPILER.split() if flag not in _FLAGS]
os.environ["XLA_FLAGS"] = " ".join(_FLAGS)
# One cache per session, inherited by workers and by commands that tests start.
_CACHE = os.environ.get("DIRJAX_TEST_CACHE")
if _CACHE is None:
    _FOLDER = tempfile.TemporaryDirectory(prefix="dirjax-tests-")
    _CACHE = os.environ["DIRJAX_TEST_CACHE"] = _FOLDER.name
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
# Storing a smaller program costs more than other tests and commands gain.
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
_contexts = threading.local()

# Traces are millions of long-lived objects, which the garbage collector would scan over
# and over by default.
gc.set_threshold(200_000, 20, 100)
# Memory in bytes above which a worker drops its programs.
MEMORY = 5 * 2**30
# Files that take the longest, default or slow.
LONGEST = ("test_docs.py", "test_members.py", "test_train.py", "test_priors.py")

ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_configure(config):
    """JAX with four devices, but not in the process that only hands out tests."""
    alone = getattr(config.option, "dist", "no") == "no"
    if alone or "PYTEST_XDIST_WORKER" in os.environ:
        _prepare_jax()


def _prepare_jax():
    import chex

    chex.set_n_cpu_devices(4)
    import jax
    from jax._src.interpreters import mlir

    # chex skips its pmap variants silently when devices are missing.
    assert jax.device_count() == 4, jax.devices()
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_compilation_cache_dir", _CACHE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    # Programs do not need source locations.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    # A tenth of the time went into a new MLIR context, with all its dialects, for each
    # program. Contexts may be shared, but not by threads.
    new = mlir.make_ir_context

    def context():
        if not hasattr(_contexts, "own"):
            _contexts.own = new()
        return _contexts.own

    mlir.make_ir_context = context


def is_part(part: str, name: str) -> bool:
    """Whether `part` is a test's id, the first or last part of it, or ends its name."""
    return f"[{part}-" in name or name.endswith((part, f"[{part}]", f"-{part}]"))


def pytest_collection_modifyitems(config, items):
    """Of chex's variants, only those with jit are quick enough for all.

    The marker `quick` lists which parameters of a test are run by default.
    """
    # Workers take files in this order, so that none starts a long one at the end.
    items.sort(key=lambda item: item.path.name not in LONGEST)
    others = ("__without_jit", "__with_device", "__without_device", "__with_pmap")
    uses = {}
    for item in items:
        chosen = not item.name.endswith(others)
        for mark in item.iter_markers("quick"):
            found = [part for part in mark.args if is_part(part, item.name)]
            chosen = chosen and bool(found)
            uses.setdefault((id(mark), mark.args), set()).update(found)
        if not chosen:
            item.add_marker(pytest.mark.slow)
    lost = [set(args) - found for (_, args), found in uses.items()]
    # Without the others of its parametrisation, a single test tells nothing.
    if any(lost) and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"no test has these parameters of `quick`: {lost}")


def memory() -> int:
    """Resident bytes of this process; above `MEMORY` if unknown."""
    pages = pathlib.Path("/proc/self/statm")
    if not pages.exists():
        return MEMORY + 1
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module", autouse=True)
def programs_are_dropped():
    """Drops programs, which take gigabytes and slow down garbage collection.

    Programs that another module needs again come from the cache on disk.
    """
    yield
    if memory() > MEMORY:
        gc.unfreeze()
        sys.modules["jax"].clear_caches()
        _contexts.__dict__.clear()
        gc.collect()
    # Collections of the next module pass over what is there by now.
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Folder with data sets that the package does not ship."""
    default = ROOT.parent / "shared" / "data"
    folder = pathlib.Path(os.environ.get("DIRJAX_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the data folder DIRJAX_DATA, {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> pathlib.Path:
    """A folder that all workers share."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session")
def shared(root):
    """`shared(name, make)` is a folder that `make(folder)` fills once per session.

    Several workers may use the folder, so no test may change it.
    """

    def folder(name, make):
        made, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir()
                make(made)
                done.touch()
        return made

    return folder


@pytest.fixture(scope="session")
def tiny_run(shared) -> pathlib.Path:
    """Directory of a finished `runs.tiny("vanilla,smoke")`; copy it to change it."""
    from tests import runs

    made = runs.tiny("vanilla,smoke")
    return shared("tiny", lambda folder: runs.run(made, folder / "run")) / "run"


@pytest.fixture(scope="session")
def on_a_table(shared):
    """A folder with a table, `mine.csv`, and a run on it; no test may change it."""
    from tests import own_data, runs
    from tests.program.answers import COLUMNS, to_csv

    def make(folder):
        file = own_data.write(folder, "mine.csv", to_csv(COLUMNS))
        fields = own_data.TINY | {"data__path": str(file), "data__label": "y"}
        runs.run(runs.config("csv", "vanilla", **fields), folder / "run")

    return shared("table", make)
