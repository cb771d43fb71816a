"""Tables with more columns than rows: the size of the model, and what is said of it."""

import re
import time

import numpy as np
import pytest

from dirjax.training import overview
from tests import own_data, runs


def wide(folder, columns):
    """A file of 300 rows whose label is the mean of some columns."""
    x = np.random.default_rng(0).random((300, columns))
    y = 20 + 60 * (x[:, :50].mean(1) - 0.3) / 0.4
    rows = [
        ",".join(f"{v:.3f}" for v in r) + f",{t:.1f}" for r, t in zip(x, y, strict=True)
    ]
    names = ",".join(f"c{i}" for i in range(columns))
    return own_data.write(folder, "wide.csv", own_data.table(rows, f"{names},y"))


@pytest.mark.slow
def test_parameters_memory_and_checkpoint_are_told(tmp_path, monkeypatch):
    made = own_data.config(wide(tmp_path, 2000))
    pieces, programs = runs.built(made)
    said = overview.overview(pieces, programs)
    total = int(re.search(r"total +([\d,]+)", said)[1].replace(",", ""))
    # Without a limit, 16 waves and 256 units a column would be 8.7 million.
    assert total < 1.5e6
    found = re.search(r"memory: (\S+) MB for parameters, .* checkpoint takes", said)
    assert float(found[1]) == pytest.approx(4 * 4 * total / 1e6, rel=0.3)
    assert "WARNING" not in said
    monkeypatch.setattr("os.sysconf", lambda name: 4000)  # pages, and their size
    said = overview.overview(pieces, programs)
    assert re.search(
        r"WARNING: training needs more than 50%.*--config\.model\.enc", said
    )


@pytest.mark.slow
def test_sixty_steps_of_6_000_columns(tmp_path):
    made = own_data.config(wide(tmp_path, 6_000), stage__main__steps=60)
    start = time.process_time()
    result = runs.run(made, tmp_path / "run")
    assert time.process_time() - start < 60  # of two cores
    # Labels have a deviation of 6; a model of 88 million parameters had 1,306, on
    # 20,000 columns.
    assert result["test"]["mae"]["all"] < 12
