"""Figures of norms and errors by label: the numbers that are drawn."""

import json

import numpy as np
import pytest

from dirjax import report
from dirjax.report import formats, norm_order
from dirjax.report.figures import norms, style
from dirjax.workdir import run_files
from tests.fake_runs import SHOTS, write_run

NUM = 98


def made_up(folder, method="vanilla", seed=0, targets=False, **config):
    """A run folder with features of both splits; returns the run and the arrays."""
    write_run(folder, examples=400, method=method, seed=seed, **config)
    bins = json.loads((folder / "bins.json").read_text())
    bins["train_count"][-3:] = [0, 0, 0]
    (folder / "bins.json").write_text(json.dumps(bins))
    stored = {}
    for k, split in enumerate(("train", "test")):
        rng = np.random.default_rng([seed, k, len(method)])
        one = {
            "count": np.full(NUM, 4),
            "error": rng.uniform(1, 9, NUM),
            "norm": np.arange(NUM) + rng.normal(0, 9, NUM),
            "norm_prototype": 2 + np.arange(NUM) * rng.uniform(0, 1, NUM),
            "variance_mean": np.ones(NUM),
            "total_mean": np.asarray(2.0),
            "edges": np.asarray(bins["edges"]),
            "split": np.asarray(split),
            "step": np.asarray(1800),
        }
        one["norm_prototype"][-5 - k :] = np.nan
        if targets:
            one["norm_measured"] = np.arange(NUM) * 0.9
            one["norm_line"] = np.arange(NUM) * 1.1
            one["norm_target"] = np.where(np.arange(NUM) < 30, 7.0, one["norm_line"])
        run_files.write_features(folder, one, 1800)
        stored[split] = one
    return report.read_run(folder), stored


def lines(ax):
    return {ln.get_label(): ln.get_xydata().T for ln in ax.get_lines()}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two methods, two seeds each: (run, arrays) by method."""
    root = tmp_path_factory.mktemp("norms")
    return {
        method: [
            made_up(root / f"{method}{seed}", method, seed, method == "frobenius")
            for seed in (0, 1)
        ]
        for method in ("vanilla", "frobenius")
    }


def of(study):
    return {method: [run for run, _ in made] for method, made in study.items()}


def test_what_is_drawn_is_what_was_measured(study):
    drawn = {name: figure for figure, name, *_ in norms.figures(of(study))}
    assert set(drawn) == {"norms_by_label", "label_errors"}
    middle = np.arange(NUM) * 10.0 + 5
    for name, field in (
        ("norms_by_label", "norm_prototype"),
        ("label_errors", "error"),
    ):
        axes = [ax for ax in drawn[name].get_axes() if ax.get_title(loc="left")]
        assert [ax.get_title(loc="left") for ax in axes] == list(study)
        for ax, made in zip(axes, study.values(), strict=True):
            found = lines(ax)
            for split, said in (("train", "training"), ("test", "test")):
                want = np.mean([stored[split][field] for _, stored in made], axis=0)
                real = np.isfinite(want)
                np.testing.assert_array_equal(found[said][0], middle[real])
                np.testing.assert_allclose(found[said][1], want[real])
            assert ("target" in found) == (
                name == "norms_by_label" and ax is axes[1]
            ), "vanilla has norms and no targets"
    # Training and test data are not the same numbers.
    assert not np.array_equal(found["training"][1], found["test"][1])


def test_line_and_targets_stand_where_there_was_training(study):
    run, stored = study["frobenius"][0]
    ax = next(iter(norms.figures({"frobenius": [run]})))[0].get_axes()[0]
    found, some = lines(ax), run.bins.count > 0
    assert 0 < some.sum() < NUM
    train = stored["train"]
    for said, field in (
        ("target", "norm_target"),
        ("before fine-tuning", "norm_measured"),
    ):
        np.testing.assert_array_equal(found[said][1], train[field][some])
    np.testing.assert_array_equal(found["line"][1], train["norm_line"])
    # The background changes where the shot group does.
    shades = [p for p in ax.patches if p.get_alpha() == 0.13]
    borders = sum(np.diff(run.bins.shot) != 0)
    assert len(shades) == borders + 1
    middle = run.bins.edges[:-1] + 5
    for shade in shades:
        low, width = shade.get_x(), shade.get_width()
        inside = (middle > low) & (middle < low + width)
        (shot,) = set(run.bins.shot[inside])
        assert style.LIGHT[SHOTS[shot]] == "#" + "".join(
            f"{round(255 * c):02x}" for c in shade.get_facecolor()[:3]
        )


@pytest.mark.parametrize("where", ["objective", "stage"])
def test_norms_are_those_of_the_method(where, tmp_path):
    terms = {"terms": {"l1": {}, "norm_target": {"reading": "mean_of_norms"}}}
    fields = {"objective": terms}
    fields = fields if where == "objective" else {"stage": {"tune": fields}}
    run, stored = made_up(tmp_path / "run", "frobenius", **fields)
    np.testing.assert_array_equal(norm_order.norms(run)["test"], stored["test"]["norm"])


def test_order_by_hand(study):
    """Ranks from a sort, not from the module."""
    run, stored = study["vanilla"][1]
    got = norm_order.order(run)
    assert list(got) == ["training", "test"]
    for split, said in (("train", "training"), ("test", "test")):
        norm = stored[split]["norm_prototype"]
        for k, shot in enumerate(("all", *SHOTS)):
            here = np.isfinite(norm) & ((shot == "all") | (run.bins.shot == k - 1))
            rank = np.argsort(np.argsort(norm[here]))
            want = np.corrcoef(rank, np.arange(here.sum()))[0, 1]
            assert got[said][shot] == pytest.approx(want)


def test_table_of_orders(study):
    (table,) = report._tables(
        [run for made in of(study).values() for run in made], None
    )
    block = next(
        b for b in formats.blocks(table) if "order of feature norms" in b.title
    )
    assert block.header == ("Spearman", "seeds", "all", *SHOTS)
    names = [row[0].mean for row in block.rows]
    assert names == [f"{m}, {s}" for m in study for s in ("training", "test")]
    for row in block.rows:
        method, split = row[0].mean.split(", ")
        assert row[1].mean == "2"
        for cell, shot in zip(row[2:], ("all", *SHOTS), strict=True):
            seeds = [norm_order.order(run)[split][shot] for run, _ in study[method]]
            assert cell.mean == f"{np.mean(seeds):.3f}"
            assert cell.std == f"{np.std(seeds, ddof=1):.3f}"
    (one,) = report._tables([study["vanilla"][0][0]], None)
    assert "order of feature norms" in formats.to_text([one])


def test_files_without_norms_are_no_error(tmp_path):
    """The feature balance needs none."""
    run, stored = made_up(tmp_path / "run")
    for one in stored.values():
        old = {k: v for k, v in one.items() if k not in ("norm_prototype", "error")}
        run_files.write_features(tmp_path / "run", old, 1800)
    run = report.read_run(tmp_path / "run")
    assert run.features
    assert not run.notes
    assert not list(norms.figures({"vanilla": [run]}))
    (table,) = report._tables([run], None)
    assert len(formats.blocks(table)) == 1


@pytest.mark.parametrize("name", ["error", "norm_target"])
def test_arrays_of_another_size_are_said(name, tmp_path):
    run, stored = made_up(tmp_path / "run", targets=True)
    run_files.write_features(
        tmp_path / "run", stored["train"] | {name: np.ones(3)}, 1800
    )
    run = report.read_run(tmp_path / "run")
    assert not run.train_features
    assert any("features_train.npz is damaged" in note for note in run.notes)
    assert list(norm_order.norms(run)) == [
        "test",
        "before fine-tuning",
        "line",
        "target",
    ]
