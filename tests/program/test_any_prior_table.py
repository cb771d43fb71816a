"""The tables of a study of label distributions, from finished runs."""

import json

import numpy as np
import pytest

from dirjax import errors
from dirjax.configs.studies import any_prior_table
from dirjax.projects.any_prior import table
from tests import own_data, runs
from tests.program.answers import COLUMNS, to_csv


def test_markdown():
    gap = {"mean": -1.0, "interval": (-2.0, 0.5)}
    entry = {"method": "beta_nll", "seeds": 3, "decode": "median"}
    found = [
        {**entry, "tau": 0.0, "mae": {"all": 3.0, "few": 9.0}},
        {**entry, "tau": 0.5, "mae": {"all": 2.0, "few": 8.0}, "decode": "mean"},
    ]
    found = [e | {"difference": {"all": gap, "few": None}} for e in found]
    lines = table.markdown("mine", found, "vanilla").splitlines()
    assert lines[0] == "### mine"
    assert lines[4] == (
        "| beta\\_nll | 3 | 0 | 3.000 | 9.000 | -1.000 [-2.000, +0.500] |  |"
    )
    assert "| 0.5, mean | 2.000 | 8.000 |" in lines[5]


def test_without_runs(tmp_path):
    study = any_prior_table.get_config().to_dict()
    with pytest.raises(errors.InputError, match=r"config\.runs must be the folder"):
        table.run_study(study, tmp_path / "out")
    with pytest.raises(errors.InputError, match="has none"):
        table.run_study(study | {"runs": str(tmp_path)}, tmp_path / "out")


def test_maps_have_no_table_of_rows(tmp_path):
    run = tmp_path / "study" / "rooms" / "vanilla" / "seed_0"
    run.mkdir(parents=True)
    (run / "result.json").write_text("{}")
    (run / "data.json").write_text('{"kind": "dense"}')
    study = any_prior_table.get_config().to_dict() | {"runs": str(tmp_path / "study")}
    with pytest.raises(errors.InputError, match="runs on rooms predict maps"):
        table.run_study(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_study(tmp_path, capsys):
    """Levels are those of the runs, and the base differs from itself by nothing."""
    file = own_data.write(tmp_path, "mine.csv", to_csv(COLUMNS))
    fields = {"model__encoder": {"width": 8, "depth": 1}, "stage__main__steps": 6}
    fields |= {"data__label": "y", "data__batch_size": 32}
    for method in ("vanilla", "sqinv"):
        for seed in range(3):
            made = own_data.config(
                file, argument=f"{method},smoke", seed=seed, **fields
            )
            runs.run(made, tmp_path / "study" / "mine" / method / f"seed_{seed}")
    study = any_prior_table.get_config().to_dict() | {"runs": str(tmp_path / "study")}
    table.run_study(study, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "mine.json").read_text())["entries"]
    names = {e["method"] for e in stored}
    assert names == {
        *("vanilla", "vanilla, 3 members", "sqinv", "sqinv, 3 members"),
        *("gradient boosting", "gradient boosting (sqinv)"),
    }
    (own,) = (e for e in stored if e["method"] == "vanilla" and not e["tau"])
    assert own["difference"]["all"] is None
    alone = [
        runs.result(tmp_path / "study" / "mine" / "vanilla" / f"seed_{s}")
        for s in range(3)
    ]
    want = np.mean([r["test"]["mae"]["all"] for r in alone])
    assert own["mae"]["all"] == pytest.approx(want, rel=1e-5)
    text = (tmp_path / "out" / "mine.md").read_text()
    assert text in capsys.readouterr().out
