"""Figures and tables of methods that predict groups: the numbers that are drawn."""

import dataclasses
import json

import numpy as np
import pytest

from dirjax import report
from dirjax.report import formats, grids
from dirjax.report.figures import groups, index, methods, style
from dirjax.report.figures.grids import draw
from dirjax.report.runs import Run, TrainBins, TrainGroups
from tests.fake_runs import SHOTS
from tests.report.made import change
from tests.report.made import run as small

CRITERIA = {"group_ce": 0.35, "group_dir": 0.25}
NUMBERS = (5, 20)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two methods with groups after a contrast, and two without, two seeds each."""
    root = tmp_path_factory.mktemp("groups")
    made = []
    for seed in (0, 1):
        made.append(small(root / f"m{seed}", "vanilla_mse", seed, 0.36, squared=True))
        made.append(small(root / f"l{seed}", "vanilla", seed, 0.34))
        for method, shrink in CRITERIA.items():
            made.append(
                small(
                    root / f"{method}{seed}",
                    method,
                    seed,
                    shrink,
                    groups={"num": 7},
                    stages=("contrast", "main"),
                )
            )
    return made


@pytest.fixture(scope="module")
def by_number(tmp_path_factory):
    """Two methods over the number of groups, two seeds each."""
    root = tmp_path_factory.mktemp("number")
    return [
        small(root / f"{m}{num}{seed}", m, seed, shrink, groups={"num": num})
        for m, shrink in CRITERIA.items()
        for num in NUMBERS
        for seed in (0, 1)
    ]


def table_of(runs, base=None):
    (table,) = report._tables(runs, base)
    return table


def of(runs, method):
    return [run for run in runs if run.method == method]


def by_hand(true, predicted, of_bin=(0, 0, 1, 2), log=()):
    """A run of three groups with these test rows."""
    cut = TrainGroups(np.asarray(of_bin), np.asarray([9, 3, 0]))
    bins = TrainBins(
        "age", "", np.arange(5.0), np.ones(4), np.zeros(4, int), groups=cut
    )
    stored = {"group": np.asarray(true), "group_prediction": np.asarray(predicted)}
    rows = {name: values.astype(float) for name, values in stored.items()}
    return Run(None, {}, {}, tuple(log), bins, rows, {}, ())


def test_sizes_and_distances_by_hand():
    run = by_hand([0, 0, 0, 2, 2], [0, 1, 2, 0, 2])
    np.testing.assert_array_equal(groups.sizes(run), [[3, 0, 2], [2, 1, 2]])
    distance, difference = groups.gaps(run)
    # Rows of group 0 are 0, 1 and 2 off, those of group 2 are 2 and 0 off.
    np.testing.assert_array_equal(distance, [1.0, np.nan, 1.0])
    np.testing.assert_array_equal(difference, [1, 1, 0])
    # The two readings are not the same: 4 rows are wrong, and all sizes right.
    run = by_hand([0, 0, 2, 2], [2, 2, 0, 0])
    np.testing.assert_array_equal(groups.gaps(run), [[2, np.nan, 2], [0, 0, 0]])


def test_a_row_without_a_number_is_in_no_predicted_group():
    run = by_hand([0, 1, 1], [-1, -1, 2])
    np.testing.assert_array_equal(groups.sizes(run), [[1, 2, 0], [0, 0, 1]])
    distance, difference = groups.gaps(run)
    np.testing.assert_array_equal(distance, [np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(difference, [1, 2, 1])


def test_maps_give_the_same_from_sums():
    """Rows of bins 0, 1, 2 and 3, which are in groups 0, 0, 1 and 2."""
    true, predicted, of_bin = [0, 0, 0, 2, 2], [0, 1, 2, 0, 2], (0, 0, 1, 2)
    rows = by_hand(true, predicted, of_bin)
    sums = {
        "count": np.array([1.0, 2, 0, 2]),  # The first row of group 0 is in bin 0.
        "distance": np.array([0.0, 1 + 2, 0, 2 + 0]),
        "predicted": np.array([2.0, 1, 2]),
    }
    maps = dataclasses.replace(rows, predictions=sums)
    for read in (groups.sizes, groups.gaps):
        np.testing.assert_array_equal(read(maps), read(rows))


def test_without_groups_there_is_nothing(study):
    plain = of(study, "vanilla")
    assert groups.sizes(plain[0]) is None
    assert groups.gaps(plain[0]) is None
    assert not list(groups.figures({"vanilla": plain}))
    # Bins of a run may have groups that its head does not predict.
    (run, *_) = of(study, "group_dir")
    rest = {k: v for k, v in run.predictions.items() if "group" not in k}
    assert groups.sizes(dataclasses.replace(run, predictions=rest)) is None


def test_one_cut_of_several():
    one, other = by_hand([0], [0]), by_hand([0], [0], of_bin=(0, 1, 1, 2))
    rows = {"a": [one, other], "b": [other], "c": [one], "d": [other]}
    assert groups.of_one_cut(rows) == {"a": [other], "b": [other], "d": [other]}
    assert groups.of_one_cut({"a": []}) == {}
    rows = {str(k): [one] for k in range(9)}
    assert len(groups.of_one_cut(rows)) == 6, "as many as there are colours"


def test_of_equally_many_cuts_the_middle_one(by_number, tmp_path):
    more = [small(tmp_path / m, m, groups={"num": 40}) for m in CRITERIA]
    plain = small(tmp_path / "plain", "vanilla_mse", squared=True)
    made = table_of([*by_number, *more, plain]).rows
    rows = {row.method: row.runs for row in made}
    middle = ["group_ce [num=20]", "group_dir [num=20]"]
    assert list(groups.of_one_cut(rows)) == middle
    # No other cut is in the figure of errors, and what has no groups is.
    figure = next(f for f, name, *_ in groups.figures(rows) if name == "group_mse")
    lines = [ln.get_label() for ln in figure.get_axes()[0].get_lines()]
    assert sorted(lines) == sorted([*middle, "vanilla_mse", "expert of the true group"])


def test_squared_errors_count_from_their_stage():
    log = [
        {"split": "train", "stage": "contrast", "epoch": 2.0, "loss": 1.0},
        {"split": "train", "stage": "contrast", "epoch": 4.0, "loss": 1.0},
        {"split": "train", "stage": "main", "epoch": 5.0, "group/mse": 9.0},
        {"split": "val", "stage": "main", "epoch": 5.0, "mse/all": 16.0},
        {"split": "train", "stage": "main", "epoch": 6.0, "group/mse": 4.0},
        {
            "split": "val",
            "stage": "main",
            "epoch": 6.0,
            "mse/all": 25.0,
            "oracle_rmse/all": 3.0,
        },
    ]
    found = groups.squared_errors(log)
    for part, x, y in (
        ("train", [1, 2], [9, 4]),
        ("val", [1, 2], [16, 25]),
        ("oracle", [2], [9]),
    ):
        np.testing.assert_array_equal(found[part], (x, y))
    plain = [
        {"split": "train", "stage": "main", "epoch": 1.0, "loss/mse": 7.0},
        {"split": "val", "stage": "main", "epoch": 1.0, "mse/all": 8.0},
    ]
    found = groups.squared_errors(plain)
    assert set(found) == {"train", "val"}
    np.testing.assert_array_equal(found["train"], ([1], [7]))
    assert groups.squared_errors([{**plain[0], "loss/mse": None}, plain[1]]).keys() == {
        "val"
    }
    other = [{k.replace("mse", "l1"): v for k, v in e.items()} for e in plain]
    assert groups.squared_errors(other) == {}


def test_sizes_drawn_are_means_over_seeds(study):
    drawn = {
        name: figure
        for figure, name, *_ in groups.figures(
            {row.method: row.runs for row in table_of(study).rows}
        )
    }
    assert set(drawn) == {"groups", "group_gaps", "group_mse"}
    axes = drawn["groups"].get_axes()
    assert [ax.get_title(loc="left").replace("\n", "") for ax in axes] == list(CRITERIA)
    for ax, method in zip(axes, CRITERIA, strict=True):
        assert ax.get_yscale() == "log"
        true, predicted = (patch.get_data() for patch in ax.patches)
        seeds = []
        for run in of(study, method):
            with np.load(run.path / "predictions.npz") as stored:
                seeds.append([stored["group"], stored["group_prediction"]])
        for part, patch in enumerate((true, predicted)):
            count = [
                np.mean([(seed[part] == g).sum() for seed in seeds]) for g in range(7)
            ]
            seen = np.asarray(count) > 0
            np.testing.assert_allclose(patch.values[seen], np.asarray(count)[seen])
            np.testing.assert_array_equal(patch.edges, np.arange(8) - 0.5)


def test_never_predicted_groups_are_marked():
    figure = groups.sizes_by_group(
        {"a": np.asarray([[4.0, 2.0, 0.0], [6.0, 0.0, 0.0]])}
    )
    (ax,) = figure.get_axes()
    (marks,) = ax.get_lines()
    assert marks.get_label() == "never predicted"
    assert marks.get_xdata().tolist() == [1], "the last group has no rows at all"


def test_distances_drawn_are_both_readings(study):
    rows = {m: of(study, m) for m in CRITERIA}
    figure = next(f for f, name, *_ in groups.figures(rows) if name == "group_gaps")
    top, low = (ax for ax in figure.get_axes() if ax.get_lines())
    for part, ax in enumerate((top, low)):
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert list(lines) == list(CRITERIA)
        for method, line in lines.items():
            seeds = []
            for run in rows[method]:
                with np.load(run.path / "predictions.npz") as stored:
                    g, guess = stored["group"], stored["group_prediction"]
                if part == 0:
                    off = [np.abs(guess - g)[g == k].mean() for k in range(7)]
                else:
                    off = [abs((guess == k).sum() - (g == k).sum()) for k in range(7)]
                seeds.append(off)
            np.testing.assert_allclose(line.get_ydata(), np.mean(seeds, axis=0))
    assert np.abs(low.get_lines()[0].get_ydata()).max() > 10, "rows, not groups"


def test_errors_drawn_are_of_train_and_validation(study):
    rows = {row.method: row.runs for row in table_of(study).rows}
    figure = next(f for f, name, *_ in groups.figures(rows) if name == "group_mse")
    left, right = figure.get_axes()
    assert left.get_yscale() == right.get_yscale() == "log"
    # The L1 method is not there: its loss is another error.
    shown = ["vanilla_mse", *CRITERIA]
    for ax, name, split in ((left, "group/mse", "train"), (right, "mse/all", "val")):
        lines = {ln.get_label(): ln for ln in ax.get_lines() if len(ln.get_xdata())}
        assert [n for n in lines if not n.startswith("_")] == shown
        for method in shown:
            metric = name if method != "vanilla_mse" else name.replace("group", "loss")
            seeds = [
                [(e["epoch"], e[metric]) for e in run.log if metric in e]
                for run in of(study, method)
                if {e["split"] for e in run.log if metric in e} == {split}
            ]
            epoch, value = np.mean(seeds, axis=0).T
            # The contrast takes half of the 50 epochs.
            start = 0.0 if method == "vanilla_mse" else 25.0
            np.testing.assert_allclose(lines[method].get_xdata(), epoch - start)
            np.testing.assert_allclose(lines[method].get_ydata(), value)
    # The third method of the report is the third of its colours here, too.
    assert left.get_lines()[1].get_color() == style.SERIES[2]
    oracle = [ln for ln in right.get_lines() if ln.get_linestyle() == ":"]
    assert len(oracle) == 2
    assert max(ln.get_ydata().max() for ln in oracle) < 3000, "25 squared, times decay"


def test_logarithmic_labels_have_no_common_squared_error(tmp_path):
    data = {"name": "bikeshare", "label": "bikers", "label_scale": "log"}
    run = small(tmp_path / "run", "group_dir", groups={"num": 3}, data=data)
    names = [name for _, name, *_ in groups.figures({"group_dir": [run]})]
    assert names == ["groups", "group_gaps"]


def test_table_of_accuracies(by_number):
    """S000's table: per cent, a row for each criterion, a column for each number."""
    table = table_of(by_number)
    block = next(b for b in formats.blocks(table) if "accuracy in %" in b.title)
    assert block.header == ("number of groups", "5", "20")
    assert [row[0].mean for row in block.rows] == list(CRITERIA)
    for row in block.rows:
        for num, cell in zip(NUMBERS, row[1:], strict=True):
            seeds = []
            for run in of(by_number, row[0].mean):
                if run.config["groups"]["num"] == num:
                    result = json.loads((run.path / "result.json").read_text())
                    seeds.append(100 * result["test"]["group_accuracy"]["all"])
            assert cell.mean == f"{np.mean(seeds):.1f}"
            assert cell.std == f"{np.std(seeds, ddof=1):.1f}"
    assert "group accuracy in % by number of groups" in formats.to_text([table])


@pytest.mark.parametrize("metric", ["mae", "group_accuracy"])
def test_metric_over_the_number_of_groups(by_number, metric):
    table = table_of(by_number)
    (grid,) = grids.find(table)
    assert grid.fields == ("groups.num",)
    axes = draw(grid, table, metric, by_number[0].bins).get_axes()
    assert [ax.get_title(loc="left") for ax in axes] == ["all", *SHOTS]
    for ax, shot in zip(axes, ("all", *SHOTS), strict=True):
        assert len(ax.containers) == len(CRITERIA)
        for bars, method in zip(ax.containers, CRITERIA, strict=True):
            values = [
                [
                    run.result["test"][metric][shot]
                    for run in of(by_number, method)
                    if run.config["groups"]["num"] == num
                ]
                for num in NUMBERS
            ]
            np.testing.assert_allclose(bars.lines[0].get_ydata(), np.mean(values, 1))
            np.testing.assert_allclose(bars.lines[0].get_xdata(), NUMBERS, atol=0.5)
            std = np.std(values, 1, ddof=1)
            for whiskers in bars.lines[2] if std.any() else ():
                ends = [
                    (high - low) / 2 for (_, low), (_, high) in whiskers.get_segments()
                ]
                np.testing.assert_allclose(ends, std, atol=1e-12)
    unit = "MAE (bikers)" if metric == "mae" else "group accuracy"
    assert axes[0].get_ylabel() == unit


def test_bmae_bars_and_errors_of_each_label(study):
    table = table_of(study, "vanilla_mse")
    drawn = {name: figure for figure, name, *_ in index.of_methods(table)}
    axes = drawn["shots_bmae"].get_axes()
    order = [row.method for row in table.rows]
    for ax, shot in zip(axes, ("all", *SHOTS), strict=True):
        bars = {order[round(p.get_y() + p.get_height() / 2)]: p for p in ax.patches}
        assert set(bars) == {"vanilla_mse", *CRITERIA}, "the fake L1 run has none"
        for method, bar in bars.items():
            seeds = [r.result["test"]["bmae"][shot] for r in of(study, method)]
            np.testing.assert_allclose(bar.get_width(), np.mean(seeds))
    axes = drawn["error_panels"].get_axes()
    assert [ax.get_title(loc="left") for ax in axes] == order
    for ax, method in zip(axes, order, strict=True):
        error = np.sum([np.nan_to_num(p.get_data().values) for p in ax.patches], axis=0)
        seeds = [run.bin_errors() for run in of(study, method)]
        count = seeds[0][0]
        mean = np.mean([absolute for _, absolute in seeds], axis=0)
        np.testing.assert_allclose(error, mean / np.maximum(count, 1))
    assert not axes[0].get_shared_y_axes().joined(axes[0], axes[1])


@pytest.mark.slow
def test_report_has_the_figures_where_the_data_are(study, tmp_path, quick):
    made = {"groups", "group_gaps", "group_mse", "shots_bmae", "error_panels"}

    def names(runs, folder, **kwargs):
        folders = [run.path for run in runs]
        report.write_report(folders, tmp_path / folder, **kwargs)
        return {path.stem for path in (tmp_path / folder).glob("*.png")}

    assert made <= names(study, "all", base="vanilla_mse")
    text = (tmp_path / "all" / "table.txt").read_text()
    assert "test balanced MAE, lower is better" in text
    assert "test group accuracy, higher is better" in text
    assert "vanilla minus vanilla_mse" in text
    accuracy = text.partition("test group accuracy")[2].partition("\n\n")[0]
    assert "minus" not in accuracy, "the base predicts no groups"
    assert "it is a diagnostic only" in " ".join(text.split())
    assert made - {"shots_bmae", "error_panels"} <= names(study[3:4], "one")
    others = [run for run in study if "vanilla" in run.method]
    assert not made & names(others, "others", base="vanilla_mse")
    assert "bMAE" not in (tmp_path / "others" / "table.txt").read_text()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda g: g.update(of_bin=[0] * 5), "do not match its bins"),
        (lambda g: g.update(of_bin=[9] * 98), "do not match its bins"),
        (lambda g: g.pop("train_count"), "train_count"),
    ],
)
def test_damaged_groups_are_said(tmp_path, edit, said):
    run = small(tmp_path / "run", "group_dir", groups={"num": 7})
    change(run.path, "bins.json", lambda b: edit(b["groups"]))
    run = report.read_run(run.path)
    assert run.bins is None
    assert any("bins.json is damaged" in n and said in n for n in run.notes)
    assert not list(groups.figures({"group_dir": [run]}))


def test_damaged_predictions_of_groups_are_said(tmp_path):
    run = small(tmp_path / "run", "group_dir", groups={"num": 7})
    with np.load(run.path / "predictions.npz") as stored:
        arrays = dict(stored)
    arrays["group_prediction"] = arrays["group_prediction"][:-1]
    np.savez(run.path / "predictions.npz", **arrays)
    assert any("differ in shape" in n for n in report.read_run(run.path).notes)


def test_error_panels_have_nothing_where_nothing_was_tested():
    bins = TrainBins("age", "", np.arange(3.0), np.ones(2), np.zeros(2, int))
    count, sums = np.asarray([2.0, 0.0]), np.asarray([[6.0, 0.0]])
    (ax,) = methods.error_panels(bins, count, {"a": sums}).get_axes()
    np.testing.assert_array_equal(ax.patches[0].get_data().values, [3.0, np.nan])
