"""One label a pixel goes the way of one label a row: steps, sums, runs, commands."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import (
    data,
    errors,
    evaluate,
    labels,
    metrics,
    models,
    noise,
    objectives,
    predict,
)
from dirjax import report as report_lib
from dirjax.data.describe import facts
from dirjax.data.readers import scenes
from dirjax.evals import eval_step, predictor
from dirjax.features import moments
from dirjax.labels import weights
from dirjax.metrics import depth as depth_metrics
from dirjax.objectives import base
from dirjax.runtime import sharding
from dirjax.training import train_step
from tests import runs, toy
from tests.program import test_resume

ROWS, HEIGHT, WIDTH, DIM = 8, 3, 4, 4
OBJECTIVES = {
    "sqinv": ({"mse": {}}, ("reweight",), {"reweight": {"scheme": "sqrt_inverse"}}),
    "lds_fds": ({"huber": {}}, ("lds", "fds"), {}),
    "focal_r": ({"focal_r": {}}, (), {}),
    "ssir": ({"mse": {}}, ("ssir",), {"ssir": {"distance": "mse", "epsilon": 0.1}}),
}


@functools.cache
def network():
    encoder = {"width": DIM, "levels": 1}
    return models.build("small_unet", head="dense", shift=2.0, encoder=encoder)


def batch(seed=0, rows=ROWS):
    """Maps of labels in the bins of `toy.SPEC`, some of them hidden."""
    rng = np.random.default_rng(seed)
    shape = (rows, HEIGHT, WIDTH)
    label = np.float32(rng.choice([0.5, 1.25, 2.5, 4.75], shape))
    return {
        "inputs": np.float32(rng.normal(size=(rows, 2 * HEIGHT, 2 * WIDTH, 3))),
        "label": label,
        "bin": toy.SPEC.bins.index(label),
        "weight": np.ones(shape, np.float32),
        "mask": np.float32(rng.random(shape) < 0.8),
        "index": np.arange(rows, dtype=np.int32),
    }


def objective(case):
    terms, wrappers, settings = OBJECTIVES[case]
    return objectives.from_config(terms, wrappers, settings)


@functools.cache
def started(case):
    made = objective(case)
    params, model_state = toy.jit(network().init)(
        jax.random.key(1), batch()["inputs"][:1]
    )
    variables = jax.tree.map(jnp.asarray, made.init(jax.random.key(2), toy.SPEC))
    tree = {"model": params, "objective": variables.params}
    return train_step.TrainState(
        step=jnp.int32(0),
        params=tree,
        model_state=model_state,
        objective_state=variables.state,
        opt_state=toy.sgd().init(tree),
        average={},
        best={},
    )


@functools.cache
def program(case):
    # Batch norm in evaluation mode, so that rows do not see each other.
    return toy.jit(toy.train_step(objective(case), network(), train_mode=False))


@toy.jit
def output(state, one):
    """Features and predictions in evaluation mode."""
    params = state.params["model"]
    features, _ = network().encode(
        params, state.model_state, one["inputs"], train=False
    )
    return features, network().head(params, features).prediction


@toy.jit
def moments_of(state, one):
    make = eval_step.make_moments_step(network(), num_bins=toy.SPEC.bins.num)
    zeros = moments.zeros(toy.SPEC.bins.num, DIM)
    return make(zeros, state.params["model"], state.model_state, one)


def later(case):
    """The state after two epochs of statistics."""
    state, refresh = started(case), objective(case).collect.epoch
    if refresh:
        for seed in range(2):
            variables = base.Variables(state.params["objective"], state.objective_state)
            new = refresh(variables, moments_of(state, batch(seed)))
            state = state._replace(objective_state=new.state)
    return state


def moved(state, before):
    return jax.tree.map(lambda a, b: a - b, state.params, before.params)


class TestStep:
    def test_the_loss_is_the_weighted_mean_over_pixels_that_count(self):
        state, one = started("sqinv"), batch()
        features, p = output(state, one)
        assert features.shape == (ROWS, HEIGHT, WIDTH, DIM)
        table = weights.bin_weights(toy.SPEC.counts, "sqrt_inverse")
        each = table[one["bin"]] * (p - one["label"]) ** 2
        want = each[one["mask"] > 0].mean()
        got = program("sqinv")(state, one)[1].sums["loss"][0]
        np.testing.assert_allclose(got, want, rtol=1e-5)

    @pytest.mark.parametrize("case", OBJECTIVES)
    @pytest.mark.quick("ssir")
    def test_hidden_pixels_and_padded_rows_change_nothing(self, case):
        state, real = later(case), batch(rows=ROWS - 2)
        tail = {**batch(5, rows=2), "mask": np.zeros((2, HEIGHT, WIDTH), np.float32)}
        padded = jax.tree.map(lambda a, b: np.concatenate([a, b]), real, tail)
        padded["mask"][0] = 0.0
        other = {k: np.copy(v) for k, v in padded.items()}
        hidden = padded["mask"] == 0
        other["label"][hidden] = 1000.0
        other["weight"][hidden] = 50.0
        other["bin"][hidden] = 5
        other["inputs"][[0, -2, -1]] = 7.0
        one, two = (program(case)(state, b) for b in (padded, other))
        assert np.isfinite(one[1].sums["loss"][0])
        assert int(one[1].first_bad) == train_step.NEVER
        chex.assert_trees_all_close(one[1].sums, two[1].sums, rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_close(
            moved(one[0], state), moved(two[0], state), rtol=1e-4, atol=1e-6
        )

    def test_ssir_moves_each_image_once(self):
        """One noise of the given norm for an image, though each pixel has an offset."""
        _, report = program("ssir")(started("ssir"), batch())
        mean = {k: float(s / n) for k, (s, n) in report.sums.items()}
        np.testing.assert_allclose(mean["ssir/noise"], 0.1, rtol=1e-4)
        assert 0 < mean["ssir/gap"] < 1
        want = mean["loss/mse"] + 0.1 * mean["loss/consistency"]
        np.testing.assert_allclose(mean["loss"], want, rtol=1e-5)

    @pytest.mark.slow
    def test_the_probe_of_noise_refuses_maps(self, finished, few_scenes, tmp_path):
        with pytest.raises(errors.InputError, match="one label per row"):
            noise.probe(finished[0], output=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_nothing_counts(self):
        one = batch() | {"mask": np.zeros((ROWS, HEIGHT, WIDTH), np.float32)}
        new, report = program("lds_fds")(later("lds_fds"), one)
        assert float(report.sums["loss"][0]) == 0
        chex.assert_tree_all_finite(new)

    @pytest.mark.slow
    def test_one_and_four_devices_agree(self):
        case, mesh = "lds_fds", sharding.make_mesh()
        # Batch norm over the whole batch, too.
        make = toy.train_step(objective(case), network())
        whole = sharding.replicated(mesh)
        state = later(case)
        everywhere = jax.device_put(state, whole)
        one = toy.jit(make)
        four = toy.jit(make, out_shardings=whole)
        for seed in range(2):
            state, x = one(state, batch(seed))
            everywhere, y = four(everywhere, sharding.to_global(mesh, batch(seed)))
            chex.assert_trees_all_close(
                jax.device_get(y.sums), jax.device_get(x.sums), rtol=1e-4, atol=1e-6
            )

    def test_moments_are_those_of_the_pixels(self):
        state, one = started("sqinv"), batch()
        got = moments_of(state, one)
        features, real = np.asarray(output(state, one)[0]), one["mask"] > 0
        for b in range(toy.SPEC.bins.num):
            here = features[real & (one["bin"] == b)]
            assert got.count[b] == len(here)
            if len(here):
                np.testing.assert_allclose(
                    got.mean[b], here.mean(axis=0), rtol=1e-4, atol=1e-6
                )

    def test_calibration_moves_the_loss(self):
        one, first, after = batch(), started("lds_fds"), later("lds_fds")
        a, b = (program("lds_fds")(s, one)[1].sums["loss"][0] for s in (first, after))
        assert abs(float(a - b)) > 1e-4


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(scenes, "ROWS", (16, 5, 6))


def config(method="sqinv", **fields):
    """Six steps of four a epoch; the val split does not divide among devices."""
    return runs.config(
        "synthetic_depth",
        f"{method},smoke",
        **{
            "data__batch_size": 4,
            "data__many": 60,
            "data__few": 20,
            "model__encoder": {"width": 4, "levels": 1},
            "stage__main__steps": 6,
            "train__chunk": 1,
            "log__every": 1,
            "eval__every": 0.5,
            "eval__batch_size": 4,
            "checkpoint__every": 0.5,
            **fields,
        },
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The directory of a run, and its result."""
    folder = tmp_path_factory.mktemp("dense") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "ROWS", (16, 5, 6))
        return folder, runs.run(config(), folder)


class TestRun:
    @pytest.mark.slow
    def test_the_result_has_the_metrics_of_depth(self, finished):
        _, result = finished
        for split in ("val", "test"):
            scores = result[split]
            assert {"mae", "rmse", "gm", "pearson", "bmae", "count"} <= set(scores)
            assert set(depth_metrics.Ratios._fields) <= set(scores)
            assert not {"spearman", "sera"} & set(scores)
            metrics.check_identity(scores)
            for name in ("delta1", "delta2", "delta3"):
                assert 0 <= scores[name]["all"] <= 1
            assert scores["delta1"]["all"] <= scores["delta2"]["all"]
        assert result["select"]["metric"] == "rmse"

    def test_sums_per_bin_are_stored_and_give_the_result(self, finished, few_scenes):
        folder, result = finished
        source = data.from_config(config()["data"])
        test = source.splits["test"]
        shots = source.spec.shots
        with np.load(folder / "predictions.npz") as stored:
            sums = {k: stored[k] for k in stored.files}
        assert set(sums) == {"count", "abs", "sq", *depth_metrics.Ratios._fields}
        want = np.bincount(test.real(test.bin), minlength=source.spec.bins.num)
        np.testing.assert_array_equal(sums["count"], want)
        groups = {name: shots == i for i, name in enumerate(labels.SHOTS)}
        for shot, here in {"all": shots >= 0, **groups}.items():
            n = sums["count"][here].sum()
            assert (result["test"]["count"][shot] or 0) == n
            for name in ("abs", "sq", *depth_metrics.Ratios._fields):
                metric = {"abs": "mae", "sq": "mse"}.get(name, name)
                got = result["test"][metric][shot]
                if n:
                    np.testing.assert_allclose(got, sums[name][here].sum() / n)
                else:
                    assert got is None

    def test_predictions_in_python_give_the_result(self, finished, few_scenes):
        folder, result = finished
        test = data.from_config(config()["data"]).splits["test"]
        maps = predictor.Predictor(folder)(test.inputs)
        assert maps.shape == test.label.shape
        p, y = test.real(maps).astype(np.float64), test.real(test.value)
        scores = result["test"]
        np.testing.assert_allclose(
            scores["rmse"]["all"], np.sqrt(((p - y) ** 2).mean()), rtol=1e-5
        )
        ratio = np.maximum(np.maximum(p, 1e-3) / y, y / np.maximum(p, 1e-3))
        np.testing.assert_allclose(scores["delta1"]["all"], (ratio <= 1.25).mean())

    def test_evaluated_again(self, finished, few_scenes):
        folder, result = finished
        again = evaluate.evaluate(folder)["test"]
        chex.assert_trees_all_close(again, result["test"], rtol=1e-6)

    @pytest.mark.slow
    def test_three_and_three_are_six(self, finished, few_scenes, tmp_path, monkeypatch):
        folder, result = finished
        with monkeypatch.context() as patch:
            test_resume.stop_after(patch, 3)
            with pytest.raises(errors.Stopped):
                runs.run(config(), tmp_path / "parts")
        assert runs.run(config(), tmp_path / "parts")["test"] == result["test"]
        before, after = (
            test_resume.last_state(f) for f in (folder, tmp_path / "parts")
        )
        for (path, x), (_, y) in zip(before, after, strict=True):
            np.testing.assert_array_equal(x, y, err_msg=str(path))

    @pytest.mark.slow
    def test_the_report(self, finished, tmp_path):
        folder, result = finished
        report_lib.write_report([folder], tmp_path)
        table = (tmp_path / "table.txt").read_text()
        for name in ("MAE", "RMSE", "delta1", "AbsRel", "log10"):
            assert f"\n{name} " in table
        drawn = {f.name for f in tmp_path.glob("*.png")}
        names = ("histogram", "error_by_label", "frontier", "loss", "mae")
        assert drawn == {f"{name}.png" for name in names}
        run = report_lib.read_run(folder)
        assert run.notes == ()
        count, absolute = run.bin_errors()
        np.testing.assert_allclose(
            absolute.sum() / count.sum(), result["test"]["mae"]["all"]
        )


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """The directory of a run of Group-DIR, and its result."""
    folder = tmp_path_factory.mktemp("groups") / "run"
    fields = {"groups__num": 4, "stage__contrast__steps": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "ROWS", (16, 5, 6))
        made = config("group_dir", **fields)
        terms = made["stage"]["contrast"]["objective"]["terms"]
        assert terms["group_contrast"]["pixels"] == 1024
        return folder, runs.run(made, folder)


@pytest.mark.slow
class TestGroups:
    """Group-DIR on maps: its contrast on drawn pixels, groups and experts of pixels."""

    def test_it_measures_groups(self, grouped):
        folder, result = grouped
        scores = result["test"]
        assert 0 <= scores["group_accuracy"]["all"] <= 1
        assert scores["group_distance"]["all"] >= 1 - scores["group_accuracy"]["all"]
        assert scores["oracle_rmse"]["all"] >= scores["oracle_mae"]["all"] > 0
        with np.load(folder / "predictions.npz") as stored:
            found = dict(stored)
        assert found["predicted"].shape == (4,)
        assert found["predicted"].sum() == found["count"].sum()
        accuracy = found["hit"].sum() / found["count"].sum()
        np.testing.assert_allclose(scores["group_accuracy"]["all"], accuracy)

    def test_predictions_are_the_result(self, grouped, few_scenes):
        folder, result = grouped
        test = data.from_config(config()["data"]).splits["test"]
        maps = predictor.Predictor(folder)(test.inputs)
        off = abs(test.real(maps).astype(np.float64) - test.real(test.value))
        mae = result["test"]["mae"]["all"]
        np.testing.assert_allclose(mae, off.mean(), rtol=1e-5)

    def test_the_report_draws_them(self, grouped, tmp_path):
        report_lib.write_report([grouped[0]], tmp_path)
        drawn = {f.stem for f in tmp_path.glob("*.png")}
        assert {"groups", "group_gaps"} <= drawn
        assert "group accuracy" in (tmp_path / "table.txt").read_text().lower()


class TestRefused:
    @pytest.mark.slow
    def test_rows_of_predictions(self, finished, tmp_path):
        with pytest.raises(errors.InputError, match="one value per pixel"):
            predict.predict(finished[0], tmp_path, tmp_path / "out.csv")
        assert not (tmp_path / "out.csv").exists()

    def test_describe(self, few_scenes):
        fields = config()["data"]
        with pytest.raises(
            errors.InputError, match="synthetic_depth has one per pixel"
        ):
            facts.describe(data.from_config(fields), fields)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"model__head": "linear"}, "Use --config.model.head=dense"),
            ({"model__name": "resnet18"}, "Use 'small_unet'"),
        ],
    )
    def test_models_of_other_data(self, few_scenes, tmp_path, fields, said):
        with pytest.raises(errors.InputError, match=said):
            runs.run(config(**fields), tmp_path)

    def test_maps_of_another_size(self, few_scenes, tmp_path, monkeypatch):
        draw = data.from_config(config()["data"])
        cut = {
            name: dataclasses.replace(split, inputs=split.inputs[:, ::2])
            for name, split in draw.splits.items()
        }
        shape = {"shape": [16, 48, 3]}
        small = dataclasses.replace(draw, splits=cut, record=draw.record | shape)
        monkeypatch.setattr(data, "from_config", lambda fields: small)
        said = r"\(8, 24\) .* labels are \(16, 24\)"
        with pytest.raises(errors.InputError, match=said):
            runs.run(config(), tmp_path)


@pytest.mark.slow
def test_depth_is_learnt(tmp_path):
    """The best constant has an RMSE of 2.7 and a delta1 of 0.39."""
    result = runs.run(runs.config("synthetic_depth", "sqinv"), tmp_path)
    assert result["test"]["rmse"]["all"] < 1.6
    assert result["test"]["rmse"]["few"] < 2.2
    assert result["test"]["delta1"]["all"] > 0.55
