"""Balanced MSE against its formula in float64, public numbers, and its limits."""

import dataclasses
import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from dirjax import labels, objectives, optimizers
from dirjax.labels import mixtures, specification, weights
from dirjax.models import heads
from dirjax.objectives import balanced_mse, base
from dirjax.objectives.balanced_mse import bmc_loss, bni_loss, gai_loss
from dirjax.training import parameters
from tests import toy
from tests.objectives import golden

RNG = np.random.default_rng(0)
P, Y = RNG.normal(size=(9, 2)) * 2, RNG.normal(size=(9, 2)) * 3
Y[4] = Y[3]
LAW = {
    "means": RNG.normal(size=(3, 2)),
    "variances": np.stack([np.diag([1.0, 0.5]), np.eye(2), [[2.0, 0.3], [0.3, 1.0]]]),
    "proportions": np.array([0.5, 0.3, 0.2]),
}


def normal(at, center, cov):
    return multivariate_normal(center, cov).logpdf(at)


def by_hand(form, p, y, s, count=None, **law):
    """The definition: density of the label over its expectation, for each row."""
    count = np.ones(len(p)) if count is None else count
    noise, out = s**2 * np.eye(p.shape[1]), []
    for row, own in zip(p, y, strict=True):
        if form == "bmc":
            logs = [normal(row, other, noise) for other in y]
            against = logsumexp(logs, b=count)
        elif form == "gai":
            parts = zip(law["means"], law["variances"], strict=True)
            logs = [normal(row, m, v + noise) for m, v in parts]
            against = logsumexp(logs, b=law["proportions"])
        else:
            logs = [normal(row, c, noise) for c in law["centers"]]
            against = logsumexp(logs, b=law["proportions"])
        out.append((against - normal(row, own, noise)) * 2 * s**2)
    # The public form of `gai` and `bmc`; in that of `bni` densities lack constants,
    # which cancel.
    return np.array(out)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("form", balanced_mse.FORMS)
def test_against_the_definition(form, dims):
    p, y, s = P[:, :dims], Y[:, :dims], 0.7
    law = {}
    if form == "gai":
        law = {**LAW, "means": LAW["means"][:, :dims]}
        law["variances"] = LAW["variances"][:, :dims, :dims]
    elif form == "bni":
        law = {
            "centers": Y[:5, :dims],
            "proportions": np.array([0.4, 0.2, 0, 0.3, 0.1]),
        }
    fn = {"bmc": bmc_loss, "gai": gai_loss, "bni": bni_loss}[form]
    want = by_hand(form, p, y, s, **law)
    got = toy.jit(functools.partial(fn, sigma=s))(p, y, **law)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-5)
    if dims == 1:
        law = {k: v.reshape(len(v)) for k, v in law.items()}
        got = fn(p[:, 0], y[:, 0], sigma=s, **law)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-5)


def test_rotations_are_exact_on_any_device():
    """At the default precision the products of a TPU or GPU have a few digits."""
    traced = str(jax.make_jaxpr(lambda p, y: gai_loss(p, y, **LAW))(P, Y))
    assert traced.count("precision=(Precision.HIGHEST") == traced.count("dot_general[")


@pytest.mark.slow
def test_weights_count_rows():
    """Twice a weight is twice a row, and padding is no row."""
    p, y = P[:, 0], Y[:, 0]
    twice = np.float32([2, 1, 1, 1, 1, 1, 1, 1, 0])
    order = [0, 0, 1, 2, 3, 4, 5, 6, 7]
    want = bmc_loss(p[order], y[order])[1:]
    np.testing.assert_allclose(bmc_loss(p, y, weights=twice)[:8], want, rtol=1e-5)
    hidden = y.copy()
    hidden[8] = np.nan
    mask = np.float32(np.arange(9) < 8)
    got = bmc_loss(p, hidden, mask=mask)
    np.testing.assert_allclose(got[:8], bmc_loss(p[:8], y[:8]), rtol=1e-5)
    assert np.isfinite(got).all()


def law_of(name, case):
    if name == "bmse_bmc":
        return bmc_loss, {}
    if name.startswith("bmse_bni"):
        found = {k: case[f"in.bucket_{k}"] for k in ("centers", "weights")}
        return bni_loss, {"centers": found["centers"], "proportions": found["weights"]}
    if int(case.get("p.which", 1)) == 0:
        return bmc_loss, {}
    return gai_loss, {
        "means": case["in.gmm_means"],
        "variances": case["in.gmm_variances"],
        "proportions": case["in.gmm_weights"],
    }


@pytest.mark.parametrize(
    "name", ["bmse_bmc", "bmse_gai", "bmse_bni", "bmse_bni_nyud2", "bmse_md"]
)
def test_golden(name):
    programs = {}
    for case in golden.cases(name):
        fn, law = law_of(name, case)
        if name.startswith("bmse_bni"):
            law = {**law, "centers": law["centers"].reshape(-1, 1)}
        if fn not in programs:

            def loss(p, s, y, fn=fn, **law):
                return fn(p, y, sigma=s, **law).mean()

            programs[fn] = toy.jit(jax.value_and_grad(loss, (0, 1)))
        with jax.enable_x64(True):
            arrays = (case["in.pred"], case["p.init_noise_sigma"], case["in.target"])
            value, slopes = programs[fn](*map(jnp.asarray, arrays), **law)
        np.testing.assert_allclose(value, case["out.loss"], rtol=1e-9)
        np.testing.assert_allclose(slopes[0], case["grad.pred"], atol=1e-9)
        np.testing.assert_allclose(slopes[1], case["grad.noise_sigma"], rtol=1e-7)


def options_of(case):
    return {
        "kernel": "gaussian" if case["p.lds"] else None,
        "size": int(case["p.ks"]),
        "sigma": float(case["p.lds_sigma"]),
        "truncate": True,
    }


def test_golden_histograms():
    for case in golden.cases("bmse_bni"):
        # Labels of 121 and more are left out there.
        labels = case["in.train_labels"].astype(int)
        counts = np.bincount(labels[labels < 121], minlength=200)
        shares = weights.histogram_prior(counts, **options_of(case))
        held = np.flatnonzero(shares)
        np.testing.assert_array_equal(held, np.ravel(case["in.bucket_centers"]))
        want = np.ravel(case["in.bucket_weights"])
        np.testing.assert_allclose(shares[held], want, rtol=1e-12)


def test_golden_histograms_of_depth():
    """Mirrored ends, bins below the first that borrow its value, and roots."""
    for case in golden.cases("bmse_bni_nyud2"):
        shares = weights.histogram_prior(
            case["in.train_bucket_num"],
            scheme=("inverse", "sqrt_inverse")[int(case["p.reweight"])],
            padding="edge",
            first_bin=int(case["p.bucket_start"]),
            **options_of(case),
        )
        want = np.ravel(case["in.bucket_weights"])
        np.testing.assert_allclose(shares, want, rtol=1e-12)


def test_the_prior_of_depth_reaches_the_term():
    """Bins below the first have a share, though they have no labels."""
    options = {"padding": "edge", "first_bin": 2, "scheme": "sqrt_inverse"}
    spec = dataclasses.replace(toy.SPEC, counts=np.array([0, 0, 4, 9, 0, 1]))
    objective = balanced_mse.make(form="bni", kernel="triang", size=3, **options)
    prior = objective.init(jax.random.key(0), spec).state["prior"]
    # Roots 2, 3, 0, 1 under 1/2, 1, 1/2 with mirrored ends; the first one repeated.
    want = np.array([4.5, 4.5, 4.5, 4, 2, 1.5])
    np.testing.assert_allclose(prior["proportions"], want / want.sum(), rtol=1e-6)


def slope_of(fn, p, **options):
    return toy.jit(jax.grad(lambda p: fn(p, **options).sum()))(np.float32(p))


def test_limits():
    p, y = P[:, 0], np.float32(Y[:, 0])
    # With little noise, from the nearest label to the own one.
    nearest = y[np.abs(p[:, None] - y[None]).argmin(1)]
    slope = slope_of(bmc_loss, p, labels=y, sigma=1e-2)
    np.testing.assert_allclose(slope, 2 * (nearest - y), atol=1e-3)
    # With much of it, from the mean label, whatever the prediction.
    slope = slope_of(bmc_loss, p, labels=y, sigma=1e3)
    np.testing.assert_allclose(slope, 2 * (y.mean() - y), atol=1e-3)

    def of_one(variance):
        law = {"means": 0.0, "variances": variance, "proportions": 1.0}
        return {k: np.float32([v]) for k, v in law.items()}

    slope = slope_of(gai_loss, p, labels=y, **of_one(1e8))
    np.testing.assert_allclose(slope, 2 * (p - y), rtol=1e-4)
    # Of one Gaussian prior N(0, v), the least is at y (v + s^2) / v: away from it.
    slope = slope_of(gai_loss, y * 5 / 4, labels=y, **of_one(4.0))
    np.testing.assert_allclose(slope, 0, atol=1e-5)


@pytest.mark.slow
def test_guards():
    slope = toy.jit(jax.value_and_grad(lambda s: bmc_loss(P, Y, sigma=s).sum()))
    for sigma in (0.0, 1e-12, -2.0):
        assert all(np.isfinite(x) for x in slope(sigma))
    assert float(bmc_loss(P, Y, sigma=-2.0)[0]) == float(bmc_loss(P, Y, sigma=2.0)[0])
    ones = np.ones(4, np.float32)
    assert np.isfinite(slope_of(bmc_loss, ones, labels=ones)).all()
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        bmc_loss(np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\)"):
        bmc_loss(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match="one per pixel"):
        bmc_loss(np.ones((3, 2, 2)), np.ones((3, 2, 2)))
    for options, said in (
        ({"form": "bnc"}, "form must be one of bmc, gai, bni"),
        ({"scheme": "none"}, "scheme must be one of inverse, sqrt_inverse"),
        ({"unit": "bin"}, "unit must be one of deviation, label"),
    ):
        with pytest.raises(ValueError, match=said):
            balanced_mse.make(**options)


K = np.ones(3, np.float32) / 3


@pytest.mark.parametrize(
    ("fn", "options", "said"),
    [
        (gai_loss, {"variances": K.reshape(3, 1, 1)}, r"variances .*\(3, 1, 1\)"),
        (gai_loss, {"variances": K[:1]}, r"variances .*\(1,\) .* means .*\(3,\)"),
        (gai_loss, {"proportions": K[:, None]}, r"proportions .*\(3, 1\)"),
        (gai_loss, {"means": K[:, None]}, r"variances must have 3 .*\(3,\)"),
        (bni_loss, {"proportions": K[:, None]}, r"proportions .*\(3, 1\)"),
        (bni_loss, {"proportions": K[:1]}, r"proportions .*\(1,\) .*centers .*\(3,\)"),
        (bmc_loss, {"weights": np.ones((9, 1))}, r"weights .*\(9, 1\)"),
        (bmc_loss, {"weights": np.ones(1)}, r"weights .*\(1,\) .*labels .*\(9,\)"),
        (bmc_loss, {"mask": np.ones((9, 1))}, r"mask .*\(9, 1\)"),
        (bmc_loss, {"sigma": np.ones(9)}, r"sigma must be one number.*\(9,\)"),
    ],
)
def test_shapes_that_would_broadcast(fn, options, said):
    law = {
        gai_loss: {"means": K, "variances": K, "proportions": K},
        bni_loss: {"centers": K, "proportions": K},
        bmc_loss: {},
    }[fn]
    with pytest.raises(ValueError, match=said):
        fn(P[:, 0], Y[:, 0], **{**law, **options})


@pytest.mark.parametrize("form", balanced_mse.FORMS)
def test_a_model_of_balanced_labels(form):
    """A correction is told that labels are balanced where there are any."""
    options = {"components": 20} if form == "gai" else {}
    objective = objectives.from_config({"balanced_mse": {"form": form, **options}})
    table = objective.weighting(toy.SPEC, np.ones(toy.SPEC.bins.num))
    spec = specification.weighted(toy.SPEC, table, lambda: ())
    held = toy.SPEC.counts > 0
    want = np.ones(4)
    if form == "gai":  # Balanced as far as the mixture is the distribution.
        law = objective.init(jax.random.key(0), toy.SPEC).state["balanced_mse"]["prior"]
        law = mixtures.Mixture(*(np.float64(law[k]) for k in mixtures.Mixture._fields))
        want = toy.SPEC.counts[held] / law.density(toy.SPEC.centers[held])
    np.testing.assert_allclose(spec.weights[held], 53 * want / want.sum(), rtol=1e-5)
    ignored = objectives.from_config(
        {"l1": {}, "balanced_mse": {"form": form, "weight": 0.0}}
    )
    np.testing.assert_array_equal(
        ignored.weighting(toy.SPEC, np.ones(toy.SPEC.bins.num)), 1
    )


def test_weights_on_top():
    """Under bmc they cancel, since rows and labels that compete have the same."""
    given, one = np.array([1.0, 2, 5, 1, 3, 1]), np.ones(6)

    def table(form, given):
        record = {"scheme": "inverse", "clip": None}
        wrapped = objectives.from_config(
            {"balanced_mse": {"form": form}}, ("reweight",), {"reweight": record}
        )
        return wrapped.weighting(toy.SPEC, given)

    inverse = 53 / 4 / np.maximum(toy.SPEC.counts, 1)
    for form in ("bmc", "bni"):
        alone = objectives.from_config({"balanced_mse": {"form": form}})
        plain = alone.weighting(toy.SPEC, one)
        more = 1.0 if form == "bmc" else given * inverse
        np.testing.assert_allclose(table(form, given), plain * more, rtol=1e-6)


def test_bmc_learns_balanced_labels_under_any_weights():
    """Its minimum over the prediction of an input stays where it is without."""
    y = np.repeat(np.float32([1, 1, 2]), 100)
    # Two thirds of the labels are 1, of this input only half are.
    mine = np.arange(300) % 4 < np.where(y == 1, 1, 2)

    def at_best(weight):
        def loss(p):
            values = bmc_loss(jnp.full(300, p), y, sigma=0.5, weights=weight)
            return jnp.sum(values * weight * mine)

        grid = np.linspace(0.5, 2.5, 201, dtype=np.float32)
        return grid[np.argmin(toy.jit(jax.vmap(loss))(grid))]

    plain = at_best(np.ones(300, np.float32))
    # Balanced, label 2 is as likely twice as often as it is here.
    assert plain > 1.6
    weighted = at_best(np.where(y == 2, 9, 1).astype(np.float32))
    assert abs(weighted - plain) < 0.011


def test_sigma_has_a_rate_of_its_own():
    """Adam moves a parameter by its rate; other parameters have the model's."""
    objective = objectives.from_config(
        {"l1": {}, "balanced_mse": {"learning_rate": 0.25}}
    )
    own = objective.init(jax.random.key(0), toy.SPEC).params
    params = {"model": {"head": np.ones((2, 1), np.float32)}, "objective": own}
    for patterns in ((), ("head",)):
        tx, _ = parameters.divide(
            optimizers.make("sgd", 0.01),
            params,
            patterns,
            objective.rates,
            lambda rate: optimizers.make("sgd", rate),
        )
        slopes = jax.tree.map(jnp.ones_like, params)
        moved, _ = tx.update(slopes, tx.init(params), params)
        assert float(moved["objective"]["balanced_mse"]["raw_sigma"]) == -0.25
        np.testing.assert_allclose(moved["model"]["head"], -0.01)
    fixed = balanced_mse.make(learning_rate=0).init(jax.random.key(0), toy.SPEC)
    assert fixed.params == {}


@pytest.mark.parametrize("unit", balanced_mse.UNITS)
def test_sigma_in_units_of_labels(unit):
    objective = balanced_mse.make(sigma=0.5, unit=unit)
    variables = objective.init(jax.random.key(0), toy.SPEC)
    outputs = types.SimpleNamespace(prediction=np.float32(P[:, 0]))
    batch = {"label": np.float32(Y[:, 0])}
    batch |= {k: np.ones(9, np.float32) for k in ("weight", "mask")}
    out = objective.loss(variables, base.View(None, outputs, None, None), batch, None)
    sigma = 0.5 * (toy.SPEC.label_std if unit == "deviation" else 1.0)
    np.testing.assert_allclose(out.metrics["balanced_mse/sigma"][0], sigma, rtol=1e-5)
    want = bmc_loss(outputs.prediction, batch["label"], sigma=sigma).mean()
    np.testing.assert_allclose(out.loss, want, rtol=1e-5)


def test_places_of_bins():
    np.testing.assert_allclose(toy.SPEC.centers, np.arange(6) + 0.5)
    spec = specification.spec([1, 1, 3.5], bin_width=1, label_range=(0, 5))
    np.testing.assert_allclose(spec.centers, [0.5, 1, 2.5, 3.5, 4.5])
    assert dataclasses.replace(spec, means=None).centers[1] == 1.5


def test_mixture_is_as_likely_as_that_of_scikit_learn():
    found = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(3)
    labels = np.concatenate([rng.normal(20, 3, 600), rng.gamma(2, 9, 400)]).round()
    values, counts = np.unique(labels, return_counts=True)
    ours = mixtures.fit(values, counts, 3)
    theirs = found.GaussianMixture(3, random_state=0).fit(labels[:, None])
    likelihood = counts @ np.log(ours.density(values)) / counts.sum()
    assert likelihood > theirs.score(labels[:, None]) - 0.01
    chex.assert_trees_all_close(ours.proportions.sum(), 1.0)
    mean = ours.proportions @ ours.means
    np.testing.assert_allclose(mean, labels.mean(), rtol=1e-6)


@pytest.mark.parametrize("components", [1, 8])
def test_labels_far_from_all_components_have_a_weight(components):
    """The density of a mixture is 0 in numbers there."""
    y = np.append(np.exp(2 * np.random.default_rng(0).normal(size=2000)), 3e4)
    spec = labels.spec(y, bin_width=13.0)
    form = {"form": "gai", "components": components}
    objective = objectives.from_config({"balanced_mse": form})
    table = objective.weighting(spec, np.ones(spec.bins.num))
    assert np.isfinite(table).all()
    held = spec.counts * table
    assert held.sum() == pytest.approx(len(y))
    # The last label weighs much, but not more than all others.
    assert 1 < held[-1] < 0.5 * len(y)


def test_labels_below_the_first_bin_are_refused():
    with pytest.raises(ValueError, match="no labels below, got 1 with 3 of them"):
        weights.histogram_prior([3, 0, 5], first_bin=1)
    with pytest.raises(ValueError, match="at most the last bin with labels, got 2"):
        weights.bin_density([0, 3, 0], "inverse", clip=None, first_bin=2)


def test_bni_is_bounded_for_labels_below_the_first_centre():
    """The mean of the first bin is above some of its labels."""
    spec = labels.spec([0.1, 0.7, 0.7, 1.5, 2.2], bin_width=1.0)
    assert spec.centers[0] == pytest.approx(0.5)
    objective = balanced_mse.make(form="bni", sigma=0.5, learning_rate=0.0)
    variables = jax.tree.map(jnp.asarray, objective.init(jax.random.key(0), spec))
    one = {"label": jnp.float32([0.1]), "weight": jnp.ones(1), "mask": jnp.ones(1)}

    def loss(p):
        view = base.View(None, heads.Outputs(jnp.float32([p])), None, None)
        return objective.loss(variables, view, one, None).loss

    far = [float(loss(-(10.0**k))) for k in range(1, 5)]
    # Without the clip, -0.8 times the distance.
    assert min(far) > -1.0
