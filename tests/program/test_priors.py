"""A finished run for another label distribution: every command says the same."""

import csv
import json
import shutil

import numpy as np
import pytest

from dirjax import correct, errors, evaluate, labels, predict, report
from dirjax.evals import corrected, frontier
from dirjax.labels import Bins
from dirjax.report import frontiers
from dirjax.workdir import run_files
from tests import own_data, runs
from tests.program.answers import COLUMNS, PARTS, to_csv

FIELDS = {"data__label": "y", **own_data.TINY}


@pytest.fixture(scope="module", params=["vanilla", "histogram"])
def plain(request, on_a_table, tmp_path_factory):
    """A run as trained, of a number and of a distribution."""
    if request.param == "vanilla":
        return on_a_table / "run"
    folder = tmp_path_factory.mktemp(request.param)
    file = own_data.write(folder, "mine.csv", to_csv(COLUMNS))
    fields = {**FIELDS, "model__encoder": {"width": 8, "depth": 1}}
    made = own_data.config(file, argument=request.param, **fields)
    runs.run(made, folder / "run")
    return folder / "run"


def rows_of(folder, split):
    name = run_files.PREDICTIONS if split == "test" else run_files.VALIDATION
    return dict(np.load(folder / name))


def points(result, tau, decode):
    return [
        p
        for p in result["frontier"]["points"]
        if (p["tau"], p["decode"]) == (tau, decode)
    ]


def test_a_run_keeps_its_frontier(plain):
    result = runs.result(plain)
    assert result["prior"]["target"] == "train"
    assert result["prior"]["tau"] == 0.0
    taus = {p["tau"] for p in result["frontier"]["points"]}
    assert taus == set(frontier.TAUS)
    (own,) = points(result, 0.0, result["prior"]["decode"])
    for split in ("val", "test"):
        for metric, shots in own[split].items():
            for shot, value in shots.items():
                want = result[split][metric][shot]
                assert value == (want and pytest.approx(want, rel=1e-5)), metric


def test_the_frontier_is_that_of_its_files(plain):
    """Recomputed from the run's files with `dirjax.correct` alone."""
    result, bins = runs.result(plain), run_files.read_bins(plain)
    val, test = rows_of(plain, "val"), rows_of(plain, "test")
    support = bins.get("support", bins)
    prior = correct.Prior(
        Bins(np.asarray(support["edges"])),
        correct.correction.priors.training(support["train_count"]),
    )
    if "log_probs" in val:
        model = correct.Correction(prior, decode="median")
    else:
        model = correct.of_prior(prior, val["prediction"], val["label"])
    found = model.apply(test["prediction"], tau=0.5, log_probs=test.get("log_probs"))
    (point,) = points(result, 0.5, model.decode)
    want = np.abs(found - test["label"]).mean()
    assert point["test"]["mae"]["all"] == pytest.approx(want, rel=1e-5)


def test_evaluate_gives_the_frontier_of_the_result(plain):
    result = runs.result(plain)
    found = evaluate.evaluate(plain, prior={"target": "uniform"})
    for one, two in zip(
        found["frontier"]["points"], result["frontier"]["points"], strict=True
    ):
        assert one["test"]["mae"]["all"] == pytest.approx(two["test"]["mae"]["all"])
    # Tau is that of the smallest validation error.
    own = [
        p
        for p in result["frontier"]["points"]
        if p["decode"] == found["prior"]["decode"]
    ]
    best = min(own, key=lambda p: (p["val"]["mae"]["all"], p["tau"]))
    assert found["prior"]["tau"] == best["tau"]
    assert found["test"]["mae"]["all"] == pytest.approx(best["test"]["mae"]["all"])


def test_a_model_that_predicts_the_mode_has_a_frontier_of_it(tmp_path):
    file = own_data.write(tmp_path, "mine.csv", to_csv(COLUMNS))
    fields = {**FIELDS, "model__encoder": {"width": 8, "depth": 1}}
    made = own_data.config(file, argument="histogram", **fields)
    made["model"]["head_options"]["decode"] = "mode"
    folder = tmp_path / "run"
    runs.run(made, folder)
    result = runs.result(folder)
    assert result["prior"]["decode"] == "mode"
    (own,) = points(result, 0.0, "mode")
    want = result["test"]["mae"]["all"]
    assert own["test"]["mae"]["all"] == pytest.approx(want, rel=1e-5)
    assert len(points(result, 0.5, "median")) == 1
    table = frontiers.by_method({"histogram": [report.read_run(folder)]}, None)
    assert "corrected for uniform labels" in table
    # The strength is chosen among its points.
    found = evaluate.evaluate(folder, prior={"target": "uniform"})
    assert found["prior"]["decode"] == "mode"


def test_a_single_tau_is_used(plain):
    found = evaluate.evaluate(plain, prior={"target": "uniform"}, taus=(0.75,))
    assert found["prior"]["tau"] == 0.75
    (point,) = points(runs.result(plain), 0.75, found["prior"]["decode"])
    got, want = found["test"]["mae"]["all"], point["test"]["mae"]["all"]
    assert got == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("tau", [None, 1.0])
@pytest.mark.quick("histogram-None")
def test_predict_says_what_evaluate_measures(plain, tau, tmp_path):
    fields = {"target": "uniform"} | ({} if tau is None else {"tau": tau})
    test = [i for i, part in enumerate(PARTS) if part == "test"]
    file = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS, test))
    out = tmp_path / "out.csv"
    predict.predict(plain, file, out, prior=fields, coverage=0.9)
    with out.open() as opened:
        lines = list(csv.DictReader(opened))
    found = np.array([float(line["prediction"]) for line in lines])
    labels = np.array(COLUMNS["y"], float)[test]
    taus = () if tau is None else (tau,)
    measured = evaluate.evaluate(plain, prior={"target": "uniform"}, taus=taus)
    want = measured["test"]["mae"]["all"]
    assert np.abs(found - labels).mean() == pytest.approx(want, rel=1e-4)
    low, high = (np.array([float(line[k]) for line in lines]) for k in ("low", "high"))
    inside = (low <= labels) & (labels <= high)
    covered = measured["distribution"]["test"]["conformal_coverage"]["all"]
    assert inside.mean() == pytest.approx(covered)
    # Runs store the intervals as trained.
    stored = rows_of(plain, "test")
    inside = (stored["low"] <= labels) & (labels <= stored["high"])
    spread = runs.result(plain)["distribution"]["test"]
    assert inside.mean() == pytest.approx(spread["conformal_coverage"]["all"])
    # The same on the file as on the split.
    again, _ = evaluate.evaluate_file(plain, file, prior=fields)
    assert again["input"]["mae"]["all"] == pytest.approx(want, rel=1e-4)


def test_predict_without_a_prior_is_as_trained(plain, tmp_path):
    test = [i for i, part in enumerate(PARTS) if part == "test"]
    file = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS, test))
    predict.predict(plain, file, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "index,prediction"
    found = [float(line.split(",")[1]) for line in lines[1:]]
    np.testing.assert_allclose(found, rows_of(plain, "test")["prediction"], rtol=1e-4)


def test_the_squared_error_may_choose(plain):
    """A run that selects by it, as of STS-B, has a frontier of root mean squares."""
    kept = runs.result(plain)["frontier"]["points"]
    found, same = (
        frontier.best(kept, "val", metric=metric, shot="few")
        for metric in ("mse", "rmse")
    )
    assert found is same
    assert found is not None


@pytest.mark.slow
def test_a_config_may_ask_for_it(plain, tmp_path):
    """Metrics, files and predictions of such a run are corrected throughout."""
    config = json.loads((plain / run_files.CONFIG).read_text())
    made = own_data.config(
        plain.parent / "mine.csv",
        argument=config["method"],
        **{**FIELDS, "model__encoder": {"width": 8, "depth": 1}},
        prior__target="uniform",
        prior__tau=0.5,
    )
    result = runs.run(made, tmp_path / "run")
    assert result["prior"]["tau"] == 0.5
    (want,) = points(runs.result(plain), 0.5, result["prior"]["decode"])
    got = result["test"]["mae"]["all"]
    assert got == pytest.approx(want["test"]["mae"]["all"], rel=1e-4)
    stored = rows_of(tmp_path / "run", "test")
    np.testing.assert_allclose(
        stored["as_trained"], rows_of(plain, "test")["prediction"], rtol=1e-4
    )
    error = np.abs(stored["prediction"] - stored["label"]).mean()
    assert error == pytest.approx(got, rel=1e-5)
    assert evaluate.evaluate(tmp_path / "run")["test"]["mae"]["all"] == pytest.approx(
        got
    )
    test = [i for i, part in enumerate(PARTS) if part == "test"]
    file = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS, test))
    predict.predict(tmp_path / "run", file, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    found = [float(line.split(",")[1]) for line in lines]
    np.testing.assert_allclose(found, stored["prediction"], rtol=1e-3)


@pytest.mark.quick("vanilla")
def test_another_distribution_has_a_strength_of_its_own(plain, tmp_path):
    """Not that which the run has for its own, such as none."""
    copy = shutil.copytree(plain, tmp_path / "run")
    config = run_files.read_config(copy)
    for target, tau in (("uniform", 0.875), (str(plain.parent / "mine.csv"), 0.0)):
        config["prior"]["tau"] = tau
        (copy / run_files.CONFIG).write_text(json.dumps(config))
        got, want = (
            evaluate.evaluate(run, prior={"target": target}) for run in (copy, plain)
        )
        assert got["prior"] == want["prior"]
        assert got["prior"]["tau"] != tau
        assert got["test"] == want["test"]


@pytest.mark.quick("vanilla")
def test_what_cannot_be_followed_is_told_before_training(plain, tmp_path):
    """A file without the label; too few validation rows for residuals."""
    other = tmp_path / "other.csv"
    other.write_text("cost\n1\n2\n")
    parts = ["train" if p == "val" else p for p in PARTS]
    without = own_data.write(
        tmp_path, "without.csv", to_csv({**COLUMNS, "split": parts})
    )
    parts[PARTS.index("val")] = "val"
    one = own_data.write(tmp_path, "one.csv", to_csv({**COLUMNS, "split": parts}))
    mine = plain.parent / "mine.csv"
    for file, target, tau, said in (
        (mine, str(other), None, "other.csv has no column 'y'"),
        (without, "uniform", 0.5, "at least two validation rows, which without lacks"),
        (without, str(mine), None, "at least two validation rows"),
        (one, "uniform", 0.5, "at least two validation rows, which one lacks"),
    ):
        fields = {"prior__target": target, "prior__tau": tau}
        made = own_data.config(file, argument="vanilla", **{**FIELDS, **fields})
        with pytest.raises(errors.InputError, match=said):
            runs.run(made, tmp_path / "run")
        assert not (tmp_path / "run" / run_files.METRICS).exists()


@pytest.mark.quick("vanilla")
class TestFileOfLabels:
    """The label distribution of a file: only its labels are looked at."""

    def test_is_that_of_the_labels(self, plain, tmp_path):
        high = [
            y
            for y in COLUMNS["y"]
            if float(y) > np.median(rows_of(plain, "test")["label"])
        ]
        file = tmp_path / "high.csv"
        file.write_text("\n".join(["y", *map(str, high)]) + "\n")
        np.savez(tmp_path / "high.npz", y=np.array(high, float))
        found = {}
        for name in ("high.csv", "high.npz"):
            prior = {"target": str(tmp_path / name)}
            found[name] = evaluate.evaluate(plain, prior=prior)
        one, two = found.values()
        assert one["test"] == two["test"]
        # A full correction, unless it is said otherwise.
        assert one["prior"]["tau"] == 1.0
        assert one["frontier"]["target"] == str(file)

        spec = corrected.spec_of(plain)
        rows = corrected.rows_of(plain, "test")
        config = run_files.read_config(plain)["prior"]
        scale = labels.Scale()
        model = frontier.correction(
            config, corrected.rows_of(plain, "val"), spec, scale, own="median"
        )
        target = correct.priors.of_labels(np.array(high, float), model.prior.bins)
        want = model.apply(rows.prediction, target=target, log_probs=rows.log_probs)
        got = one["test"]["mae"]["all"]
        assert got == pytest.approx(np.abs(want - rows.value).mean(), rel=1e-5)

        out = tmp_path / "out.csv"
        test = [i for i, part in enumerate(PARTS) if part == "test"]
        new = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS, test))
        predict.predict(plain, new, out, prior={"target": str(file)})
        lines = out.read_text().splitlines()[1:]
        predicted = [float(line.split(",")[1]) for line in lines]
        np.testing.assert_allclose(predicted, want, rtol=1e-3)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "must be train, uniform or a file of labels; there is no file"),
            ("z\n1\n", "has no column 'y' .the label of the run"),
            ("y\n1\nmany\n", "many"),
            ("y\n1e6\n2e6\n1\n", r"2 of 3 lie outside of its bins.*Convert them"),
        ],
    )
    def test_refused(self, plain, text, said, tmp_path):
        file = tmp_path / "labels.csv"
        if text:
            file.write_text(text)
        with pytest.raises(errors.InputError, match=said):
            evaluate.evaluate(plain, prior={"target": str(file)})

    def test_no_flag_skips_its_rows(self, plain, tmp_path):
        for text in ("y\n1\nmany\n", "y,z\n1,2\n3\n"):
            file = own_data.write(tmp_path, "labels.csv", text)
            with pytest.raises(errors.InputError) as raised:
                evaluate.evaluate(plain, prior={"target": str(file)})
            assert "or remove such rows." in str(raised.value)
            assert "--on_bad" not in str(raised.value)


class TestWrongInput:
    @pytest.mark.parametrize(
        ("call", "said"),
        [
            ({"prior": {"tau": 0.5}}, "--tau is the strength of a correction"),
            ({"step": "1", "coverage": 0.9}, "was fitted at step"),
        ],
    )
    def test_predict(self, plain, call, said, tmp_path):
        file = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS))
        out = tmp_path / "out.csv"
        if "step" in call:
            best = runs.result(plain)["best_step"]
            steps = [int(f.name) for f in (plain / "checkpoints").glob("[0-9]*")]
            other = [s for s in steps if s != best]
            if not other:
                pytest.skip("the run kept only its best step")
            call = {**call, "step": str(other[0])}
        with pytest.raises(errors.InputError, match=said):
            predict.predict(plain, file, out, **call)
        assert not out.exists()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--tau", "0.5"], "Add --prior uniform"),
            (["--prior", "uniform", "--tau", "2"], "--tau must be numbers from 0 to 1"),
            (["--prior", "uniform", "--tau", "a,b"], "got 'a,b'"),
            (["--input", "x.csv", "--tau", "0,1"], "--input takes one --tau"),
        ],
    )
    def test_evaluate(self, plain, arguments, said):
        with pytest.raises(errors.InputError, match=said):
            evaluate._main(["--workdir", str(plain), *arguments])

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            (
                "prior__target",
                "balanced",
                "prior.target must be train or uniform",
            ),
            ("prior__tau", 1.5, "prior.tau must be from 0 to 1"),
            ("prior__taps", 4, "prior.taps must be an odd number"),
            ("prior__law", "cauchy", "prior.law must be one of laplace"),
        ],
    )
    def test_fields(self, plain, field, value, said, tmp_path):
        made = own_data.config(plain.parent / "mine.csv", **FIELDS, **{field: value})
        with pytest.raises(errors.InputError, match=said):
            runs.run(made, tmp_path / "run")


class TestWithoutValidation:
    """Nothing chooses tau: that is said before training, not guessed."""

    def file(self, folder):
        parts = ["test" if part == "val" else part for part in PARTS]
        return own_data.write(folder, "mine.csv", to_csv(COLUMNS | {"split": parts}))

    def test_tau_must_be_given(self, tmp_path):
        made = own_data.config(
            self.file(tmp_path), argument="histogram", **FIELDS, prior__target="uniform"
        )
        with pytest.raises(
            errors.InputError, match=r"--config\.prior\.tau=0\.5, or mark"
        ):
            runs.run(made, tmp_path / "run")
        assert not (tmp_path / "run" / "config.json").exists()

    @pytest.mark.slow
    def test_a_distribution_needs_no_validation_rows(self, tmp_path):
        made = own_data.config(
            self.file(tmp_path),
            argument="histogram",
            **{**FIELDS, "model__encoder": {"width": 8, "depth": 1}},
            prior__target="uniform",
            prior__tau=0.5,
        )
        result = runs.run(made, tmp_path / "run")
        assert result["prior"]["tau"] == 0.5
        assert "as_trained" in rows_of(tmp_path / "run", "test")
        with pytest.raises(errors.InputError, match="Give it with --tau"):
            evaluate.evaluate(
                tmp_path / "run", prior={"target": "uniform", "tau": None}
            )


def test_intervals_are_not_below_the_least_label(plain, tmp_path, monkeypatch):
    """As predictions, with `data.label_low`."""
    record = json.loads((plain / run_files.DATA).read_text())
    least = float(np.median(COLUMNS["y"]))
    record["scale"]["low"] = least
    copy = shutil.copytree(plain, tmp_path / "run")
    (copy / run_files.DATA).write_text(json.dumps(record))
    file = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS))
    predict.predict(copy, file, tmp_path / "out.csv", coverage=0.9)
    with (tmp_path / "out.csv").open() as opened:
        lines = list(csv.DictReader(opened))
    for name in ("low", "high", "prediction"):
        found = np.array([line[name] for line in lines], np.float32)
        assert found.min() >= np.float32(least), name
    assert any(float(line["high"]) > least for line in lines)


@pytest.mark.quick("vanilla")
def test_intervals_without_an_end_are_told(plain, tmp_path):
    """A few validation rows cannot promise nearly all."""
    file = own_data.write(tmp_path, "new.csv", to_csv(COLUMNS))
    found = predict.predict(plain, file, tmp_path / "out.csv", coverage=0.999)
    said = "intervals have no end: the run has too few"
    assert any(said in note for note in found.notes)
    found = predict.predict(plain, file, tmp_path / "out.csv", coverage=0.5)
    assert not any(said in note for note in found.notes)
