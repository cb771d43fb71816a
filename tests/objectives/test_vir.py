"""VIR: statistics, smoothing and calibration against public numbers; a step by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import objectives
from dirjax.features import moments as moments_lib
from dirjax.labels import weights
from dirjax.objectives import base, fds, vir
from tests import toy
from tests.objectives import golden

CASES = golden.cases("vir_prm")
KERNELS = ("gaussian", "triang", "laplace")


def epochs(case):
    """Number of an epoch, and its arrays by name."""
    for epoch in case["p.epochs"]:
        head = f"e{epoch}_"
        yield (
            int(epoch),
            {k.replace(head, ""): v for k, v in case.items() if f".{head}" in k},
        )


def rows_of(labels, case):
    """The row of each label, None outside."""
    first, last = int(case["p.bucket_start"]), int(case["p.bucket_num"]) - 1
    return np.clip(labels.astype(int), first, last) - first


def window_of(case):
    kernel = KERNELS[int(case["p.kernel"])]
    size, sigma = int(case["p.ks"]), float(case["p.sigma"])
    return weights.kernel_window(kernel, size, sigma, normalize="sum")


def state_of(values, moment):
    """Their statistics, as those of ours that are used to calibrate."""
    get = {k: jnp.asarray(v) for k, v in values.items()}
    table = [
        get[f"out.{moment}_{name}"]
        for name in (
            "running_mean",
            "running_var",
            "running_mean_last_epoch",
            "running_var_last_epoch",
            "smoothed_mean_last_epoch",
            "smoothed_var_last_epoch",
            "num_samples_tracked",
        )
    ]
    return fds.Statistics(*table, jnp.int32(1))


@pytest.mark.parametrize("number", range(len(CASES)))
def test_golden_statistics(number):
    """Of each epoch, from the running statistics before and after it."""
    case = CASES[number]
    keep = float(case["p.momentum"])
    before = None
    for epoch, values in epochs(case):
        z = np.float64(values["in.update_features"])
        dim = z.shape[1] // 2
        rows = rows_of(values["in.update_labels"], case)
        num = len(values["out.end_running_mean"])
        with jax.enable_x64(True):
            m = moments_lib.from_batch(
                jnp.asarray(z[:, :dim]), rows, jnp.ones(len(z)), num_bins=num
            )
            v = moments_lib.from_batch(
                jnp.asarray(z[:, dim:]), rows, jnp.ones(len(z)), num_bins=num
            )
            found = vir.bin_statistics(m.count, m.mean, m.m2, v.mean)
        share = 0.0 if epoch == int(case["p.start_update"]) else keep
        present = np.asarray(m.count) > 0
        for name, new in zip(("running_mean", "running_var"), found, strict=True):
            old = np.zeros_like(new) if before is None else before[f"out.end_{name}"]
            want = values[f"out.end_{name}"]
            mixed = (1 - share) * np.asarray(new) + share * old
            np.testing.assert_allclose(mixed[present], want[present], rtol=1e-9)
        before = values


@pytest.mark.parametrize("number", range(len(CASES)))
def test_golden_smoothing_and_calibration(number):
    case, before, moved = CASES[number], None, 0
    for _, values in epochs(case):
        if before is not None:
            with jax.enable_x64(True):
                found = vir.smoothed(
                    jnp.asarray(before["out.end_running_mean"]),
                    jnp.asarray(before["out.end_running_var"]),
                    window=window_of(case),
                )
            for name, got in zip(("mean", "var"), found, strict=True):
                want = values[f"out.mid_smoothed_{name}_last_epoch"]
                np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-12)
            if not values["out.smooth_exception"]:
                check_calibration(case, state_of(before, "end"), values)
                moved += 1
        before = values
    assert moved


def check_calibration(case, statistics, values):
    z, labels = np.float64(values["in.smooth_features"]), values["in.smooth_labels"]
    rows, dim = rows_of(labels, case), z.shape[1] // 2
    first, last = int(case["p.bucket_start"]), int(case["p.bucket_num"]) - 1
    inside = (labels >= first) & (labels <= last)
    with jax.enable_x64(True):

        def both(z):
            parts = vir.calibrate(z[:, :dim], z[:, dim:], rows, statistics=statistics)
            return jnp.concatenate(parts, axis=1)

        got, pull = jax.vjp(both, jnp.asarray(z))
        (slope,) = pull(jnp.asarray(values["in.cotangent"]))
    np.testing.assert_allclose(got[inside], values["out.smooth"][inside], atol=1e-6)
    want = values["grad.features"][inside]
    np.testing.assert_allclose(slope[inside], want, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_an_epoch_by_hand():
    """Steps add up variances; at the end of the epoch all statistics follow."""
    objective = objectives.from_config({"l1": {}}, ("vir",))
    variables = objective.init(jax.random.key(0), toy.SPEC)
    rng = np.random.default_rng(1)
    layer = {
        "kernel": jnp.float32(rng.normal(size=(4, 4))),
        "bias": jnp.float32(rng.normal(size=4)),
    }
    variables = variables._replace(params={**variables.params, "variance": layer})
    batch = toy.batch() | {"mask": np.float32([1, 1, 1, 1, 1, 1, 0, 1])}
    z = np.float32(rng.normal(size=(8, 4)))
    net = toy.network()
    params = toy.model_variables(net)[0]

    def head(features, frozen=False):
        return net.head(params, features)

    view = base.View(jnp.asarray(z), head(z), None, head)
    out = objective.loss(variables, view, batch, jax.random.key(3))
    v = (
        np.log1p(np.exp(z @ np.float64(layer["kernel"]) + np.float64(layer["bias"])))
        + 1e-6
    )
    held, real = out.state, batch["mask"] > 0
    at = batch["bin"]
    total = np.array([v[real & (at == b)].sum(0) for b in range(6)])
    np.testing.assert_allclose(held["variance"], total, rtol=1e-4, atol=1e-6)
    moments = moments_lib.from_batch(
        jnp.asarray(z), jnp.asarray(at), jnp.asarray(batch["mask"]), num_bins=6
    )
    after = objective.collect.epoch(variables._replace(state=held), moments)
    table = after.state["statistics"]
    b = np.bincount(at[real]).argmax()
    here = real & (at == b)
    n, m = here.sum(), np.float64(z[here])
    spread = np.mean(v[here] - v[here].sum(0) / n**2 + m**2 - m.mean(0) ** 2, axis=0)
    np.testing.assert_allclose(table.running_var[b, :4], spread, rtol=1e-4)
    shared = v[here].sum(0) / n**2
    np.testing.assert_allclose(table.running_mean[b, 4:], shared, rtol=1e-4)
    assert not np.any(after.state["rows"])
    # Samples in the next epoch are those of moved distributions.
    key = jax.random.key(4)
    moved = vir.calibrate(z, jnp.float32(v), at, statistics=table)
    eps = jax.random.normal(vir.stream_key(key, "vir"), z.shape)
    want = head(moved[0] + jnp.sqrt(moved[1]) * eps).prediction
    got = objective.loss(after, view, batch, key)
    error = np.abs(want - batch["label"])[real].mean()
    np.testing.assert_allclose(got.loss, error, rtol=1e-4)


def test_what_is_refused():
    with pytest.raises(ValueError, match="clip as"):
        vir.make(toy.l1(), clip=(2.0, 1.0))
    spec = dataclasses.replace(toy.SPEC, feature_dim=0)
    with pytest.raises(ValueError, match=r"vir needs spec\.feature_dim above 0"):
        vir.make(toy.l1()).init(jax.random.key(0), spec)
