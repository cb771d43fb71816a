"""Means, spreads and paired differences, and which runs belong to one row."""

import dataclasses
import math
import re

import numpy as np
import pytest

from dirjax import errors as errors_lib
from dirjax import report
from dirjax.report import answers, formats, tables
from tests.report.made import change, small

# Two-sided 95 % of Student's t, from printed tables (Fisher and Yates, table III).
PRINTED = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262, 20: 2.086, 120: 1.980}


@pytest.mark.parametrize("freedom", PRINTED)
def test_intervals_are_those_of_printed_tables(freedom):
    size = freedom + 1
    low, high = tables.Spread(0.0, math.sqrt(size), size).interval()
    assert low == -high
    assert high == pytest.approx(PRINTED[freedom], abs=5.01e-4)


def test_interval_by_hand():
    """-1 and -3: mean -2, deviation sqrt(2), t = 12.7062 and half width t."""
    low, high = tables.Spread(-2.0, math.sqrt(2.0), 2).interval()
    np.testing.assert_allclose((low, high), (-14.7062, 10.7062), atol=1e-4)
    assert tables.Spread(-2.0, None, 1).interval() is None
    assert tables.Spread().interval() is None


def test_mean_spread_and_pairs_by_hand(tmp_path):
    """Base has seeds 0, 1, 2 and the method 1, 2, 3: two pairs."""
    errors = {"vanilla": {0: 9.0, 1: 4.0, 2: 6.0}, "lds": {1: 3.0, 2: 3.0, 3: 9.0}}
    runs = []
    for method, seeds in errors.items():
        for seed, value in seeds.items():
            folder = small(tmp_path / f"{method}{seed}", method=method, seed=seed)
            test = {"mae": {"all": value, "few": None}, "count": {"all": 5}}
            change(folder, "result.json", lambda r, test=test: r.update(test=test))
            runs.append(report.read_run(folder))
    (table,) = report.table(runs, base="vanilla")
    base, row = table.rows
    assert (base.method, row.method, row.pairs) == ("vanilla", "lds", 2)
    assert base.difference is None
    value = row.values["mae"]["all"]
    assert value.size == 3
    np.testing.assert_allclose(value[:2], (5.0, np.sqrt(12.0)))
    gap = row.difference["mae"]["all"]  # 3 - 4 and 3 - 6
    assert gap.size == 2
    np.testing.assert_allclose(gap[:2], (-2.0, np.sqrt(2.0)))
    assert row.values["mae"]["few"][:3] == (None, None, 0)
    text = formats.to_text([table])
    assert "lds minus vanilla" in text
    assert "-2.000 [-14.706, +10.706]" in text  # t of one degree of freedom: 12.706
    # One pair has a difference and no interval.
    (table,) = report.table(runs[:2] + runs[3:4], base="vanilla")
    assert re.search(r"lds minus vanilla +1 +-1\.000 ", formats.to_text([table]))
    # Without a base there are no differences.
    (table,) = report.table(runs)
    assert all(row.difference is None for row in table.rows)


def test_identity_fails_aloud(tmp_path, quick):
    folder = small(tmp_path / "run")
    change(folder, "result.json", lambda r: r["test"]["mae"].update(all=50.0))
    text = report.write_report([folder], tmp_path / "out").read_text()
    assert "MAE of all test rows and of the shot groups disagree" in text
    assert tables.identity_gap(report.read_run(folder)) > 0.1
    change(folder, "result.json", lambda r: r["test"]["mae"].update(all=None))
    text = report.write_report([folder], tmp_path / "out").read_text()
    assert "missing or not finite" in text


def test_unlike_runs_of_one_method(tmp_path):
    """Another config is another row; the same seed twice is said."""
    folders = [
        small(tmp_path / f"{radius}-{seed}", method="ssir", seed=seed, radius=radius)
        for radius in (0.5, 1.0)
        for seed in (0, 1)
    ]
    runs = [report.read_run(folder) for folder in folders]
    (table,) = report.table(runs)
    assert [r.method for r in table.rows] == ["ssir [radius=0.5]", "ssir [radius=1.0]"]
    assert [len(r.runs) for r in table.rows] == [2, 2]
    (table,) = report.table(runs, base="ssir [radius=1.0]")
    assert table.rows[1].pairs == 2
    with pytest.raises(errors_lib.InputError, match=r"several configs.*radius=0\.5"):
        report.table(runs, base="ssir")
    twin = report.read_run(small(tmp_path / "twin", method="ssir", radius=0.5))
    (table,) = report.table([*runs, twin])
    assert any("seed 0 twice" in warning for warning in table.warnings)
    assert len(table.rows[0].runs) == 2


def test_several_networks_are_named(tmp_path):
    one = small(tmp_path / "one", method="vanilla", model={"members": 1})
    three = small(tmp_path / "three", method="beta_nll", model={"members": 3})
    (table,) = report.table([report.read_run(folder) for folder in (one, three)])
    assert [r.method for r in table.rows] == ["vanilla", "beta_nll [members=3]"]


def test_starts_from_runs_of_the_same_seed_are_one_row(tmp_path):
    """And those from another method, or from another seed, are another."""
    runs = [
        report.read_run(
            small(tmp_path / str(k), method="tune", seed=seed, init_from=start)
        )
        for k, (seed, start) in enumerate(
            [(0, "a/seed_0"), (1, "a/seed_1"), (2, "b/seed_2"), (3, "a/seed_0")]
        )
    ]
    (table,) = report.table(runs)
    assert [len(row.runs) for row in table.rows] == [2, 1, 1]
    (table,) = report.table(runs[:2])
    assert [row.method for row in table.rows] == ["tune"]


def test_a_table_of_validation_says_so(tmp_path):
    """And of runs without that split, that they have none."""
    folders = [small(tmp_path / m, method=m) for m in ("vanilla", "lds")]

    def of_validation(run):
        result = {**run.result, "split": "val", "val": run.result["test"]}
        return dataclasses.replace(run, result=result)

    runs = [of_validation(report.read_run(f)) for f in folders]
    (table,) = report.table(runs, base="vanilla")
    said = " ".join(answers.answers(table))
    assert "val rows)" in said
    assert "test rows" not in said
    without = dataclasses.replace(runs[1], result={**runs[1].result, "val": {}})
    (table,) = report.table([runs[0], without])
    assert f"{folders[1]}: its data have no val split." in table.warnings
