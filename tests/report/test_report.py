"""Diagnostics over made-up run folders."""

import csv
import html.parser
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from dirjax import report
from dirjax.report.figures import methods as methods_lib
from dirjax.report.figures import style
from tests.fake_runs import SHOTS, write_run
from tests.report.made import change, small

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("one") / "run", stages=("main", "head"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    methods = {"ranksim": 0.3, "vanilla": 0.36, "sqinv_lds": 0.25}
    return [
        write_run(folder / f"{m}_{k}", method=m, seed=k, shrink=shrink + 0.01 * k)
        for m, shrink in methods.items()
        for k in range(5)
    ]


def python(*args, **kwargs):
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )


class _Page(html.parser.HTMLParser):
    """Collects tags and ids, and checks that every element is closed."""

    void = frozenset({"meta", "br", "use", "path", "link", "img", "image", "rect"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        names = ("href", "src", "xlink:href")
        self.links += [value for name, value in attrs if name in names]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


@pytest.mark.slow
def test_light_import_and_time(one, tmp_path):
    """Neither JAX nor TensorFlow; drawing and pages are imported when needed."""
    code = (
        "import sys, time; from dirjax import report; "
        "late = {'matplotlib', 'scipy', 'jinja2'} & set(sys.modules); "
        "assert not late, late; start = time.process_time(); "
        f"report.write_report([{str(one)!r}], {str(tmp_path)!r}); "
        "print(time.process_time() - start); "
        "bad = {'jax', 'flax', 'tensorflow', 'pandas', 'matplotlib.pyplot'}; "
        "sys.exit(str(bad & set(sys.modules)) if bad & set(sys.modules) else 0)"
    )
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5, "a training ends with its report"


def test_page_is_complete_and_stands_alone(one, tmp_path):
    path = report.write_report([one], tmp_path / "report")
    assert path == tmp_path / "report" / "report.html"
    text = path.read_text()
    assert text.startswith("<!doctype html>")
    page = _Page(text)
    assert len(page.ids) == len(set(page.ids)), "ids are unique over all figures"
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert {f"#{n}" for n in re.findall(r"url\(#([^)]+)\)", text)} <= {
        f"#{n}" for n in page.ids
    }
    assert "@import" not in text
    assert "<script" not in text
    figures = [a for tag, a in page.tags if tag == "svg"]
    assert len(figures) == 5
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in figures)
    assert "prefers-color-scheme: dark" in text
    for light, _ in style.COLOURS.values():
        assert light not in text.split("</style></head>")[1], "a colour is a variable"
    for name in ("histogram", "error_by_label", "predictions", "loss", "mae"):
        head = (tmp_path / "report" / f"{name}.png").read_bytes()[:8]
        assert head == b"\x89PNG\r\n\x1a\n"
    for word in ("best val mae/all", "jax 0.10.2", "21.4 s", "1,800", "cpu"):
        assert word in text
    assert "--config configs/bikeshare.py:sqinv_lds" in text
    assert "Warning" not in text


def test_one_run_as_text(one, tmp_path, quick):
    report.write_report([one], tmp_path)
    lines = (tmp_path / "table.txt").read_text().splitlines()
    assert lines[0] == "bikeshare, sqinv_lds, seed 0: test set at step 1800"
    assert lines[1].split() == ["all", "many", "median", "few"]
    rows = [line.split() for line in lines if not line.startswith("-")][2:7]
    assert [row[0] for row in rows] == ["MAE", "GM", "RMSE", "Pearson", "examples"]
    scores = json.loads((one / "result.json").read_text())["test"]
    shots = ("all", *SHOTS)
    assert rows[0][1::3] == [f"{scores['mae'][s]:.2f}" for s in shots]
    assert rows[3][1::3] == [f"{scores['pearson'][s]:.3f}" for s in shots]
    assert rows[4][1:] == [f"{scores['count'][s]:,}" for s in shots]
    assert max(map(len, lines)) < 89
    # The interval over rows: of a mean, by its standard error.
    run = report.read_run(one)
    error = np.abs(run.predictions["prediction"] - run.predictions["label"])
    few = error[run.bins.shot[run.bins.index(run.predictions["label"])] == 2]
    half = 1.98 * few.std(ddof=1) / np.sqrt(len(few))
    assert float(rows[0][12]) == pytest.approx(half, rel=0.1)
    assert "95 % interval over test rows (bootstrap" in " ".join(lines)


@pytest.mark.slow
def test_study_formats(study, tmp_path, quick):
    report.write_report(study, tmp_path, base="vanilla")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 4 * 4
    runs = [report.read_run(path) for path in study]
    ours = [r.value("mae", "few") for r in runs if r.method == "sqinv_lds"]
    base = [r.value("mae", "few") for r in runs if r.method == "vanilla"]
    row = next(
        r
        for r in rows
        if (r["method"], r["metric"], r["shot"]) == ("sqinv_lds", "mae", "few")
    )
    gap = np.subtract(ours, base)
    np.testing.assert_allclose(float(row["mean"]), np.mean(ours))
    np.testing.assert_allclose(float(row["std"]), np.std(ours, ddof=1))
    np.testing.assert_allclose(float(row["difference_mean"]), gap.mean())
    np.testing.assert_allclose(float(row["difference_std"]), gap.std(ddof=1))
    # Two methods: t of four degrees at 2.5 % / 2 for seeds, and rows widen that.
    half = 3.4954 * gap.std(ddof=1) / np.sqrt(5)
    ends = [float(row["difference_low"]), float(row["difference_high"])]
    assert np.mean(ends) == pytest.approx(gap.mean())
    assert half < (ends[1] - ends[0]) / 2 < 2 * half
    shown = f"{gap.mean():+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]"
    text = (tmp_path / "table.txt").read_text()
    assert shown in text
    said = " ".join(text.split())
    assert "over seeds and test rows (hierarchical bootstrap, 1,000 draws" in said
    assert "corrected for 2 methods (Bonferroni)" in said
    few = re.search(r"few \((\d+) test rows\), MAE against vanilla: (.*?)\.", said)
    assert few.group(1) == re.findall(r"test rows (?:[\d,]+ ){3}([\d,]+)", said)[0]
    assert "better: sqinv_lds (" in few.group(2)
    assert (row["pairs"], row["base"], row["seeds"]) == ("5", "vanilla", "0 1 2 3 4")
    latex = (tmp_path / "table.tex").read_text()
    assert r"sqinv\_lds & $5$ & $\mathbf{" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 4
    mean, interval = shown.split(" ", 1)
    assert rf"$\mathbf{{{mean}}}\ {interval}$" in latex
    markdown = (tmp_path / "table.md").read_text()
    interval = interval.replace("[", r"\[").replace("]", r"\]")
    assert f"**{mean}** {interval}" in markdown
    widths = {ln.count(" | ") for ln in markdown.splitlines() if ln.startswith("|")}
    assert widths == {5}
    assert "gain_by_label.png" in {path.name for path in tmp_path.iterdir()}
    page = (tmp_path / "report.html").read_text()
    _Page(page)
    minus = f"{ends[0]:+.2f}, {ends[1]:+.2f}".replace("-", "\N{MINUS SIGN}")
    assert f'<span class="std interval">[{minus}]</span>' in page
    # On a phone, tables of shots become lines of four numbers: `few` is in sight.
    assert page.count('<table class="shots names2">') == 4
    assert ".shots tr { display: grid; grid-template-columns: repeat(4" in page
    assert page.index('<ul class="answers">') < page.index("<table")


@pytest.mark.slow
def test_names_are_escaped(tmp_path, no_png):
    name = "a_b&c<d>$x$|{%"
    folder = small(tmp_path / "run", method=name)
    change(folder, "bins.json", lambda b: b.update(label=name, unit="$"))
    other = small(tmp_path / "other", method="vanilla")
    text = report.write_report([folder, other], tmp_path / "out").read_text()
    assert "<d>" not in text
    _Page(text)
    latex = (tmp_path / "out" / "table.tex").read_text()
    assert r"a\_b\&c<d>\$x\$|\{\%" in latex
    assert r"a\_b&c\<d>$x$\|{%" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    "missing", ["bins.json", "predictions.npz", "metrics.jsonl", "config.json"]
)
@pytest.mark.parametrize("damage", [False, True])
def test_missing_files_are_said(tmp_path, quick, missing, damage):
    folder = small(tmp_path / "run")
    (folder / missing).unlink()
    if damage and missing != "config.json":
        (folder / missing).write_bytes(b"{\x00 not what it should be")
    text = report.write_report([folder], tmp_path / "out").read_text()
    assert "Left out" in text
    assert missing in text.split("Left out")[1]
    drawn = len(list((tmp_path / "out").glob("*.png")))
    assert drawn == {"bins.json": 3, "config.json": 5, "predictions.npz": 3}.get(
        missing, 3
    )


@pytest.mark.slow
def test_empty_shots(tmp_path, no_png):
    """All bins are few-shot, and no other group has a test example."""
    folder = small(tmp_path / "run")

    def bins(content):
        content["train_count"] = [min(c, 5) for c in content["train_count"]]
        content["shots"] = ["few"] * len(content["shots"])

    def result(content):
        for table in content["test"].values():
            table.update(few=table["all"], many=None, median=None)
        content["test"]["count"].update(many=0, median=0)

    change(folder, "bins.json", bins)
    change(folder, "result.json", result)
    report.write_report([folder], tmp_path / "out")
    text = (tmp_path / "out" / "table.txt").read_text()
    assert "Warning" not in text
    mae = next(line for line in text.splitlines() if line.startswith("MAE"))
    assert re.fullmatch(r"MAE +[\d.]+ ± [\d.]+ +- +- +[\d.]+ ± [\d.]+", mae)


def test_groups_beside_a_run_without_them(tmp_path, quick):
    runs = [small(tmp_path / m, method=m) for m in ("vanilla", "group_dir", "group_ce")]
    for run, hits in zip(runs[1:], (0.75, 0.5), strict=True):
        scores = {
            "group_accuracy": {"all": hits, "many": 1.0, "median": None, "few": 0.5},
            "oracle_mae": {"all": 30 * hits, "many": 9.0, "median": None, "few": 40.0},
            "nll": {"all": None},
        }
        change(run, "result.json", lambda r, s=scores: r["test"].update(s))
    report.write_report(runs, tmp_path / "out")
    text = (tmp_path / "out" / "table.txt").read_text()
    counts = json.loads((runs[0] / "result.json").read_text())["test"]["count"]
    _, block = text.split("group accuracy, higher is better\n")
    lines = block.split("\n\n")[0].splitlines()
    # The base has none, so there is nothing to compare with.
    assert [line.split() for line in lines[2:]] == [
        ["test", "rows", "400", *(f"{counts[s]}" for s in SHOTS)],
        ["vanilla", "1", "-", "-", "-", "-"],
        ["group_dir", "1", "0.750", "1.000", "-", "0.500"],
        ["group_ce", "1", "0.500", "1.000", "-", "0.500"],
    ]
    assert "oracle MAE, lower is better" in text
    assert "true group, which is unknown in practice" in " ".join(text.split())
    assert "group distance" not in text
    best = (tmp_path / "out" / "table.md").read_text()
    assert "| group\\_dir | 1 | 0.750 |" in best, "no interval, so nothing is bold"
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        found = [r for r in csv.DictReader(file) if r["metric"] == "group_accuracy"]
    assert [r["mean"] for r in found if r["shot"] == "all"] == ["", "0.75", "0.5"]
    report.write_report(runs[:1], tmp_path / "alone")
    assert "oracle" not in (tmp_path / "alone" / "table.txt").read_text()


def test_several_data_sets_dense_and_unfinished(tmp_path, quick):
    first = small(tmp_path / "first", method="vanilla")
    dense = small(tmp_path / "dense", method="vanilla", dataset="nyud2")
    scores = {"all": 0.9, "many": 0.91, "median": 0.8, "few": None}
    change(dense, "result.json", lambda r: r["test"].update(delta1=scores))
    run = report.read_run(dense)
    count, absolute = run.bin_errors()
    np.savez(dense / "predictions.npz", count=count, abs=absolute)
    again = report.read_run(dense).bin_errors()
    np.testing.assert_allclose(
        again[1] / np.maximum(count, 1), absolute / count.clip(1)
    )
    waiting = small(tmp_path / "waiting", finished=False, seed=4)
    text = report.write_report([first, dense, waiting], tmp_path / "out").read_text()
    assert "<h2>bikeshare</h2>" in text
    assert "<h2>nyud2</h2>" in text
    assert "delta1" in text
    assert "Unfinished runs" in text
    assert "waiting: bikeshare, sqinv_lds, seed 4, last logged step 2000" in text
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert {"bikeshare-predictions.png", "nyud2-error_by_label.png"} <= names
    assert "nyud2-predictions.png" not in names


def test_command_and_show(tmp_path, quick, capsys):
    folder = small(tmp_path / "run")
    assert report.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"Report: {folder / 'report' / 'report.html'}\n")
    assert out.startswith("bikeshare, sqinv_lds, seed 0")
    assert report.show(folder)["best_step"] == 1800
    assert "MAE" in capsys.readouterr().out


@pytest.mark.slow
def test_many_methods_fit(tmp_path, no_png):
    """More methods than colours, long names, and counts on a linear axis."""
    folders = [
        small(tmp_path / str(k), method=f"a_method_with_a_long_name_{k}")
        for k in range(7)
    ]
    for folder in folders:
        change(
            folder,
            "bins.json",
            lambda b: b.update(train_count=[500] * 98, shots=["many"] * 98),
        )
    base = "a_method_with_a_long_name_3"
    text = report.write_report(folders, tmp_path / "out", base).read_text()
    assert "show the first 6 of 7 methods" in text


def test_merge_keeps_sums():
    count = np.arange(98.0)
    edges, (joined,) = methods_lib.merge(np.arange(99.0), [count])
    assert len(joined) == len(edges) - 1 <= 30
    assert joined.sum() == count.sum()
    assert edges[-1] == 98.0


def test_settings_are_chosen_by_validation(tmp_path, capsys, quick):
    """The same command shows the other split, in the table and its title."""
    scores = dict.fromkeys(("all", "many", "median", "few"))
    runs = [small(tmp_path / str(k), seed=k) for k in range(2)]
    for k, run in enumerate(runs):
        values = {"mae": dict.fromkeys(scores, 70.0 + k)}
        change(run, "result.json", lambda r, values=values: r.update(val=values))
    out = str(tmp_path / "report")
    assert report.main([*map(str, runs), "--split", "val", "--output", out]) == 0
    shown = capsys.readouterr().out
    assert "val set" in shown
    assert "70.50" in shown
