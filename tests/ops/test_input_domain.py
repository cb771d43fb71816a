"""Which coordinates move, how far, and that a noise survives the model's precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models, objectives
from dirjax.evals import view as view_lib
from dirjax.objectives import ssir
from dirjax.ops import input_domain
from tests import runs, toy


def test_tables_move_in_their_measurements_only():
    rows = {"numeric": jnp.arange(6.0).reshape(2, 3), "categorical": jnp.ones((2, 1))}
    moved, join = input_domain.of_table(2, limit=3.0).split(rows)
    np.testing.assert_array_equal(moved, [[0, 1], [3, 4]])
    back = join(moved + 10)
    np.testing.assert_array_equal(back["numeric"], [[10, 11, 2], [13, 14, 5]])
    assert back["categorical"] is rows["categorical"]
    assert input_domain.of_table(2, limit=3.0)[:2] == (-3.0, 3.0)
    assert input_domain.of_table(2)[:2] == (-np.inf, np.inf)


def test_pixels_stay_within_what_a_pixel_can_be():
    grey = input_domain.of_pixels(0.5, 0.25)
    assert grey[:3] == (-2.0, 2.0, 4.0)
    colour = input_domain.of_pixels((0.485, 0.456), (0.229, 0.224))
    np.testing.assert_allclose(colour.low, (-2.118, -2.036), atol=1e-3)
    np.testing.assert_allclose(colour.high, (2.249, 2.429), atol=1e-3)


@pytest.mark.parametrize(
    "inputs",
    [
        {"categorical": jnp.ones((2, 1), jnp.int32)},
        {"numeric": jnp.ones((2, 0)), "categorical": jnp.ones((2, 1), jnp.int32)},
        jnp.ones((2, 4), jnp.int32),
    ],
)
def test_what_cannot_move_is_said(inputs):
    with pytest.raises(ValueError, match=r"must have movable|needs a numeric column"):
        input_domain.FREE.split(inputs)


def test_models_know_the_domain_of_their_data():
    """From the record of the data, with indicators of missing values last."""
    made = runs.config("csv", "ssir")["model"]
    table = {"numeric": ["a", "b"], "clip": 3.0}
    encoder = {"numeric": 3, "cardinalities": (), "edges": None}
    record = {"kind": "table", "table": table, "encoder": encoder}
    record |= {"label_mean": 0.0, "label_std": 1.0}
    network = models.from_config(made, record)
    assert network.domain == input_domain.Domain(-3.0, 3.0, None, 2)


def outcome(network, inputs, **options):
    """One loss of SSIR around L1."""
    objective = ssir.make(objectives.from_config({"l1": {}}), **options)
    params, state = network.init(jax.random.key(0), inputs)
    batch = {**toy.batch(), "inputs": inputs}
    variables = objective.init(jax.random.key(1), toy.SPEC)
    view, _ = view_lib.make_view(
        network,
        params,
        state,
        inputs,
        jax.random.key(2),
        train=True,
        precise=objective.precise,
    )
    out = objective.loss(variables, view, batch, jax.random.key(3))
    return {k: float(s / n) for k, (s, n) in out.metrics.items()}


@pytest.mark.slow
def test_a_noise_survives_a_model_in_bfloat16():
    """Its steps near 1 are 0.008; the noise is a thousandth of that."""
    inputs = jax.tree.map(jnp.asarray, toy.batch()["inputs"])
    gaps = [
        outcome(toy.network(dtype), inputs, epsilon=1e-4)["ssir/gap"]
        for dtype in ("float32", "bfloat16")
    ]
    assert gaps[0] > 1e-6
    np.testing.assert_allclose(gaps[1], gaps[0], rtol=1e-5)


@pytest.mark.slow
def test_units_of_pixels():
    """A radius counts in prepared units, in those of pixels in 0..1, or in 0..255."""
    encoder = {"width": 4, "stage_sizes": (1,)}
    network = models.build(
        "small_resnet", input_mean=0.5, input_std=0.25, encoder=encoder
    )
    inputs = jnp.asarray(
        np.random.default_rng(0).uniform(-1, 1, (toy.ROWS, 6, 6, 1)), jnp.float32
    )
    for units, want in (
        ("normalised", 0.5),
        ("unit_interval", 2.0),
        ("raw255", 2 / 255),
    ):
        got = outcome(network, inputs, epsilon=0.5, units=units)["ssir/noise"]
        np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.slow
def test_the_pair_in_evaluation_mode_has_no_dropout():
    """Both predictions, and the noise, are then those of the network without."""
    inputs = jax.tree.map(jnp.asarray, toy.batch()["inputs"])
    plain = outcome(toy.network(), inputs, epsilon=0.1, mode="eval")
    dropped = outcome(toy.network(dropout=0.5), inputs, epsilon=0.1, mode="eval")
    np.testing.assert_allclose(dropped["ssir/gap"], plain["ssir/gap"], rtol=1e-5)
    trained = outcome(toy.network(dropout=0.5), inputs, epsilon=0.1)
    assert abs(trained["ssir/gap"] - plain["ssir/gap"]) > 1e-3
