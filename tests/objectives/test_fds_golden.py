"""Feature distribution smoothing against public numbers, and by hand."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels as labels_lib
from dirjax.objectives import fds
from tests.objectives.fds_cases import make, refresh, smooth, spec_of, start, unit_spec

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"

KERNELS = ("gaussian", "triang", "laplace")

NAMES = {
    "running_mean": "running_mean",
    "running_var": "running_var",
    "mean": "running_mean_last_epoch",
    "var": "running_var_last_epoch",
    "smoothed_mean": "smoothed_mean_last_epoch",
    "smoothed_var": "smoothed_var_last_epoch",
    "tracked": "num_samples_tracked",
}


def golden(file, number):
    with np.load(GOLDEN / f"{file}.npz") as data:
        prefix = f"c{number:02d}."
        return {k[4:]: data[k] for k in data.files if k.startswith(prefix)}


def run_golden(case, bins, options):
    """Replays all epochs: states, calibrated features, gradients."""
    momentum = float(case["p.momentum"])
    dim = case["in.e0_smooth_features"].shape[1]
    objective = make(
        mode="official",
        feedback=False,  # The reference was fed given features, not its own.
        kernel=KERNELS[int(case["p.kernel"])],
        size=int(case["p.ks"]),
        sigma=float(case["p.sigma"]),
        momentum=None if momentum < 0 else momentum,
        start_update=int(case["p.start_update"]),
        start_smooth=int(case["p.start_smooth"]),
        first_bin=int(case["p.bucket_start"]),
        **options,
    )
    spec = spec_of(bins, dim)
    every = np.zeros(bins.num)

    def last(x):  # Maps of the dense case have channels second.
        return jnp.asarray(np.moveaxis(x, 1, -1))

    with jax.enable_x64(True):
        variables = start(objective, spec)
        for epoch in case["p.epochs"]:
            at = f"e{epoch}_"
            got = smooth(
                objective,
                variables,
                last(case[f"in.{at}smooth_features"]),
                bins.index(case[f"in.{at}smooth_labels"]),
                last(case[f"in.{at}cotangent"]),
            )
            want = last(case[f"out.{at}smooth"])
            np.testing.assert_allclose(got["z"], want, rtol=1e-6, atol=1e-6)
            want = last(case[f"grad.{at}features"])
            np.testing.assert_allclose(got["grad"], want, rtol=1e-6, atol=1e-7)
            features = last(case[f"in.{at}update_features"]).reshape(-1, dim)
            index = bins.index(case[f"in.{at}update_labels"]).ravel()
            variables = refresh(objective, variables, features, index, every)
            state = variables.state["fds"]
            for ours, theirs in NAMES.items():
                # Their window is rounded to float32, so smoothed values agree to 1e-7.
                tolerance = 1e-6 if "smoothed" in ours else 1e-9
                np.testing.assert_allclose(
                    getattr(state, ours),
                    case[f"out.{at}end_{theirs}"],
                    rtol=tolerance,
                    atol=tolerance,
                    err_msg=f"{ours}, epoch {epoch}",
                )
            assert state.epoch == epoch + 1


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))]
)
def test_golden_ages(number):
    """Labels beyond the bins are in case 0; every batch there holds both end labels.

    So the published rule, pool them with the end bin, is ours: all rows are compared.
    There are more bins than statistics, as in the published age code.
    """
    case = golden("fds_agedb", number)
    num = int(case["p.bucket_num"])
    bins = labels_lib.Bins.uniform(width=1, origin=0, num=num + 5)
    run_golden(case, bins, {"last_bin": num - 1})


@pytest.mark.parametrize("number", range(2))
@pytest.mark.quick("0")
def test_golden_text_similarity(number):
    case = golden("fds_stsb", number)
    num = int(case["p.bucket_num"])
    bins = labels_lib.Bins.uniform(
        width={10: 0.5, 50: 0.1}[num], origin=0, num=num, dtype=np.float32
    )
    options = {"clip": (0.5, 2.0), "fill_empty": True, "whole_rows": True}
    run_golden(case, bins, options)


def test_golden_depth():
    """Dense maps: `[batch, height, width, dim]` features, one bin for each pixel."""
    case = golden("fds_nyud2", 0)
    num = int(case["p.bucket_num"])
    edges = np.arange(num + 1).astype(np.float32) / np.float32(10)
    options = {"clip": (0.2, 5.0), "alias": False, "whole_rows": True}
    run_golden(case, labels_lib.Bins(edges), options)


@pytest.mark.parametrize("number", range(9))
def test_golden_calibrate(number):
    case = golden("calibrate_mean_var", number)
    clip = float(case["p.clip_min"]), float(case["p.clip_max"])
    with jax.enable_x64(True):
        rows = jnp.zeros(6, int)
        names = {"mean": "m1", "var": "v1", "smoothed_mean": "m2", "smoothed_var": "v2"}
        stats = {k: jnp.asarray(case[f"in.{v}"])[None] for k, v in names.items()}
        # The text and depth copies: one dead column keeps all columns.
        move = functools.partial(
            fds.calibrate,
            rows=rows,
            statistics=fds.identity(1, 8)._replace(**stats),
            clip=clip,
            whole_rows=bool(case["p.variant"] > 0),
        )
        x = jnp.asarray(case["in.matrix"])
        out, back = jax.vjp(jax.jit(move), x)
        np.testing.assert_allclose(out, case["out.matrix"], rtol=1e-9)
        grad = back(jnp.asarray(case["in.cotangent"]))[0]
        np.testing.assert_allclose(grad, case["grad.matrix"], rtol=1e-9)


def test_worked_example():
    """Numbers from a run of the published class: bin means (0, 1, 2, 4, 8)(t + 1)."""
    objective = make(mode="official", feedback=False, size=3, sigma=2.0)
    variables = start(objective, unit_spec(5, 1))
    bins = np.repeat(np.arange(5), 2)
    shape = np.array([0.0, 1, 2, 4, 8])
    shifts = []
    for epoch in range(3):
        x = (shape * (epoch + 1))[bins] + np.tile([-0.5, 0.5], 5)
        x = np.asarray(x[:, None], np.float32)
        shifts.append((smooth(objective, variables, x, bins)["z"] - x)[::2, 0])
        variables = refresh(objective, variables, x, bins, np.zeros(5))
        if epoch == 1:
            state = variables.state["fds"]
            want = [0, 1.1, 2.2, 4.4, 8.8]
            np.testing.assert_allclose(state.running_mean[:, 0], want, rtol=1e-5)
            want = [0.6666, 1.0, 2.3333, 4.6666, 5.3337]
            np.testing.assert_allclose(state.smoothed_mean[:, 0], want, atol=1e-4)
    np.testing.assert_array_equal(shifts[:2], np.zeros((2, 5)))
    want = [0.6666, -0.1, 0.1333, 0.2666, -3.4663]
    np.testing.assert_allclose(shifts[2], want, atol=1e-4)
    got = fds.calibrate(
        jnp.full((2, 1), 3.0),
        jnp.array([0, 1]),
        statistics=fds.identity(2, 1)._replace(
            mean=jnp.ones((2, 1)),
            var=jnp.full((2, 1), 4.0),
            smoothed_mean=jnp.full((2, 1), 2.0),
            smoothed_var=jnp.array([[1.0], [100.0]]),
        ),
    )
    np.testing.assert_allclose(got[:, 0], [3.0, 8.324555], rtol=1e-6)
