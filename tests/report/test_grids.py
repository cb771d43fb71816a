"""Grids of one and two fields over made-up runs."""

import numpy as np
import pytest

from dirjax import report
from dirjax.report import formats, grids
from dirjax.report.figures.grids import draw
from tests.report.made import run as small


def ssir(epsilon, lam, **more):
    return {"objective": {"ssir": {"epsilon": epsilon, "lam": lam, **more}}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Vanilla, and two methods over epsilon and lam, one with a larger grid."""
    root = tmp_path_factory.mktemp("grid")
    made = [small(root / f"v{seed}", "vanilla", seed) for seed in range(2)]
    for method, lams in (("sqinv_ssir", (0.1, 1.0)), ("focal_r_ssir", (0.1, 0.5, 2))):
        for eps in (1e-3, 5e-4):
            for lam in lams:
                for seed in range(2):
                    folder = root / f"{method}{eps}{lam}{seed}"
                    shrink = 0.2 + 0.02 * lam + 10 * eps
                    made.append(
                        small(folder, method, seed, shrink, **ssir(eps, lam, steps=2))
                    )
    return made


def test_two_fields(runs):
    (table,) = report.table(runs, base="vanilla")
    (grid,) = grids.find(table)
    assert grid.fields == ("objective.ssir.epsilon", "objective.ssir.lam")
    assert grid.names == ("epsilon", "lam")
    assert list(grid.points) == ["sqinv_ssir", "focal_r_ssir"]
    values = [point.values for point in grid.points["sqinv_ssir"]]
    assert values == [(5e-4, 0.1), (5e-4, 1.0), (1e-3, 0.1), (1e-3, 1.0)]
    assert grid.values(1) == [0.1, 0.5, 1.0, 2.0]
    for point in grid.points["focal_r_ssir"]:
        (epsilon, lam), found = point.values, point.row.runs[0].config["objective"]
        assert found["ssir"] == {"epsilon": epsilon, "lam": lam, "steps": 2}
        assert len(point.row.runs) == 2


def test_figure_of_two_methods(runs):
    (table,) = report.table(runs, base="vanilla")
    (grid,) = grids.find(table)
    figure = draw(grid, table, "mae", runs[0].bins)
    axes = figure.get_axes()
    titles = [ax.get_title(loc="left") for ax in axes]
    expected = [
        f"{m}, {s}" for m in ("sqinv_ssir", "focal_r_ssir") for s in ("all", "few")
    ]
    assert [title.replace("\n", " ") for title in titles] == expected
    assert {ax.get_xscale() for ax in axes} == {"log"}
    assert axes[0].get_ylabel() == "MAE (bikers)"
    # A line for each epsilon, and the base across: its mean over seeds.
    base = axes[0].get_lines()[-1].get_ydata()
    np.testing.assert_allclose(base, table.rows[0].values["mae"]["all"].mean)
    lines = [container.lines[0] for container in axes[1].containers]
    points = [p for p in grid.points["sqinv_ssir"] if p.values[0] == 5e-4]
    means = [p.row.values["mae"]["few"].mean for p in points]
    np.testing.assert_allclose(lines[0].get_ydata(), means)
    np.testing.assert_allclose(lines[0].get_xdata(), [0.1, 1.0], rtol=0.05)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["epsilon = 0.0005", "epsilon = 0.001", "vanilla"]


def test_table_of_the_grid(runs):
    (table,) = report.table(runs, base="vanilla")
    block = next(b for b in formats.blocks(table) if "sqinv_ssir by" in b.title)
    assert block.header[:5] == ("epsilon", "lam", "seeds", "MAE all", "MAE many")
    assert block.header[-1] == "GM few"
    row = grids.find(table)[0].points["sqinv_ssir"][0].row
    cells = [cell.mean for cell in block.rows[0]]
    assert cells[:3] == ["0.0005", "0.1", "2"]
    assert cells[6] == f"{row.values['mae']['few'].mean:.2f}"
    points = grids.find(table)[0].points["sqinv_ssir"]
    for line, point in zip(block.rows, points, strict=True):
        gaps = point.row.difference
        signs = [gap.sign for m in ("mae", "gm") for gap in gaps[m].values()]
        assert [cell.best for cell in line[3:]] == [sign == -1 for sign in signs]
    for write in (formats.to_text, formats.to_markdown, formats.to_latex):
        assert "sqinv" in write([table])


@pytest.mark.slow
def test_report_has_the_grid(runs, tmp_path, quick):
    folders = [run.path for run in runs]
    page = report.write_report(folders, tmp_path / "out", base="vanilla").read_text()
    names = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert "grid" in names
    assert "shots" not in names, "bars of a grid say less than its figure"
    assert "which has no such field" in page
    assert "sqinv_ssir by epsilon and lam" in page


def test_one_field_and_the_base_inside(tmp_path):
    """Any field of any method; the base is a point, so there is no line across."""
    runs = [
        small(tmp_path / f"{width}-{seed}", "lds", seed, model={"width": width})
        for width in (64, 128, 192)
        for seed in (0, 1)
    ]
    (table,) = report.table(runs, base="lds [width=64]")
    (grid,) = grids.find(table)
    assert grid.fields == ("model.width",)
    assert grids.base_of(grid, table, "mae") is None
    figure = draw(grid, table, "mae")
    axes = figure.get_axes()
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["all", "many", "median", "few"]
    assert axes[0].get_xscale() == "linear", "the values span less than a decade"
    ticks = [text.get_text() for text in axes[2].get_xticklabels()]
    assert ticks == ["64", "128", "192"]
    assert not figure.legends


@pytest.mark.parametrize(
    "points",
    [
        [{"mode": "a"}, {"mode": "b"}],
        [{"lam": True}, {"lam": False}],
        [{"lam": 1}, {"lam": None}],
        [{"lam": 1}, {}],
        [{"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 2}, {"a": 2, "b": 2, "c": 1}],
        [{"a": 1, "b": 10}, {"a": 2, "b": 20}],  # they move together
    ],
)
def test_what_is_no_grid(tmp_path, points):
    runs = [
        small(tmp_path / str(k), "ssir", model=fields)
        for k, fields in enumerate(points)
    ]
    (table,) = report.table(runs)
    assert len(table.rows) == len(points)
    assert grids.find(table) == []


def test_fields_of_one_name_keep_their_path(tmp_path):
    runs = [
        small(tmp_path / f"{a}{b}", "lds", model={"width": a}, other={"width": b})
        for a in (1, 2)
        for b in (1, 2, 3)
    ]
    (grid,) = grids.find(report.table(runs)[0])
    assert grid.names == ("model.width", "other.width")


def test_depth_shows_rmse(tmp_path):
    runs = [small(tmp_path / str(lam), "ssir", **ssir(1e-3, lam)) for lam in (0.1, 0.5)]
    (table,) = report.table(runs, ("mae", "rmse", "delta1"))
    (grid,) = grids.find(table)
    assert grids.metric_of(table) == "rmse"
    figure = draw(grid, table, grids.metric_of(table))
    assert "RMSE" in figure.get_axes()[0].get_ylabel()
