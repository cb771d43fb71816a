"""Predictions under noise: numbers, figures, and what is refused."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import noise
from dirjax.evals import input_noise
from dirjax.objectives import ssir
from dirjax.ops import input_noise as noise_lib
from tests import commands, own_data, runs

SMALL = {
    "model__encoder": {"width": 8, "stage_sizes": (1,), "stem": "imagenet"},
    "train__average_decay": 0.5,
    "eval__every": 0.0,
    "objective__ssir__norm": "pixel",
    "objective__ssir__epsilon": 0.02,
    "objective__ssir__n_steps": 1,
    "data__limit": 256,
}


# For the session: under xdist classes of one module may be far apart.
@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A run on images with SSIR."""
    workdir = tmp_path_factory.mktemp("noise") / "run"
    made = runs.config("mnist5k", "ssir,smoke", **SMALL)
    made["stage"]["main"]["steps"] = 4
    runs.run(made, workdir)
    return workdir


@pytest.fixture(scope="session")
def table(tiny_run, tmp_path_factory):
    """A run on a table, without SSIR."""
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("noise") / "run")


@pytest.fixture(scope="session")
def probed(images, tmp_path_factory):
    """What is written for images with the settings of the run."""
    folder = tmp_path_factory.mktemp("noise") / "made" / "here"
    arrays, files = noise.probe(images, folder, rows=80)
    return folder, arrays, files


@pytest.mark.slow
class TestImages:
    def test_files(self, probed):
        folder, arrays, files = probed
        names = {"noise_gap.png", "noise_epsilon.png", "noise_samples.png"}
        assert {f.name for f in files} == names
        assert {f.name for f in folder.iterdir()} == names | {"noise.npz"}
        assert all(f.stat().st_size > 5000 for f in files)
        with np.load(folder / "noise.npz", allow_pickle=False) as stored:
            assert set(stored.files) == arrays.keys()
            np.testing.assert_array_equal(stored["controlled"], arrays["controlled"])

    def test_settings_are_those_of_training(self, probed):
        _, arrays, _ = probed
        assert arrays["epsilon"].tolist() == [0.02, *input_noise.EPSILONS]
        assert (arrays["norm"], arrays["n_steps"], arrays["units"]) == (
            "pixel",
            1,
            "normalised",
        )
        np.testing.assert_allclose(arrays["width"], 0.1, rtol=1e-6)
        assert arrays["samples"] == 6

    def test_clean_predictions_are_those_of_the_run(self, probed, images):
        _, arrays, _ = probed
        assert len(set(arrays["index"])) == len(arrays["clean"]) == 80
        with np.load(images / "predictions.npz") as stored:
            order = np.argsort(stored["index"])
            place = np.searchsorted(stored["index"], arrays["index"], sorter=order)
            rows = order[place]
            for name, stored_as in (("clean", "prediction"), ("label", "label")):
                np.testing.assert_allclose(
                    arrays[name], stored[stored_as][rows], rtol=1e-4
                )

    def test_norms(self, probed):
        _, arrays, _ = probed
        sizes = arrays["epsilon"][:, None]
        for kind in input_noise.KINDS:
            before, after = arrays[f"{kind}_noise"], arrays[f"{kind}_moved"]
            # All pixels of all 28 x 28 move by epsilon.
            np.testing.assert_allclose(before, 28 * sizes + 0 * before, rtol=0.2)
            assert (after <= before * (1 + 1e-5)).all()
            assert (after > 0).all()
        gap = np.abs(arrays["controlled"] - arrays["clean"]).mean(axis=1)
        random = np.abs(arrays["random"] - arrays["clean"]).mean(axis=1)
        assert gap[1] > 2 * random[1] > 0

    def test_another_call(self, probed, images, tmp_path):
        """Sizes share directions, and a gap does not depend on the others' sizes."""
        _, arrays, _ = probed
        again, _ = noise.probe(images, tmp_path, epsilon=(0.3,), rows=6, samples=6)
        assert again["epsilon"].tolist() == [0.3]
        np.testing.assert_array_equal(again["index"], arrays["index"][:6])
        np.testing.assert_allclose(again["clean"], arrays["clean"][:6], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("norm", noise_lib.NORMS)
def test_a_size_in_the_unit_is_a_size(norm):
    """What allows one program for all sizes."""
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 2)))
    unit = jnp.array([0.5, 3.0])

    def predict(x):
        return jnp.sum(jnp.sin(x) * jnp.arange(1.0, 3.0)[None, None, None], (1, 2, 3))

    for make in (
        lambda **space: ssir.ssir_noise(predict, inputs, jnp.ones(3), **space),
        lambda **space: noise_lib.random_noise(jax.random.key(1), inputs, **space),
    ):
        want = make(epsilon=0.3, unit=unit, norm=norm, low=-2.0, high=2.0)
        got = make(epsilon=1.0, unit=0.3 * unit, norm=norm, low=-2.0, high=2.0)
        np.testing.assert_allclose(got.inputs, want.inputs, rtol=1e-5, atol=1e-6)


class TestTable:
    @pytest.mark.slow
    def test_the_command(self, table):
        done = commands.run(
            *("-m", "dirjax.noise", "--workdir", table, "--rows", 40),
            *("--epsilon", "0.1,0.01", "--norm", "linf", "--split", "val"),
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        rows = [line.split() for line in done.stdout.splitlines() if line]
        sizes = [r for r in rows if r[0] in ("0.1", "0.01")]
        assert [r[0] for r in sizes] == ["0.1", "0.01"]
        assert float(sizes[0][1]) > float(sizes[1][1]) > 0
        assert "40 val rows" in done.stdout
        assert "norm linf" in done.stdout
        assert "pictures" not in done.stdout
        made = {f.name for f in (table / "report").glob("*noise*")}
        assert made == {"noise_gap.png", "noise_samples.png", "noise.npz"}
        with np.load(table / "report" / "noise.npz") as stored:
            assert stored["norm"] == "linf"
            assert stored["n_steps"] == 2, "the default of SSIR"


class TestWrongInput:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"norm": "l2"}, "--norm must be one of sample, pixel, linf, got 'l2'"),
            ({"units": "raw"}, "--units must be one of normalised, .*, got 'raw'"),
            (
                {"units": "raw255"},
                "must be 'normalised' for inputs that are not images",
            ),
            ({"epsilon": (0.1, 0.0)}, "--epsilon must be positive and finite, got 0.0"),
            ({"epsilon": (np.inf,)}, "--epsilon must be positive and finite, got inf"),
            ({"n_steps": 0}, "--n_steps must be at least 1, got 0"),
            ({"samples": 0}, "--samples must be from 1 to 24, got 0"),
            ({"samples": 25}, "--samples must be from 1 to 24"),
            ({"rows": 0}, "--rows must be from 1 to .*, got 0"),
            ({"seed": -1}, "--seed must be from 0 to .*, got -1"),
            ({"split": "tset"}, "--split must be one of train, val, test"),
            ({"step": "7"}, "--step must be best, last or one of"),
        ],
    )
    def test_options(self, table, tmp_path, capsys, options, said):
        line = own_data.sentence(
            capsys, lambda: noise.probe(table, tmp_path / "out", **options)
        )
        assert re.search(said, line), line
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "--workdir"),
            (["--workdir=r", "--epsilon=a"], "--epsilon must be numbers"),
            (["--workdir=r", "--epsilon="], "--epsilon must be numbers"),
            (["--workdir=r", "--rows=a"], "--rows"),
        ],
    )
    def test_arguments(self, capsys, arguments, said):
        assert said in own_data.sentence(capsys, lambda: noise._main(arguments))

    def test_no_run_and_no_checkpoint(self, table, tmp_path, capsys):
        line = own_data.sentence(capsys, lambda: noise.probe(tmp_path / "none"))
        assert "--workdir must be a run directory" in line
        own_data.write(tmp_path, "config.json", (table / "config.json").read_text())
        line = own_data.sentence(capsys, lambda: noise.probe(tmp_path))
        assert "has no checkpoint. Train first" in line

    def test_no_folder_to_write_to(self, table, tmp_path, capsys):
        file = own_data.write(tmp_path, "file", "")
        for output in (file, file / "below"):
            line = own_data.sentence(
                capsys, lambda output=output: noise.probe(table, output)
            )
            assert "--output must be a writable folder" in line
