"""Every preset runs with `smoke` on every data set that ships, or says why not."""

import math

import pytest

from dirjax import errors
from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.configs import methods
from dirjax.data import catalog, readers
from tests import runs

DENSE = "configs/synthetic_depth.py"


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


@pytest.mark.slow
@pytest.mark.parametrize("path", list(shipped()))
@pytest.mark.parametrize("method", methods.PRESETS)
def test_it_runs(path, method, tmp_path):
    made = frozen.plain(config_files.load(path, f"{method},smoke"))
    if made["init_from"] is not None:
        start = frozen.plain(config_files.load(path, "vanilla,smoke"))
        start["stage"]["main"]["steps"] = 2
        start["model"]["label_scaling"] = made["model"]["label_scaling"]
        runs.run(start, tmp_path / "start")
        made["init_from"] = str(tmp_path / "start")
    if path == DENSE and "group" in method:
        with pytest.raises(errors.InputError, match="one label per row, this data"):
            runs.run(made, tmp_path / "run")
        return
    done = runs.run(made, tmp_path / "run")
    assert math.isfinite(done["test"]["mae"]["all"])
    assert done["test"]["count"]["many"]
