"""Intervals over seeds and test rows, and the sentences that follow from them."""

import math
import pathlib
import re

import numpy as np
import pytest

from dirjax import report
from dirjax.report import formats, spreads, tables
from dirjax.report.answers import answers, needs
from dirjax.report.runs import Run, TrainBins
from dirjax.report.spreads import Spread
from tests.report.made import change, scaled, small

SHOT = np.repeat([0, 1, 2], (20, 15, 15))
BINS = TrainBins("y", "", np.linspace(0, 100, 51), 100 - 45 * SHOT, SHOT)


def made(method, seed, label, gap):
    """A run that is off by `gap` at each row."""
    shot = SHOT[BINS.index(label)]
    here = {"all": shot >= 0, "many": shot == 0, "median": shot == 1, "few": shot == 2}
    test = {
        "mae": {name: float(np.abs(gap[rows]).mean()) for name, rows in here.items()},
        "rmse": {n: float(np.sqrt((gap[r] ** 2).mean())) for n, r in here.items()},
        "count": {name: int(rows.sum()) for name, rows in here.items()},
    }
    result = {"dataset": "d", "method": method, "seed": seed, "test": test}
    rows = {"label": label, "prediction": label + gap}
    path = pathlib.Path(f"{method}_{seed}")
    return Run(path, {}, result, (), BINS, rows, {}, ())


def compared(runs, base="a"):
    (table,) = tables.table(runs, ("mae", "rmse"), base)
    return table


@pytest.fixture(scope="module")
def label():
    return np.random.default_rng(0).uniform(0, 100, 600)


def test_one_run_has_the_standard_error_of_its_rows(label):
    gap = np.random.default_rng(1).normal(20, 4, len(label))
    value = compared([made("a", 0, label, gap)], None).rows[0].values["mae"]
    few = gap[SHOT[BINS.index(label)] == 2]
    expected = 1.97 * few.std(ddof=1) / math.sqrt(len(few))
    assert value["few"].half() == pytest.approx(expected, rel=0.08)
    assert value["few"].rows == len(few)
    again = compared([made("a", 0, label, gap)], None).rows[0].values["mae"]
    assert again["few"] == value["few"], "the draws are always the same"


def test_differences_are_paired_by_row(label):
    """Rows differ by far more than methods, by the same for both."""
    rng = np.random.default_rng(2)
    hard = rng.normal(50, 15, len(label))
    runs = [made("a", 0, label, hard), made("b", 0, label, hard - 1)]
    row = compared(runs).rows[1]
    gap = row.difference["mae"]["few"]
    assert gap.interval() == pytest.approx((-1, -1), abs=1e-6)
    assert row.values["mae"]["few"].half() > 1.5


def test_seeds_and_rows_both_count(label):
    rng = np.random.default_rng(3)
    row = rng.normal(0, 5, len(label))
    for by_seed, by_row in ((0.0, 1.0), (2.0, 0.0), (2.0, 1.0)):
        shifts = rng.permutation([-1.0, 0.0, 1.0])
        runs = []
        for seed in range(3):
            runs.append(made("a", seed, label, np.full(len(label), 60.0)))
            shift = by_seed * shifts[seed] + by_row * row
            runs.append(made("b", seed, label, 61 + shift))
        gap = compared(runs).rows[1].difference["mae"]["all"]
        assert gap.size == 3
        assert gap.std == pytest.approx(by_seed)
        expected = by_row * row.std() / math.sqrt(len(label))
        assert math.sqrt(gap.by_rows) == pytest.approx(expected, rel=0.1, abs=0.05)
    assert Spread(1.0, 2.0, 3).half() == pytest.approx(4.303 * 2 / math.sqrt(3), 1e-3)
    # Bonferroni: 1 - 0.025 / 5 = 0.995 of t with two degrees is 9.925.
    five = Spread(1.0, 2.0, 3, tests=5).half()
    assert five == pytest.approx(9.925 * 2 / math.sqrt(3), 1e-3)
    # Seeds that make no difference say nothing about other test rows.
    assert Spread(1.0, 0.0, 3).interval() is None
    assert Spread(1.0, 0.0, 3).sign == 0
    assert Spread(0.0, 0.0, 3).interval() == (0.0, 0.0)
    assert Spread(1.0, 0.0, 3, by_rows=1.0, rows=9).sign == 0


@pytest.mark.slow
def test_intervals_cover():
    """In 95 of 100 studies with three seeds, or a little more."""
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(200):
        label = rng.uniform(0, 100, 150)
        row, moved = rng.normal(0, 5, (2, 150))
        runs = [
            made(m, s, label, 60 + row + k * (1 + moved) + rng.normal(0, 0.5, 150))
            for s in range(3)
            for k, m in enumerate("ab")
        ]
        low, high = compared(runs).rows[1].difference["mae"]["few"].interval()
        hits.append(low <= 1 <= high)
    assert 0.9 < np.mean(hits) < 0.995


def test_metrics_on_redrawn_rows_are_those_of_the_rows(label):
    """If each row is drawn as often as it is there, they are those of result.json."""
    gap = np.random.default_rng(5).normal(0, 4, len(label))
    order = np.argsort(BINS.index(label), kind="stable")
    y, p = label[order, None] - 50, (label + gap)[order, None] - 50

    class Once:
        def integers(self, n, size):
            return np.tile(np.arange(size[1]), (size[0], 1)) % n

    twice = (np.concatenate([a, a[-1:]]) for a in (y, p, BINS.index(label)[order]))
    sums = spreads._draw_sums(*twice, 2, Once())
    n = len(label)
    found = {k: v[0, 0] for k, v in spreads._metrics(*sums).items()}
    error = np.abs(gap)
    index = BINS.index(label)
    by_bin = [error[index == k].mean() for k in np.unique(index)]
    expected = {
        "mae": error.mean(),
        "mse": (gap**2).mean(),
        "rmse": np.sqrt((gap**2).mean()),
        "gm": np.exp(np.log(error).mean()),
        "bmae": np.mean(by_bin),
        "pearson": np.corrcoef(label, label + gap)[0, 1],
    }
    assert found == pytest.approx(expected, rel=1e-6)
    assert sums[0][0, 0] == pytest.approx(n + 1)


def test_a_shot_of_one_row_has_no_interval(label):
    one = np.append(label[SHOT[BINS.index(label)] < 2], 99.0)
    gap = np.random.default_rng(6).normal(30, 3, len(one))
    runs = [made(m, s, one, gap + k) for s in range(2) for k, m in enumerate("ab")]
    table = compared(runs)
    gap = table.rows[1].difference["mae"]
    assert gap["few"].interval() is None
    assert gap["all"].interval() is not None
    assert gap["few"].sign == 0
    assert "b (+1.00; too few test rows to say)" in next(answers(table))


def test_without_rows_intervals_cover_seeds_and_say_so(tmp_path):
    folders = [
        small(
            tmp_path / f"{m}{k}", method=m, seed=k, shrink=0.2 + 0.1 * (m == "vanilla")
        )
        for m in ("vanilla", "lds")
        for k in range(2)
    ]
    whole = report.table([report.read_run(f) for f in folders], base="vanilla")
    assert "seeds and test rows" in formats.footnote(whole[0])
    (folders[0] / "predictions.npz").unlink()
    (table,) = report.table([report.read_run(f) for f in folders], base="vanilla")
    said = formats.footnote(table)
    assert "95 % interval over seeds by Student's t" in said
    assert "test rows: predictions by row are not stored for all runs." in said
    gap = table.rows[1].difference["mae"]["few"]
    assert gap.rows == 0
    assert gap.half() == pytest.approx(12.706 * gap.std / math.sqrt(2), 1e-3)
    # Without a common seed there is no difference, and it is said.
    (table,) = report.table(
        [report.read_run(f) for f in (folders[0], folders[3])], base="vanilla"
    )
    assert "lds has no seed in common with vanilla" in "".join(table.warnings)
    # Shots by other thresholds are no damage of files, and said aloud.
    pair = folders[2:4]
    change(pair[1], "bins.json", lambda b: b["shots"].reverse())
    (table,) = report.table([report.read_run(f) for f in pair])
    assert table.no_rows == "the runs have different shots of labels"
    assert any("may be those of the data" in w for w in table.warnings)
    change(pair[1], "bins.json", lambda b: b["shots"].reverse())
    # Predictions of another state of the run are not taken.
    change(folders[2], "result.json", lambda r: r["test"]["mae"].update(all=40.0))
    (table,) = report.table([report.read_run(f) for f in folders[2:]])
    assert table.no_rows.endswith("lds0/predictions.npz does not fit its result.json")


def test_what_would_decide():
    # Variance 0.5 of 40 rows: 1.96^2 x 0.5 x 40 = 77 rows, and a little for t.
    assert (
        needs(Spread(-1.0, None, 1, by_rows=0.5, rows=40)) == "needs about 84 test rows"
    )
    seeds = needs(Spread(1.0, 1.0, 3))
    assert re.fullmatch(r"needs about [67] seeds", seeds), "t of five degrees is 2.57"
    both = needs(Spread(1.0, 1.0, 3, by_rows=0.05, rows=100))
    assert re.fullmatch(r"needs about \d+ seeds", both), "rows alone cannot decide"
    crossed = needs(Spread(1.0, 1.0, 3, by_rows=0.5, rows=100))
    assert re.fullmatch(r"needs about \d+ test rows with \d+ seeds", crossed)
    either = needs(Spread(1.0, 0.5, 5, by_rows=0.2, rows=100))
    assert re.fullmatch(r"needs about \d+ test rows or \d+ seeds", either)
    tiny = Spread(1e-5, 1.0, 3, by_rows=1.0, rows=10)
    assert needs(tiny) == "too small a difference to decide"
    assert needs(Spread(1.0, None, 1)) == "one seed says nothing"


def test_a_sentence_for_each_shot(label):
    rng = np.random.default_rng(7)
    hard, few = rng.normal(50, 5, len(label)), SHOT[BINS.index(label)] == 2
    shift = {
        "a": 0,
        "better": -3 * few,
        "worse": 2,
        "like": rng.normal(0.2, 9, len(few)),
    }
    runs = [
        made(m, s, label, hard + rng.normal(0, 0.3, len(label)) + by)
        for m, by in shift.items()
        for s in range(2)
    ]
    table = compared(runs)
    first, *others = answers(table)
    pattern = (
        rf"few \({few.sum()} test rows\), MAE against a: better: better \(-3\.\d+\); "
        r"worse: worse \(\+[12]\.\d+\); undecided: like \([-+]\d\.\d+; needs .*\)\."
    )
    assert re.fullmatch(pattern, first), first
    assert [s.split()[0] for s in others] == ["median", "many", "all"]
    block = formats.blocks(table)[0]
    assert [c.mean for c in block.rows[0]][2:] == [
        f"{table.rows[0].runs[0].value('count', s):,.0f}"
        for s in ("all", "many", "median", "few")
    ]
    names = {row[0].mean: row[-1].best for row in block.rows}
    assert names == {
        "test rows": False,
        **dict.fromkeys(("a", "worse", "like"), False),
        "better": True,
        "better minus a": True,
        "worse minus a": True,
        "like minus a": False,
    }


@pytest.mark.parametrize(
    ("factor", "shown"), [(1e-8, r"\d\.\d{3}e-6"), (1e3, r"\d\d,\d{3}")]
)
def test_labels_of_every_size(tmp_path, quick, factor, shown):
    """Text, Markdown, LaTeX and the page; the CSV has all digits."""
    runs = [
        scaled(tmp_path / m, factor, method=m, shrink=shrink)
        for m, shrink in (("vanilla", 0.36), ("lds", 0.25))
    ]
    out = tmp_path / "out"
    page = report.write_report(runs, out).read_text()
    text, markdown = ((out / f"table.{e}").read_text() for e in ("txt", "md"))
    assert re.search(rf"lds +1 +{shown} ", text), text
    assert re.search(r"lds minus vanilla +1 +[-+][\d.,]+(e-6)? \[", text)
    assert re.search(rf"\| lds \| 1 \| \**{shown}", markdown)
    assert re.search(shown, page)
    for written in (text, markdown, page):
        assert "e+0" not in written
        assert "0.00000" not in written
    latex = (out / "table.tex").read_text()
    wanted = r"\cdot 10^{-6}" if factor < 1 else "{,}"
    assert wanted in latex
    csv = (out / "table.csv").read_text()
    value = report.read_run(runs[1]).value("mae", "all")
    assert repr(value) in csv


def test_eight_methods_with_five_seeds_are_quick():
    import time

    label = np.random.default_rng(8).uniform(0, 100, 5000)
    rng = np.random.default_rng(9)
    runs = [
        made(f"m{m}", s, label, rng.normal(30, 5, 5000))
        for m in range(8)
        for s in range(5)
    ]
    start = time.process_time()
    compared(runs, "m0")
    assert time.process_time() - start < 8
