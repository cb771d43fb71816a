"""The SSIR toy experiment: data, noise, one program for all, and its command."""

import csv
import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import errors, sweep
from dirjax.configs.studies import common, ssir_motivation
from dirjax.projects.ssir_toy import experiment, study
from dirjax.projects.ssir_toy import figures as drawing
from tests import commands

CONFIG = "configs/studies/ssir_motivation.py"
TINY = {
    "dim": 8,
    "total": 24,
    "test": 16,
    "hidden": (6,),
    "pretext_epochs": 30,
    "supervised_epochs": 20,
    "seeds": (3, 5),
    "ratios": (1.0, 5.0),
}


def fields_of(**fields):
    return ssir_motivation.get_config().to_dict() | TINY | fields


def setting(**fields):
    return study.parse(fields_of(**fields))[0]


def draw(rows, common, key=0, **fields):
    shape = {"dim": 50, "means": (10.0, -10.0), "stds": (5.0, 5.0)} | fields
    return np.asarray(experiment.components(jax.random.key(key), rows, common, **shape))


def test_components_have_the_stated_moments():
    x = draw(4000, 3000, stds=(5.0, 2.0))
    for rows, mean, std in ((x[:3000], 10, 5), (x[3000:], -10, 2)):
        # Five standard errors of each statistic.
        assert rows.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(rows.size))
        assert rows.std() == pytest.approx(std, rel=5 / math.sqrt(2 * rows.size))
        coordinate = rows.mean(axis=0) - mean
        assert abs(coordinate).max() < 5 * std / math.sqrt(len(rows))
    correlation = np.corrcoef(x[:3000].T) - np.eye(50)
    assert abs(correlation).max() < 6 / math.sqrt(3000)


@pytest.mark.parametrize("ratio", [1, 2, 4, 6, 8, 10, 100])
def test_components_are_as_imbalanced_as_stated(ratio):
    count = experiment.common_rows(202, ratio)
    x = draw(202, count)
    rare = int((x.mean(axis=1) < 0).sum())  # means are 28 deviations apart
    assert rare == 202 - count
    # As near as whole rows allow.
    assert abs(rare - 202 / (1 + ratio)) <= 0.5
    assert experiment.common_rows(101 * 7, ratio) + round(707 / (1 + ratio)) == 707


def test_the_same_numbers_stand_behind_every_ratio():
    few, many = draw(10, 2), draw(10, 8)
    np.testing.assert_array_equal(few[:2], many[:2])
    np.testing.assert_array_equal(few[8:], many[8:])
    np.testing.assert_allclose(many[2:8] - few[2:8], 20.0, rtol=1e-5)


@pytest.fixture(scope="module")
def found():
    """Two seeds at the ratios 1 and 3, trained for long enough to learn something."""
    made = setting(test=2000, supervised_epochs=300)
    return experiment.experiments(made, [0, 1], [1.0, 3.0])


@pytest.mark.slow
def test_the_test_set_is_balanced_at_every_ratio(found):
    # Labels +m and -m in the mean, so often each: variance m^2 and what is within.
    w = np.asarray(experiment.label_direction(setting()), np.float64)
    wanted = (10 * w.sum()) ** 2 + 25 * (w @ w)
    np.testing.assert_allclose(found["label_variance"], wanted, rtol=0.1)
    mse = found["mse"]
    np.testing.assert_allclose(mse[..., 0], mse[..., 1:].mean(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("kind", experiment.NOISES)
@pytest.mark.parametrize("delta", [0.05, 1.0, 100.0])
def test_noise_changes_the_label_by_less_than_delta(kind, delta):
    w = jax.random.normal(jax.random.key(1), (20,))
    noise = experiment.similar_noise(
        jax.random.key(2), w, 5000, kind=kind, std=2.0, delta=delta
    )
    noise, w = np.asarray(noise, np.float64), np.asarray(w, np.float64)
    change = noise @ w
    assert abs(change).max() < delta
    # It is no smaller than it has to be.
    scale = 2.0 * np.linalg.norm(w)
    assert abs(change).max() > 0.9 * min(delta, 2 * scale)
    if kind == "conditional":
        beside = noise - np.outer(change, w) / (w @ w)
        assert (beside**2).sum(axis=1).mean() == pytest.approx(4 * 19, rel=0.05)
    if delta > 6 * scale:
        assert noise.std() == pytest.approx(2.0, rel=0.05)


def test_conditional_noise_is_what_drawing_again_gives():
    w, delta = np.array([1.0, -2.0, 0.5]), 1.5
    drawn = np.random.default_rng(0).normal(size=(200_000, 3))
    kept = drawn[abs(drawn @ w) < delta]
    noise = experiment.similar_noise(
        jax.random.key(0),
        jnp.asarray(w, jnp.float32),
        len(kept),
        kind="conditional",
        std=1.0,
        delta=delta,
    )
    np.testing.assert_allclose(np.cov(np.asarray(noise).T), np.cov(kept.T), atol=0.02)


def test_unknown_noise_is_refused():
    with pytest.raises(ValueError, match="conditional, shrunk, got 'none'"):
        experiment.similar_noise(
            jax.random.key(0), jnp.ones(2), 1, kind="none", std=1.0, delta=1.0
        )


def test_the_network_by_hand():
    params = [
        {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.array([0.0, 1.0])},
        {"kernel": jnp.array([[2.0], [3.0]]), "bias": jnp.array([0.5])},
    ]
    x = jnp.array([[2.0], [-1.0]])
    assert experiment.predict(params, x).tolist() == [4.5, 6.5]
    assert float(experiment.supervised_loss(params, x, jnp.array([4.5, 4.5]))) == 2.0
    # Noise 1 and 0: the first output becomes 6.5.
    noise = jnp.array([[1.0], [0.0]])
    assert float(experiment.pretext_loss(params, x, noise)) == 2.0
    fresh = experiment.init_network(jax.random.key(0), 25, (4,))
    assert [layer["kernel"].shape for layer in fresh] == [(25, 4), (4, 1)]
    assert abs(fresh[0]["kernel"]).max() <= 0.2
    assert abs(fresh[0]["kernel"]).max() > 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"pretext_epochs": 4, "batch_size": 7, "noise": "shrunk"},
        {"pretext_epochs": 0},
    ],
)
def test_all_in_one_program_equal_each_alone(fields):
    made = setting(**fields, supervised_epochs=3)
    every = experiment.experiments(made, [3, 5], [1.0, 5.0])
    assert every["mse"].shape == (2, 2, 3, 3)
    alone = jax.jit(functools.partial(experiment.experiment, made))
    for i, seed in enumerate((3, 5)):
        for j, ratio in enumerate((1.0, 5.0)):
            count = experiment.common_rows(made.total, ratio)
            for name, value in alone(seed, count).items():
                np.testing.assert_allclose(every[name][i, j], value, rtol=2e-4)
    if not made.pretext_epochs:
        # Without a first phase the arms are one.
        error = every["mse"]
        np.testing.assert_allclose(error[:, :, :2], error[:, :, [2, 2]], rtol=1e-4)


@pytest.mark.slow
def test_phases_do_what_they_are_for(found):
    before, after = np.moveaxis(found["pretext_loss"], -1, 0)
    assert (after < 0.7 * before).all()
    # The error of the best constant.
    assert (found["train_mse"] < found["label_variance"][..., None]).all()


@pytest.mark.parametrize("batch_size", [0, 2])
@pytest.mark.quick("2")
def test_the_head_alone_moves_if_asked(batch_size):
    start = experiment.init_network(jax.random.key(0), 3, (4,))
    x = jnp.ones((6, 3))

    def loss(params, index, key):
        del key
        return experiment.supervised_loss(params, x[index], jnp.ones(len(x[index])))

    how = {"rows": 6, "batch_size": batch_size, "epochs": 2, "optimizer": "adam"}
    how |= {"rate": 0.1, "weight_decay": 0.1}
    end = experiment.fit(start, loss, jax.random.key(0), trained="head", **how)
    for a, b in zip(jax.tree.leaves(start[0]), jax.tree.leaves(end[0]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (start[1]["kernel"] != end[1]["kernel"]).all()
    end = experiment.fit(start, loss, jax.random.key(0), **how)
    assert (start[0]["kernel"] != end[0]["kernel"]).any()


def test_batches_cover_the_rows_once_an_epoch():
    x = jnp.eye(6)

    def loss(params, index, key):
        del key
        return (x[index] @ params[0]["kernel"]).sum()

    start = [{"kernel": jnp.zeros(6)}]
    how = {"rows": 6, "optimizer": "sgd", "rate": 1.0, "weight_decay": 0.0}
    end = experiment.fit(start, loss, jax.random.key(0), batch_size=3, epochs=1, **how)
    # Momentum 0.9: rows of the first batch count 1 + 0.9, of the second 1.
    moved = np.sort(-np.asarray(end[0]["kernel"]))
    np.testing.assert_allclose(moved, [1.0] * 3 + [1.9] * 3, rtol=1e-6)


def test_the_label_gap_is_the_smallest_between_components():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=30)
    for count in (1, 11, 29):
        wanted = abs(labels[:count, None] - labels[None, count:]).min()
        assert experiment.label_gap(jnp.asarray(labels), count) == pytest.approx(
            wanted, rel=1e-4
        )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ratios": (0.5, 2.0)}, r"config\.ratios must be one or more distinct"),
        ({"ratios": ()}, r"config\.ratios must be"),
        ({"ratios": (float("nan"),)}, r"config\.ratios must be"),
        ({"ratios": (100.0,)}, r"config\.total must be at least 101, which gives one"),
        ({"seeds": ()}, r"config\.seeds must be .* distinct .*, got \(\)"),
        ({"seeds": (1, 1)}, r"config\.seeds must be"),
        ({"seeds": (-1,)}, r"config\.seeds must be"),
        ({"seeds": 10}, r"config\.seeds must be"),
        ({"test": 15}, r"config\.test must be even"),
        ({"batch_size": 25}, r"config\.batch_size must be at most total \(24\)"),
        ({"dim": 0}, r"config\.dim must be a whole number of at least 1, got 0"),
        ({"dim": 2.5}, r"config\.dim must be a whole number"),
        ({"delta": 0.0}, r"config\.delta must be positive, got 0\.0"),
        ({"w_scale": float("inf")}, r"config\.w_scale must be positive"),
        ({"stds": (5.0, 0.0)}, r"config\.stds must be two numbers.*positive"),
        ({"means": (1.0,)}, r"config\.means must be two numbers"),
        ({"hidden": ()}, r"config\.hidden must be the widths"),
        ({"weight_decay": -1.0}, r"config\.weight_decay must be at least 0"),
        ({"optimizer": "lbfgs"}, r"config\.optimizer must be one of adam, adamw, sgd"),
        ({"noise": "none"}, r"config\.noise must be one of conditional, shrunk"),
        ({"trained": "encoder"}, r"config\.trained must be one of all, head"),
    ],
)
def test_a_wrong_value_is_one_sentence_and_no_file(fields, said, tmp_path):
    with pytest.raises(errors.InputError, match=said) as caught:
        sweep.run(fields_of(**fields), tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_study_that_lacks_fields_is_refused(tmp_path):
    made = fields_of()
    del made["delta"], made["dim"]
    with pytest.raises(errors.InputError, match="the study lacks delta, dim"):
        sweep.run(made, tmp_path)


def test_the_published_study_is_the_papers():
    made, seeds, ratios = study.parse(ssir_motivation.get_config().to_dict())
    assert len(seeds) >= 10
    assert ratios == [1, 2, 4, 6, 8, 10, 100]
    assert (made.dim, made.means, made.stds) == (100, (10, -10), (5, 5))
    assert (made.pretext_epochs, made.supervised_epochs) == (1000, 500)
    assert (made.pretext_rate, made.supervised_rate) == (1e-3, 1e-2)
    assert (made.hidden, made.weight_decay) == ((128,), 5e-5)


def test_a_program_must_be_one_and_is_not_divided(tmp_path, capsys):
    for program, said in (
        ("dirjax.motivaton", "'dirjax.motivaton' cannot be imported"),
        (
            "dirjax.projects.ssir_toy.experiment",
            "dirjax.projects.ssir_toy.experiment has none",
        ),
    ):
        with pytest.raises(errors.InputError, match=said):
            sweep.run(fields_of(program=program), tmp_path)
    with pytest.raises(errors.InputError, match="--job must be 1/1"):
        sweep.run(fields_of(), tmp_path, job="1/2")
    sweep.run(fields_of(), tmp_path, dry_run=True)
    assert capsys.readouterr().out == "todo  dirjax.projects.ssir_toy.study\n"
    assert not list(tmp_path.iterdir())
    assert common.get_config().program == ""


def test_what_diverged_is_written_all_the_same(tmp_path, monkeypatch):
    shapes = {"mse": (3, 3), "train_mse": (3,), "pretext_loss": (2,), "spread": (2,)}
    shapes |= {"gap": (), "label_variance": ()}
    fake = {name: np.full((2, 2, *shape), np.nan) for name, shape in shapes.items()}
    fake["mse"][:, :, 1:] = 1.0
    monkeypatch.setattr(experiment, "experiments", lambda *_: fake)
    sweep.run(fields_of(), tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["arms"]["supervised"]["test_mse"] == [[None, None]] * 2
    assert result["arms"]["pretext"]["test_mse"] == [[1.0, 1.0]] * 2
    assert (tmp_path / "error_by_ratio.png").stat().st_size > 5000
    assert "nan ± nan" in drawing.table_text(result)


@pytest.mark.slow
def test_the_command_runs_once_and_refuses_another_study(tmp_path):
    folder = tmp_path / "toy"
    fields = [f"--config.{k}={v}" for k, v in TINY.items()]
    command = ["-m", "dirjax.sweep", "--config", CONFIG, "--workdir", folder, *fields]
    done = commands.run(*command)
    assert done.returncode == 0, done.stderr
    assert "Test MSE, all test rows: mean ± std over 2 seeds" in done.stdout
    names = {f.name for f in folder.iterdir()}
    table = {"table.txt", "table.csv"}
    assert names == {"config.json", "result.json", "error_by_ratio.png"} | table
    picture = (folder / "error_by_ratio.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    result = json.loads((folder / "result.json").read_text())
    values = np.asarray(result["arms"]["pretext"]["test_mse_rare"])
    assert values.shape == (2, 2)
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert len(rows) == 4 * 3 * 2
    (row,) = (
        r
        for r in rows
        if (r["part"], r["arm"], r["ratio"]) == ("test_mse_rare", "pretext", "5")
    )
    assert float(row["mean"]) == pytest.approx(values[:, 1].mean(), rel=1e-5)
    assert float(row["std"]) == pytest.approx(values[:, 1].std(ddof=1), rel=1e-5)

    times = {f: f.stat().st_mtime_ns for f in folder.iterdir()}
    again = commands.run(*command)
    assert again.returncode == 0, again.stderr
    assert "is finished" in again.stdout
    other = commands.run(*command, "--config.delta=2.0")
    assert other.returncode == 2
    assert "delta 1.0 -> 2.0" in other.stderr
    assert "Traceback" not in other.stderr
    assert {f: f.stat().st_mtime_ns for f in folder.iterdir()} == times
