"""Evidential losses against public numbers and formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dirjax.models import voting
from dirjax.models.evidential import ConjugateOutputs, EvidentialOutputs
from dirjax.objectives import base, evidential, uvote
from dirjax.objectives.evidential import nig_nll, nig_regulariser, weighted_evidence
from tests import toy
from tests.objectives import golden

CASES = golden.cases("vir_losses")


def of_raw(inputs, targets, coefficient, weights):
    """DER from its four parameters."""
    gamma, nu, alpha, beta = jnp.moveaxis(inputs, -1, 0)
    value = nig_nll(targets, gamma, nu, alpha, beta)
    value = value + coefficient * nig_regulariser(targets, gamma, nu, alpha)
    return jnp.mean(weights * value)


def of_evidence(inputs, targets, case, weights):
    gamma, n, omega = jnp.moveaxis(inputs, -1, 0)
    nu0, alpha0 = float(case["p.prior_v"]), float(case["p.prior_alpha"])
    nu, alpha = weighted_evidence(n, alpha0 + n / 2, weights)
    value = nig_nll(targets, gamma, nu0 + nu, alpha, omega)
    value += case["p.coeff"] * nig_regulariser(targets, gamma, nu0 + nu, alpha)
    return jnp.mean(value), (nu0 + nu, alpha)


def test_golden_likelihood_and_regulariser():
    for case, fn in zip(CASES[:2], (nig_nll, nig_regulariser), strict=True):
        names = ("gamma", "v", "alpha", "beta")[: 4 - int(case["p.which"])]
        with jax.enable_x64(True):
            args = [jnp.asarray(case[f"in.{n}"][:, 0]) for n in ("y", *names)]
            value = fn(*args)
            slopes = jax.grad(lambda *a, f=fn: f(*a).sum(), range(1, len(args)))(*args)
        np.testing.assert_allclose(value, case["out.value"][:, 0], rtol=1e-9)
        for name, slope in zip(names, slopes, strict=True):
            want = case[f"grad.{name}"][:, 0]
            np.testing.assert_allclose(slope, want, rtol=1e-9)


@pytest.mark.parametrize("number", range(3, 7))
def test_golden_weighted_loss(number):
    case = CASES[number]
    weights = case["in.weights"][:, 0] if "in.weights" in case else 1.0
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(of_raw)(
            jnp.asarray(case["in.inputs"]),
            case["in.targets"][:, 0],
            float(case["p.coeff"]),
            weights,
        )
    np.testing.assert_allclose(value, case["out.loss"], rtol=1e-9)
    np.testing.assert_allclose(slope, case["grad.inputs"], rtol=1e-9)


@pytest.mark.parametrize("number", [7, 8])
def test_golden_weights_on_evidence(number):
    case = CASES[number]
    weights = case["in.weights"][:, 0] if case["p.is_train"] else np.ones(8)
    with jax.enable_x64(True):
        run = jax.value_and_grad(of_evidence, has_aux=True)
        inputs, y = jnp.asarray(case["in.inputs"]), case["in.targets"][:, 0]
        (value, (nu, alpha)), slope = run(inputs, y, case, weights)
    np.testing.assert_allclose(nu, case["out.v"][:, 0], rtol=1e-9)
    np.testing.assert_allclose(alpha, case["out.alpha"][:, 0], rtol=1e-9)
    np.testing.assert_allclose(value, case["out.loss"], rtol=1e-9)
    np.testing.assert_allclose(slope, case["grad.inputs"], rtol=1e-9)


def view_of(outputs):
    return base.View(jnp.zeros((8, 4)), outputs, None, None)


def outputs_of(kind=EvidentialOutputs):
    rng = np.random.default_rng(2)
    center = np.float32(rng.normal(size=8) + 2)
    nu, beta = np.float32(rng.gamma(2.0, size=(2, 8)))
    alpha = 0.3 + nu / 2 if kind is ConjugateOutputs else 1 + nu * 2
    return kind(center, center, nu, np.float32(alpha), beta)


def term(objective, outputs, batch):
    variables = objective.init(jax.random.key(0), toy.SPEC)
    return objective.loss(variables, view_of(outputs), batch, None)


def test_terms():
    unit, batch = toy.SPEC.label_std, toy.batch()
    batch["weight"] = np.float32([0.5, 2, 1, 0, 1, 3, 1, 1])
    batch["mask"] = np.float32([1, 1, 1, 1, 0, 1, 1, 1])
    y, w = np.float64(batch["label"]), np.float64(batch["weight"])
    for weigh, kind in (("loss", EvidentialOutputs), ("evidence", ConjugateOutputs)):
        out = outputs_of(kind)
        c, nu, alpha, beta = (np.float64(x) for x in out[1:])
        row = w
        if weigh == "evidence":
            nu = np.maximum(w * nu, 1e-3)
            alpha, row = 0.3 + nu / 2, np.ones(8)
        scale = np.sqrt(beta * (1 + nu) / (nu * alpha))
        # In label units the likelihood has the logarithm of the unit.
        value = -stats.t(2 * alpha, c, scale).logpdf(y) - np.log(unit)
        value += 0.2 * np.abs(y - c) / unit * (2 * nu + alpha)
        made = evidential.make(coefficient=0.2, weigh=weigh)
        got = term(made, out, batch)
        want = np.sum(batch["mask"] * row * value) / batch["mask"].sum()
        np.testing.assert_allclose(got.loss, want, rtol=1e-5)


def test_votes():
    rng, batch = np.random.default_rng(0), toy.batch()
    batch["mask"] = np.float32([1, 1, 1, 0, 1, 1, 1, 1])
    centers = np.float32(rng.normal(size=(8, 3)) + 2)
    scales = np.float32(rng.gamma(2.0, size=(8, 3)))
    voted = voting.fused(centers, scales, "surest")
    got = term(uvote.make(bandwidth=0.5), voted, batch)
    # A kernel density of the training labels, to powers 0, -1/2 and -1; the one of
    # `weights` begins at 0, at 4 widths beyond the labels.
    places, counts = toy.SPEC.centers, toy.SPEC.counts
    apart = (places[:, None] - places[None]) / 0.5
    density = (np.exp(-(apart**2) / 2) * counts[None]).sum(1)
    density = np.maximum(density, density[counts > 0].min())
    total, unit = 0.0, toy.SPEC.label_std
    for m, power in enumerate((0, 0.5, 1)):
        table = density**-power
        table = table * counts.sum() / (counts * table).sum()
        for i in np.flatnonzero(batch["mask"]):
            law = stats.laplace(centers[i, m], scales[i, m])
            nll = -law.logpdf(batch["label"][i]) - np.log(unit)
            total += table[batch["bin"][i]] * nll
    np.testing.assert_allclose(got.loss, total / batch["mask"].sum(), rtol=1e-3)
    shares = [got.metrics[f"uvote/expert_{m}"][0] for m in (1, 2, 3)]
    assert sum(map(float, shares)) == batch["mask"].sum()


def test_what_is_refused():
    net = toy.network()
    linear = view_of(net.head(toy.model_variables(net)[0], jnp.zeros((8, 4))))
    for objective, words in (
        (evidential.make(), "needs model.head='evidential'"),
        (uvote.make(), "model.head='vote' with 3 experts"),
    ):
        variables = objective.init(jax.random.key(0), toy.SPEC)
        with pytest.raises(ValueError, match=words):
            objective.loss(variables, linear, toy.batch(), None)
    with pytest.raises(ValueError, match="form='conjugate'"):
        term(evidential.make(weigh="evidence"), outputs_of(), toy.batch())
    with pytest.raises(ValueError, match="weigh must be one of loss, evidence"):
        evidential.make(weigh="none")
    with pytest.raises(ValueError, match="experts"):
        uvote.make(experts=0)
