"""ConR against loops, and public numbers."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import base, conr
from dirjax.objectives.conr import conr_loss
from tests import toy
from tests.objectives import golden


def by_loops(
    z, p, y, w=1.0, e=0.01, t=0.07, push="exponential", form="paper", eta=None
):
    z, n = np.asarray(z, np.float64), len(z)
    eta = np.ones(n) if eta is None else eta
    length = np.linalg.norm(z, axis=1, keepdims=True)
    z = np.divide(z, length, out=np.zeros_like(z), where=length > 0)
    s, total = z @ z.T / t, 0.0
    for i in range(n):
        pos = [j for j in range(n) if j != i and abs(y[i] - y[j]) <= w]
        neg = [
            j
            for j in range(n)
            if abs(y[i] - y[j]) > w and abs(p[i] - p[j]) <= w and eta[i] > 0
        ]
        if not pos or not neg:
            continue
        below = sum(np.exp(s[i, j]) for j in pos) + (n - len(pos)) * (form != "paper")
        for j in neg:
            gap = e * abs(y[i] - y[j])
            force = np.exp(gap) if push == "exponential" else gap
            below += eta[i] * force * np.exp(s[i, j])
        each = sum(np.log(below) - s[i, j] for j in pos)
        total += each / (len(pos) + 1) if form == "depth" else eta[i] * each / len(pos)
    return total / max(n, 1)


def rows(seed=0, n=14):
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(n, 4)))
    z[5], z[6] = z[3], 0
    y = np.float32(rng.integers(0, 12, n))
    y[0] = 40.0  # no positive
    p = np.float32(y + rng.normal(size=n) * 3)
    return z, p, y, np.float32(rng.gamma(2, 0.5, n))


MASK = np.float32(np.arange(14) % 5 != 2)
both = toy.jit(
    jax.value_and_grad(conr_loss),
    static_argnames=("window", "rate", "temperature", "push", "denominator"),
)


@pytest.mark.parametrize("denominator", conr.DENOMINATORS)
@pytest.mark.parametrize("push", conr.PUSHES)
@pytest.mark.quick("exponential-paper", "linear-code", "linear-depth")
def test_against_loops(push, denominator):
    z, p, y, eta = rows()
    options = {"push": push, "denominator": denominator, "rate": 0.3}
    got, slope = both(z, p, y, weights=eta, mask=MASK, **options)
    real = MASK > 0
    want = by_loops(
        z[real],
        p[real],
        y[real],
        e=0.3,
        push=push,
        form=denominator,
        eta=eta[real],
    )
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[~real], 0)


@functools.cache
def program(w, e, t):
    def loss(z, p, y, eta):
        options = {"window": w, "rate": e, "temperature": t, "denominator": "code"}
        return conr_loss(z, p, y, weights=eta, **options)

    return toy.jit(jax.value_and_grad(loss))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.quick("0")
def test_golden(which):
    """The public code's own denominators; its NaN where a row has no positive is 0."""
    for case in golden.cases("conr"):
        if int(case["p.which"]) != which:
            continue
        z, y = case["in.features"], case["in.targets"].ravel()
        eta = case.get("in.weights", np.ones((len(y), 1))).ravel()
        p = case["in.preds"].ravel()
        # The copy for AgeDB-DIR overwrites its temperature.
        t = float(case["p.t"]) if which else 0.07
        w, e = float(case["p.w"]), float(case["p.e"])
        with jax.enable_x64(True):
            value, slope = program(w, e, t)(*map(jnp.float64, (z, p, y, eta)))
        if np.isnan(case["out.loss"]):
            want = by_loops(z, p, y, w, e, t, form="code", eta=eta)
            np.testing.assert_allclose(value, want, rtol=1e-9)
            assert np.isfinite(slope).all()
            continue
        np.testing.assert_allclose(value, case["out.loss"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(slope, case["grad.features"], atol=1e-9)


def test_golden_of_depth():
    """The public code for depth, on means of images."""
    for case in golden.cases("conr_nyud2"):
        arrays = [case[f"in.{n}"] for n in ("output", "depth", "weights")]
        p, y, eta = (x.reshape(len(x), -1).mean(1) for x in arrays)
        options = {"window": "p.w", "temperature": "p.t", "rate": "p.e"}
        options = {name: float(case[key]) for name, key in options.items()}

        def loss(maps, p, y, eta, options=options):
            options = {**options, "push": "linear", "denominator": "depth"}
            return conr_loss(maps.reshape(len(maps), -1), p, y, weights=eta, **options)

        with jax.enable_x64(True):
            arrays = map(jnp.float64, (case["in.features"], p, y, eta))
            value, slope = toy.jit(jax.value_and_grad(loss))(*arrays)
        np.testing.assert_allclose(value, case["out.loss"], rtol=1e-9)
        np.testing.assert_allclose(slope, case["grad.features"], atol=1e-9)


@pytest.mark.parametrize("width", [0.3, 0.7, 0.25, 0.01, 0.1])
def test_bins_of_any_width(width):
    """Neighbours are one bin apart, though float32 has no multiples of 0.3."""
    rng = np.random.default_rng(1)
    z = np.float32(rng.normal(size=(120, 3)))
    whole = np.arange(120) + rng.integers(0, 2, 120)
    near = whole + rng.integers(-3, 4, 120)
    bins = types.SimpleNamespace(mean_width=width)
    spec = types.SimpleNamespace(label_std=1.0, bins=bins)
    objective = conr.make()
    variables = objective.init(jax.random.key(0), spec)
    outputs = types.SimpleNamespace(prediction=np.float32(near * width))
    ones = np.ones(120, np.float32)
    batch = {"label": np.float32(whole * width), "weight": ones, "mask": ones}
    view = base.View(jnp.asarray(z), outputs, None, None)
    got = objective.loss(variables, view, batch, None).loss
    np.testing.assert_allclose(got, by_loops(z, near, whole), rtol=1e-4)


def test_degenerate_batches():
    z, p, y, eta = rows()
    one = np.float32(np.arange(14) == 3)
    batches = {
        "equal labels": (z, p, np.ones_like(y), eta, MASK),
        "equal rows": (np.ones_like(z), p, y, eta, MASK),
        "zero rows": (np.zeros_like(z), p, y, eta, MASK),
        "exact predictions": (z, y, y, eta, MASK),
        "no positive": (z, p, 10 * np.arange(14, dtype=np.float32), eta, MASK),
        "no weight": (z, p, y, 0 * eta, MASK),
        "one row": (z, p, y, eta, one),
        "no row": (z, p, y, eta, 0 * one),
        "NaN in padding": (np.where(MASK[:, None] > 0, z, np.nan), p, y, eta, MASK),
    }
    alone = ("equal labels", "exact predictions", "no positive", "no weight")
    for name, (*arrays, weights, mask) in batches.items():
        value, slope = both(*arrays, weights=weights, mask=mask)
        assert np.isfinite(value), name
        assert np.isfinite(slope).all(), name
        np.testing.assert_array_equal(slope[mask == 0], 0, err_msg=name)
        if name in (*alone, "one row", "no row"):
            assert float(value) == 0, name


@pytest.mark.slow
def test_units_of_labels():
    z, p, y, eta = rows()
    batch = {"label": y, "weight": eta, "mask": MASK}
    outputs = types.SimpleNamespace(prediction=p)
    view = base.View(jnp.asarray(z), outputs, None, None)
    for unit, size in (("label", 1.0), ("deviation", toy.SPEC.label_std)):
        objective = conr.make(unit=unit, window=2.0, rate=0.1)
        variables = objective.init(jax.random.key(0), toy.SPEC)
        got = objective.loss(variables, view, batch, None).loss
        options = {"window": 2.0 * size, "rate": 0.1 / size}
        want = conr_loss(z, p, y, weights=eta, mask=MASK, **options)
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_what_is_refused():
    for options, said in (
        ({"window": -1.0}, "window must be a number from 0"),
        ({"push": "square"}, "push must be one of exponential, linear"),
        ({"unit": "year"}, "unit must be one of bin, deviation, label"),
    ):
        with pytest.raises(ValueError, match=said):
            conr.make(**options)
