"""Every preset runs with `smoke` on every data set that ships, or says why not."""

import math

import pytest

from dirjax import errors
from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.configs import methods
from dirjax.data import catalog, readers
from tests import runs

pytestmark = pytest.mark.matrix

DENSE = "configs/synthetic_depth.py"
# Methods that draw, mix or resample whole rows by their label, by a part of their name.
OF_ROWS = ("sampling", "smo", "c_mixup", "rebagg")


def shipped():
    """Configs of data that is in the package, or is drawn."""
    for path in config_files.shipped():
        config = config_files.load(path)
        name = config.data.name
        drawn = readers.path_rule(readers.find(config.data.kind)) == "none"
        if drawn or name in catalog.EMBEDDED:
            yield path


def test_these_ship():
    assert {f"configs/{name}.py" for name in catalog.EMBEDDED} < set(shipped())


# One table runs every preset, the other data those that depend most on their bins; the
# rest is traced, which is enough for what only the kind of data decides.
TABLE = "configs/bikeshare.py"
FAMILIES = ("frobenius", "group_dir", "rrt_lds_fds", "ssir")
FEW = ("frobenius", "group_dir")


def short(path, method, steps):
    """The config with a small model and at most so many steps in each stage."""
    made = frozen.plain(config_files.load(path, f"{method},smoke"))
    # The fixed frame of group_etf needs as many features as groups.
    small = {"width": 16, "depth": 1}
    made["model"]["encoder"] |= {
        name: value for name, value in small.items() if name in made["model"]["encoder"]
    }
    for stage in made["stage"].values():
        stage["steps"] = min(stage["steps"], steps)
    return made


def made(path, method, tmp_path):
    """The config; one that starts from a run gets a short one."""
    made = short(path, method, steps=8)
    if made["init_from"] is not None:
        start = short(path, "vanilla", steps=2)
        start["model"]["label_scaling"] = made["model"]["label_scaling"]
        runs.run(start, tmp_path / "start")
        made["init_from"] = str(tmp_path / "start")
    return made


def refused(path, method, config):
    """Whether a method does not suit the data, which is said.

    What draws rows by their label needs one per row; resampling needs columns, unless
    it is of features.
    """
    if config["data"].get("resample") and config["data"]["kind"] != "table":
        said = "interpolates columns of tables"
    elif path == DENSE and any(part in method for part in OF_ROWS):
        said = r"one label per row|one per pixel"
    else:
        return False
    with pytest.raises(errors.InputError, match=said):
        runs.built(config)
    return True


def pairs(run):
    """`(path, method)` to run, or to trace."""
    for path in shipped():
        kind = config_files.load(path).data.kind
        for method in methods.PRESETS:
            few = FEW if kind == "table" else FAMILIES
            runs_it = path == TABLE or method in few
            if runs_it == run and (run or kind != "table"):
                yield path, method


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), list(pairs(run=True)))
def test_it_runs(path, method, tmp_path):
    config = made(path, method, tmp_path)
    if refused(path, method, config):
        return
    done = runs.run(config, tmp_path / "run")
    assert math.isfinite(done["test"]["mae"]["all"])
    assert done["test"]["count"]["many"]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), list(pairs(run=False)))
def test_its_steps_are_traced(path, method, tmp_path):
    config = made(path, method, tmp_path)
    if refused(path, method, config):
        return
    pieces, programs = runs.built(config)
    for program in programs:
        runs.trace(pieces, program)
