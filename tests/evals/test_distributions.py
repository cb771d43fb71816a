"""Distributions in evaluation: on the run's support, and decoded in units of a file."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels, models
from dirjax.evals import eval_step
from dirjax.labels import scales
from dirjax.ops import densities
from tests import toy

EDGES = toy.SPEC.bins.edges
KINDS = ("histogram", "gaussian", "quantile")
SCALES = {
    "linear": labels.Scale(),
    "log": labels.Scale("log", offset=0.5),
    "power": labels.Scale("yeo_johnson", power=0.3),
    "quantile": scales.fit("quantile", np.linspace(0.1, 6, 50) ** 2),
    "from 3": labels.Scale(low=3.0),
}


@functools.cache
def evaluated(kind, decode, scale):
    """Rows of a batch, and the outputs of the head."""
    net = toy.network(head=kind, options=(("decode", decode),))
    params, state = toy.model_variables(net)
    run = eval_step.make_eval_step(
        net,
        SCALES[scale].inverse,
        eval_step.Measure(
            num_bins=toy.SPEC.bins.num, shift=0.0, scale=1.0, gm_epsilon=0.0
        ),
    )
    batch = toy.eval_batch()
    sums, rows, _ = toy.jit(run)(params, state, batch)

    @toy.jit
    def respond(params):
        features, _ = net.encode(params, state, batch["inputs"], train=False)
        return net.head(params, features)

    return sums, rows, respond(params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.quick("log-histogram")
def test_rows_are_predictions_and_probabilities_of_the_bins(kind, scale):
    sums, rows, outputs = evaluated(kind, "median", scale)
    assert set(rows) == {"prediction", "log_probs"}
    assert rows["log_probs"].shape == (toy.ROWS, toy.SPEC.bins.num)
    np.testing.assert_allclose(np.exp(rows["log_probs"]).sum(1), 1, rtol=1e-5)
    # They are those of the learnt label, whatever its scale.
    want = outputs.log_probs(EDGES)
    np.testing.assert_allclose(rows["log_probs"], want, rtol=1e-4, atol=1e-5)
    error = np.abs(rows["prediction"] - toy.eval_batch()["value"])
    np.testing.assert_allclose(sums.abs.sum(), error.sum(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decode", densities.DECODES)
@pytest.mark.quick("mean-quantile", "mode-histogram", "median-gaussian")
def test_without_a_scale_it_is_the_prediction(kind, decode):
    _, rows, outputs = evaluated(kind, decode, "linear")
    np.testing.assert_allclose(rows["prediction"], outputs.prediction, rtol=1e-5)


@pytest.mark.parametrize("scale", ["log", "power", "quantile", "from 3"])
@pytest.mark.parametrize("decode", ["median", "mean"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick(
    "histogram-median-log",
    "gaussian-mean-log",
    "quantile-mean-from 3",
)
def test_decoding_is_in_units_of_the_file(kind, decode, scale):
    """By the numbers: the mean of labels is not the label of the mean."""
    _, rows, outputs = evaluated(kind, decode, scale)
    inverse = SCALES[scale].inverse
    if decode == "median":
        want = np.asarray(inverse(np.float64(outputs.median())))
        # Within a bin the density is constant in one unit or in the other.
        rtol = 0.2 if kind == "histogram" else 1e-4
        np.testing.assert_allclose(rows["prediction"], want, rtol=rtol)
        return
    probs = np.exp(np.float64(rows["log_probs"]))
    edges = np.asarray(inverse(EDGES))
    want = probs @ ((edges[1:] + edges[:-1]) / 2)
    np.testing.assert_allclose(rows["prediction"], want, rtol=1e-4)
    if scale != "quantile":  # Beyond training labels it is a line.
        of_mean = np.asarray(inverse(np.float64(outputs.mean())))
        assert (rows["prediction"] > of_mean).all()


@pytest.mark.slow
def test_the_mean_of_a_log_normal():
    """exp(m + s^2 / 2), on bins that are narrow and go far out."""
    net = models.build("mlp", head="gaussian", edges=np.linspace(-9, 9, 2000),
                       head_options={"decode": "mean"}, shift=0.4, scale=0.5,
                       encoder={"numeric": 1, "width": 4, "depth": 1})  # fmt: skip
    inputs = {"numeric": jnp.ones((1, 1)), "categorical": jnp.ones((1, 0), int)}
    params, state = toy.jit(net.init)(jax.random.key(0), inputs)
    params = {**params, "head": jax.tree.map(jnp.zeros_like, params["head"])}
    respond = eval_step.make_respond(net, labels.Scale("log").inverse)
    got = toy.jit(respond)(params, state, inputs).prediction
    np.testing.assert_allclose(got, np.exp(0.4 + 0.5**2 / 2), rtol=2e-3)


@pytest.mark.slow
def test_maps_keep_no_distributions():
    edges = tuple(EDGES.tolist())
    encoder = {"width": 4, "levels": 1}
    net = models.build("small_unet", head="histogram", edges=edges, encoder=encoder)
    rng = np.random.default_rng(0)
    batch = {"inputs": np.float32(rng.normal(size=(2, 8, 8, 3)))}
    batch["value"] = np.float32(rng.choice([0.5, 2.5, 4.75], (2, 8, 8)))
    batch["bin"] = toy.SPEC.bins.index(batch["value"])
    batch["mask"] = np.ones((2, 8, 8), np.float32)
    params, state = toy.jit(net.init)(jax.random.key(0), batch["inputs"])
    respond = eval_step.make_respond(net, labels.Scale().inverse)
    small = jax.eval_shape(respond, params, state, batch["inputs"])
    assert small.prediction.shape == (2, 4, 4)
    assert small.log_probs.shape == (2, 4, 4, toy.SPEC.bins.num)
    run = eval_step.make_eval_step(
        net,
        labels.Scale().inverse,
        eval_step.Measure(
            num_bins=toy.SPEC.bins.num, shift=0.0, scale=1.0, gm_epsilon=0.0, dense=True
        ),
    )
    sums, ratios, _ = toy.jit(run)(params, state, batch)
    assert sums.count.sum() == 2 * 64
    assert "log_probs" not in ratios._asdict()
