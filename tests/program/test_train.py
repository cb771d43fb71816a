"""Whole runs, as a user starts them."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from dirjax import errors as errors_lib
from dirjax import metrics, train
from tests import commands, runs

SHOTS = {"all", "many", "median", "few"}


def command(*arguments, **kwargs):
    """Runs `python -m dirjax.main` with one device, as on a laptop."""
    return commands.run("-m", "dirjax.main", *arguments, **kwargs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The default run in its short form, on a small model, from an empty folder."""
    empty = tmp_path_factory.mktemp("empty")
    done = command(
        *("--config=configs/bikeshare.py:sqinv_lds,smoke", "--workdir=run"),
        *("--config.model.encoder.width=16", "--config.model.encoder.depth=1"),
        f"--config.data.drop={runs.DROPPED}",
        cwd=empty,
    )
    assert done.returncode == 0, done.stderr
    return done, empty / "run"


def test_the_terminal_shows_table_and_report_and_nothing_else(finished):
    done, workdir = finished
    assert done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    table = {row[0]: row[1:] for row in rows}
    assert ["all", "many", "median", "few"] in rows
    for metric in ("MAE", "GM", "RMSE", "Pearson"):
        intervals = " ".join(table[metric])
        assert len(re.sub(r" ± \S+", "", intervals).split()) == 4
    assert rows[-1] == ["Report:", "run/report/report.html"]
    assert (workdir / "report" / "report.html").stat().st_size > 10_000


def test_the_directory_is_as_promised(finished):
    _, workdir = finished
    result = json.loads((workdir / "result.json").read_text())
    assert result["schema"] == 1
    assert (result["dataset"], result["method"]) == ("bikeshare", "sqinv_lds")
    assert (result["seed"], result["steps"]) == (0, 60)
    assert result["select"] == {"split": "val", "metric": "mae", "shot": "all"}
    assert result["device"] == "cpu"
    assert result["processes"] == 1
    for split in ("val", "test"):
        scores = result[split]
        names = {"mae", "gm", "mse", "rmse", "pearson", "spearman", "bmae", "count"}
        assert names <= set(scores)
        assert all(set(scores[name]) == SHOTS for name in names)
        metrics.check_identity(scores)
        assert scores["count"]["all"] == 1049
    assert {"jax", "flax"} <= set(result["versions"])
    assert result["examples_per_second"] > 0
    config = json.loads((workdir / "config.json").read_text())
    assert config["method"] == "sqinv_lds"
    steps = [r["step"] for r in runs.log(workdir)]
    assert steps == sorted(steps)
    assert steps[-1] == 60
    assert all(np.isfinite(r["loss"]) for r in runs.log(workdir))
    saved = {p.name for p in (workdir / "checkpoints").iterdir()}
    assert {"60", str(result["best_step"])} <= saved


def test_predictions_give_the_metrics_of_the_result(finished):
    _, workdir = finished
    result = json.loads((workdir / "result.json").read_text())
    with np.load(workdir / "predictions.npz") as arrays:
        p, y = (arrays[k].astype(np.float64) for k in ("prediction", "label"))
        assert len(np.unique(arrays["index"])) == 1049
    bins = json.loads((workdir / "bins.json").read_text())
    shots = np.array(bins["shots"])[np.searchsorted(bins["edges"], y, "right") - 1]
    for shot in SHOTS:
        here = np.ones(len(y), bool) if shot == "all" else shots == shot
        test = {k: v[shot] for k, v in result["test"].items() if shot in v}
        if not here.any():
            assert test["mae"] is None
            continue
        error = np.abs(p - y)[here]
        np.testing.assert_allclose(test["mae"], error.mean(), rtol=1e-5)
        np.testing.assert_allclose(test["rmse"], np.sqrt((error**2).mean()), rtol=1e-5)
        np.testing.assert_allclose(
            test["gm"], np.exp(np.log(np.maximum(error, 1e-10)).mean()), rtol=1e-4
        )
        corr = np.corrcoef(p[here], y[here])[0, 1]
        np.testing.assert_allclose(test["pearson"], corr, rtol=1e-4)


@pytest.mark.slow
def test_again_says_so(finished, capsys):
    _, workdir = finished
    fields = {"model__encoder__width": 16, "model__encoder__depth": 1}
    fields |= {"data__drop": runs.DROPPED}
    made = runs.config("bikeshare", "sqinv_lds,smoke", **fields)
    again = train.train_and_evaluate(made, workdir)
    assert again == json.loads((workdir / "result.json").read_text())
    assert "is finished" in capsys.readouterr().out


@pytest.mark.slow
def test_another_config_is_exit_2(finished):
    _, workdir = finished
    other = command("--config=configs/bikeshare.py:fds,smoke", "--workdir", workdir)
    assert other.returncode == 2
    assert len(other.stderr.splitlines()) == 1
    assert "method 'sqinv_lds' -> 'fds'" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config=configs/bikeshare.py:sqinv_lsd"], "Did you mean 'sqinv_lds'"),
        (["--config=configs/nowhere.py:fds"], "configs/bikeshare.py"),
        (["--config=configs/bikeshare.py:fds", "--config.sede=1"], "seed"),
        (["--config=configs/bikeshare.py:fds", "--config.seed=x"], "seed"),
        ([], "--config is missing"),
        pytest.param(
            ["--config=configs/bikeshare.py:fds", "--config.data.path=no.csv"],
            "no.csv",
            marks=pytest.mark.slow,
        ),
        # Its like is in config/test_presets.py, and said by this door all the same.
        pytest.param(
            ["--config=configs/bikeshare.py:fds", "--config.data.batch_size=9999"],
            "number of training rows, 6547",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(arguments, said, tmp_path):
    done = command(*arguments, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("dirjax: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


# Its like is in faults/test_kills.py, where a save is cut short.
@pytest.mark.slow
def test_sigterm_saves_and_exits_143(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dirjax.main",
            "--config=configs/bikeshare.py:vanilla",
            "--config.model.encoder.width=16",
            "--config.model.encoder.depth=1",
            f"--workdir={tmp_path}",
        ],
        env=commands.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    commands.wait_for_lines(tmp_path, [process])
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "which is saved" in errors
    assert not (tmp_path / "result.json").exists()
    assert any(p.name.isdigit() for p in (tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("label", ["thickness_px", "slant_deg", "rotation_deg"])
def test_digits_learn(label, tmp_path):
    option = {"thickness_px": "", "slant_deg": ",slant", "rotation_deg": ",rotation"}
    made = runs.config(
        "mnist5k",
        f"sqinv_lds{option[label]},smoke",
        model__encoder={"width": 8, "stage_sizes": (1,)},
        train__average_decay=0.0,
        data__limit=64 * 6,
        stage__main__steps=60,
        stage__main__learning_rate=0.02,
        log__every=10,
        eval__every=0.0,
        checkpoint__every=0.0,
    )
    assert made["data"]["label"] == label
    result = runs.run(made, tmp_path)
    assert result["test"]["mae"]["all"] > 0
    losses = [r["loss"] for r in runs.log(tmp_path)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_vanilla_falls_below_a_stated_error(tmp_path):
    # 200 steps of a small model; predicting the median of 115 gives 150.
    made = runs.config(
        "bikeshare",
        "vanilla",
        model__encoder__width=32,
        model__encoder__depth=1,
        stage__main__steps=200,
        eval__every=0.0,
        checkpoint__every=0.0,
    )
    assert runs.run(made, tmp_path)["test"]["mae"]["all"] < 50


@pytest.mark.parametrize(
    ("rate", "said"),
    [(1e30, "step 1 gave a value .*, in the update"), (1e15, "step 2 .* loss/l1")],
)
@pytest.mark.quick("1000000000000000.0-step 2 .* loss/l1")
@pytest.mark.slow
def test_a_value_that_is_not_finite_stops_the_run(rate, said, tmp_path):
    fields = {"stage__main__optimizer": "sgd", "stage__main__learning_rate": rate}
    fields |= {"model__encoder__depth": 3, "model__encoder__dropout": 0.0}
    with pytest.raises(errors_lib.Failed, match=said):
        runs.run(runs.tiny("vanilla,smoke", **fields), tmp_path)
    assert not (tmp_path / "result.json").exists()


METHODS = (
    *("vanilla", "inv", "sqinv", "lds", "fds", "lds_fds", "sqinv_lds"),
    *("sqinv_fds", "sqinv_lds_fds", "focal_r", "focal_r_lds", "focal_r_lds_fds"),
    *("rrt", "rrt_lds", "rrt_lds_fds"),
)
# Parts of all kinds.
SHORT = {("bikeshare", "rrt_lds_fds")}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(*pair, marks=() if pair in SHORT else pytest.mark.slow)
        for pair in ((n, m) for n in ("bikeshare", "mnist5k") for m in METHODS)
    ],
)
def test_every_preset_builds_and_its_step_has_shapes(name, method):
    pieces, programs = runs.built(runs.config(name, f"{method},smoke"))
    for program in programs:
        runs.trace(pieces, program)
        collects = program.objective.collect.epoch is not None
        assert collects == ("fds" in program.stage.objective["wrappers"])


@pytest.mark.slow
def test_an_objective_warns_once(tmp_path, capsys):
    """A noise so small that the gap is rounding."""
    made = runs.tiny("ssir", objective__ssir__epsilon=1e-9)
    runs.run(made, tmp_path / "run")
    warned = capsys.readouterr().err
    assert warned.count("within float32 rounding") == 1
    assert "objective.ssir.epsilon" in warned
    last = runs.log(tmp_path / "run")[-1]
    assert last["ssir/rounding"] > 0.5
    assert last["ssir/within_bin"] == 1.0


@pytest.mark.slow
def test_an_option_that_does_not_fit_the_data_is_found_before_the_run(tmp_path):
    made = runs.tiny("ssir", objective__ssir__units="raw255")
    with pytest.raises(
        errors_lib.InputError, match="units must be 'normalised'"
    ) as told:
        runs.run(made, tmp_path / "run")
    assert str(told.value).count("objective of stage") == 1
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_ssir_goes_on_top_of_any_method():
    made = runs.config("bikeshare", "rrt_lds_fds,ssir,mse")
    assert made["method"] == "rrt_lds_fds_ssir"
    for record in (made["objective"], made["stage"]["head"]["objective"]):
        assert record["wrappers"][0] == "ssir"
        assert record["ssir"]["distance"] == "mse"
    # Where there is a preset of the same name, it is that preset.
    for argument, name in (("sqinv,ssir", "sqinv_ssir"), ("vanilla,ssir", "ssir")):
        assert runs.config("bikeshare", argument) == runs.config("bikeshare", name)
    with pytest.raises(errors_lib.InputError, match="already has ssir"):
        runs.config("bikeshare", "sqinv_ssir,ssir")
