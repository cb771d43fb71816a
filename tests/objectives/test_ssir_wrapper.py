"""SSIR around a loss: its value, its gradient, and what it refuses."""

import dataclasses
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels, models, objectives
from dirjax.evals import view as view_lib
from dirjax.features import moments
from dirjax.labels import weights
from dirjax.objectives import base, ssir
from dirjax.ops import input_noise
from dirjax.training import train_step
from tests import toy
from tests.objectives.ssir_cases import (
    DISTANCES,
    NORMS,
    ROWS,
    images,
    lengths,
    search,
    slow_distance,
    slow_slope,
)


def around_l1(wrappers=("ssir",), **options):
    settings = {"ssir": {"epsilon": 0.3, "lam": 0.7} | options}
    settings["reweight"] = {"scheme": "inverse", "clip": None}
    return objectives.from_config({"l1": {}}, wrappers, settings)


def tiny_network():
    """A network of numbers alone, also in float64 numpy: see `tiny_predictions`."""

    def encode(params, state, inputs, *, train, key=None, precise=False):
        del train, key
        w = params["encoder"]
        return jnp.tanh(inputs["numeric"] @ w["a"] + w["b"][None]), state

    def head(params, features):
        w = params["head"]
        return models.Outputs(features @ w["c"] + w["d"])

    def init(key, inputs):
        del key, inputs
        rng = np.random.default_rng(6)
        a, b, c = (rng.normal(size=s) for s in ((2, 4), 4, 4))
        tree = {"encoder": {"a": a, "b": b}, "head": {"c": 2 * c, "d": np.array(2.0)}}
        return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), tree), {}

    return models.Network(lambda inputs: inputs, init, encode, head)


TINY = tiny_network()


def tiny_predictions(params, x):
    w, v = params["encoder"], params["head"]
    return np.tanh(x @ w["a"] + w["b"]) @ v["c"] + v["d"]


def spied(objective, *, net=None, batch=None, spec=toy.SPEC, key=4):
    """One loss without jit: outcome, moved columns, predictions for them, clean ones.

    The last inputs that the encoder sees are those of the consistency term.
    """
    net, seen = net or TINY, []
    batch = jax.tree.map(jnp.asarray, batch or toy.batch())

    def encode(params, state, inputs, **options):
        jax.debug.callback(lambda x: seen.append(np.array(x)), inputs["numeric"])
        return net.encode(params, state, inputs, **options)

    params, state = toy.model_variables(net)
    view, _ = view_lib.make_view(
        net._replace(encode=encode),
        params,
        state,
        batch["inputs"],
        jax.random.key(5),
        train=True,
    )
    variables = objective.init(jax.random.key(2), spec)
    out = objective.loss(variables, view, batch, jax.random.key(key))
    jax.effects_barrier()
    moved = {**batch["inputs"], "numeric": jnp.asarray(seen[-1])}
    noisy = net.head(
        params, net.encode(params, state, moved, train=True, key=jax.random.key(5))[0]
    )
    clean = np.asarray(view.outputs.prediction)
    return out, seen[-1], np.asarray(noisy.prediction), clean


def gradient(objective, state, batch=None):
    """Of the parameters of the tiny network, without jit; and the outcome."""
    batch = jax.tree.map(jnp.asarray, batch or toy.batch())
    variables = base.Variables(state.params["objective"], state.objective_state)

    def loss(params):
        view, _ = view_lib.make_view(
            TINY, params, {}, batch["inputs"], jax.random.key(5), train=True
        )
        out = objective.loss(variables, view, batch, jax.random.key(4))
        return out.loss, out

    return jax.grad(loss, has_aux=True)(state.params["model"])


def gap_of(clean, noisy, distance="l1"):
    pairs = zip(clean, noisy, strict=True)
    return np.array([slow_distance(a, b, distance, 1) for a, b in pairs])


def ratio(out, name):
    total, count = out.metrics[name]
    return float(total) / float(count)


def padded_batch():
    """The last two rows are padding."""
    batch = toy.batch()
    batch["mask"][-2:] = 0
    batch["label"][-2:] = 1000
    batch["weight"][-2:] = 50
    return batch


@pytest.mark.parametrize(
    ("distance", "n_steps", "noise"),
    [("l1", 1, "gradient"), ("mse", 2, "gradient"), ("huber", 2, "random")],
)
def test_joint_loss_by_hand(distance, n_steps, noise):
    batch = padded_batch()
    objective = around_l1(distance=distance, n_steps=n_steps, noise=noise, epsilon=0.9)
    out, moved, noisy, clean = spied(objective, batch=batch)
    real = slice(0, toy.ROWS - 2)
    inner = np.abs(clean - batch["label"])[real].mean()
    consistency = gap_of(clean, noisy, distance)[real].mean()
    assert consistency > 1e-3
    np.testing.assert_allclose(out.loss, inner + 0.7 * consistency, rtol=1e-5)
    np.testing.assert_allclose(ratio(out, "loss/l1"), inner, rtol=1e-5)
    np.testing.assert_allclose(ratio(out, "loss/consistency"), consistency, rtol=1e-4)
    gap = gap_of(clean, noisy)[real]
    np.testing.assert_allclose(ratio(out, "ssir/gap"), gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(ratio(out, "ssir/within_bin"), np.mean(gap <= 1))
    change = moved - batch["inputs"]["numeric"]
    np.testing.assert_allclose(lengths(change, "sample", 1.0)[real], 0.9, rtol=1e-4)
    np.testing.assert_allclose(ratio(out, "ssir/noise"), 0.9, rtol=1e-4)
    np.testing.assert_allclose(ratio(out, "ssir/moved"), 0.9, rtol=1e-4)


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_share_within_a_bin(width):
    """Bins of the mean width, not those that the labels are in."""
    spec = labels.spec([0.0, 1.0, 5.9], bin_width=width, label_range=(0.0, 6.0))
    wide = np.array([0.0, 5 * width, 6 * width])  # A mean width of three.
    counts, shots = np.ones(2, int), np.zeros(2, np.int8)
    uneven = dataclasses.replace(
        spec, bins=labels.Bins(wide), counts=counts, shots=shots
    )
    for used, mean in ((spec, width), (uneven, 3 * width)):
        out, _, noisy, clean = spied(around_l1(epsilon=0.8), spec=used)
        gap = gap_of(clean, noisy)
        np.testing.assert_allclose(
            ratio(out, "ssir/within_bin"), np.mean(gap <= mean), rtol=1e-6
        )


@pytest.mark.parametrize("norm", NORMS)
def test_the_wrapper_moves_along_the_gradient(norm):
    """The noise of each row is that of a positive or of a negative offset."""
    net, batch = TINY, toy.batch()
    _, moved, _, _ = spied(around_l1(norm=norm))
    params, state = toy.model_variables(net)

    def predict(x):
        inputs = {**batch["inputs"], "numeric": x}
        features, _ = net.encode(params, state, inputs, train=True)
        return net.head(params, features).prediction

    x = batch["inputs"]["numeric"]
    up, down = (
        ssir.ssir_noise(
            predict, x, np.full(toy.ROWS, s, np.float32), epsilon=0.3, norm=norm
        ).inputs
        for s in (1, -1)
    )
    error = [np.abs(moved - side).max(axis=1) for side in (up, down)]
    np.testing.assert_allclose(np.minimum(*error), 0, atol=1e-5)


def test_offsets_are_drawn_from_the_key():
    """Both signs about as often; another key, other signs; their size has no say."""
    signs = []
    for key in range(8):
        _, moved, noisy, clean = spied(around_l1(n_steps=1), key=key)
        signs.append(noisy > clean)
    assert 16 <= np.sum(signs) <= 48
    assert 10 <= np.sum(np.diff(signs, axis=0)) <= 46
    wide = labels.spec([0.0, 1.0, 5.0], bin_width=3.0, label_range=(0.0, 6.0))
    _, other, _, _ = spied(around_l1(n_steps=1), spec=wide, key=key)
    np.testing.assert_allclose(other, moved, rtol=1e-5, atol=1e-6)


def test_the_random_control_has_the_same_norm_and_another_direction():
    x = toy.batch()["inputs"]["numeric"]
    search, control, other = (
        spied(around_l1(noise=noise), key=key)[1] - x
        for noise, key in (("gradient", 4), ("random", 4), ("random", 5))
    )
    for change in (search, control, other):
        np.testing.assert_allclose(lengths(change, "sample", 1.0), 0.3, rtol=1e-4)
    for a, b in ((search, control), (control, other)):
        assert np.min(np.abs(np.sum(a * b, axis=1))) < 0.9 * 0.3**2
        assert np.abs(a - b).max() > 0.05


def test_every_draw_has_a_key_of_its_own():
    objective = around_l1(noise="random", units="bins")
    step = toy.train_step(objective, toy.network())
    with jax.debug_key_reuse(True):
        jax.jit(step).lower(toy.start(objective), toy.batch())


def test_bounds_limit_what_moves():
    """In units of the inputs: rows outside may come in and not go further out."""
    out, moved, _, _ = spied(around_l1(bounds=(-100.0, 100.0)))
    np.testing.assert_allclose(
        ratio(out, "ssir/moved"), ratio(out, "ssir/noise"), rtol=1e-4
    )
    out, moved, _, _ = spied(around_l1(bounds=(-0.01, 0.01)))
    x = toy.batch()["inputs"]["numeric"]
    assert (np.abs(moved) <= np.maximum(np.abs(x), 0.01) + 1e-6).all()
    change = lengths(moved - x, "sample", 1.0)
    np.testing.assert_allclose(ratio(out, "ssir/moved"), change.mean(), rtol=1e-4)
    assert change.mean() < 0.95 * ratio(out, "ssir/noise")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["both", "stopped"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_gradient_of_the_joint_loss(distance, target):
    """Of all parameters, against float64 differences with the noise held fixed."""
    batch = toy.batch()
    objective = around_l1(distance=distance, target=target, epsilon=0.5)
    _, moved, _, _ = spied(objective, batch=batch)
    start = toy.start(objective, net=TINY)
    got = jax.tree.leaves(gradient(objective, start)[0])
    x = np.float64(batch["inputs"]["numeric"])
    leaves, tree = jax.tree.flatten(start.params["model"])
    leaves = [np.array(leaf, np.float64) for leaf in leaves]
    fixed = tiny_predictions(tree.unflatten(leaves), x)

    def by_hand(params):
        clean, noisy = tiny_predictions(params, x), tiny_predictions(params, moved)
        aim = fixed if target == "stopped" else clean
        return np.mean(
            np.abs(clean - batch["label"]) + 0.7 * gap_of(aim, noisy, distance)
        )

    for k, leaf in enumerate(leaves):
        at = [*leaves[:k], None, *leaves[k + 1 :]]
        want = slow_slope(
            lambda v, at=at, k=k: by_hand(tree.unflatten([*at[:k], v, *at[k + 1 :]])),
            leaf,
        )
        np.testing.assert_allclose(got[k], want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [True, False])
def test_nesting_decides_whether_the_term_is_weighted(weighted):
    wrappers = ("reweight", "ssir") if weighted else ("ssir", "reweight")
    batch = toy.batch()
    out, _, noisy, clean = spied(around_l1(wrappers, epsilon=0.9))
    table = weights.bin_weights(toy.SPEC.counts, "inverse", clip=None)
    weight = table[batch["bin"]]
    assert np.ptp(weight) > 1
    gap = gap_of(clean, noisy)
    gap = weight * gap if weighted else gap
    want = np.mean(weight * np.abs(clean - batch["label"])) + 0.7 * np.mean(gap)
    np.testing.assert_allclose(out.loss, want, rtol=1e-5)
    # The diagnostic is of the predictions, whatever the rows weigh.
    plain = gap_of(clean, noisy).mean()
    np.testing.assert_allclose(ratio(out, "ssir/gap"), plain, rtol=1e-4)


def test_weights_of_the_batch_count():
    batch = toy.batch()
    batch["weight"] = np.float32(np.arange(toy.ROWS))
    out, _, noisy, clean = spied(around_l1(epsilon=0.9), batch=batch)
    each = np.abs(clean - batch["label"]) + 0.7 * gap_of(clean, noisy)
    np.testing.assert_allclose(out.loss, np.mean(batch["weight"] * each), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["lds-ssir", "ssir-fds", "fds-ssir"])
def test_other_wrappers_inside_and_outside(case):
    objective = around_l1(tuple(case.split("-")))
    state = toy.start(objective, net=TINY)
    variables = base.Variables(state.params["objective"], state.objective_state)
    assert (objective.collect.epoch is not None) == ("fds" in case)
    if objective.collect.epoch is not None:
        features = jnp.asarray(np.random.default_rng(8).normal(size=(toy.ROWS, 4)))
        bins, one = jnp.asarray(toy.batch()["bin"]), jnp.ones(toy.ROWS)
        num = toy.SPEC.bins.num
        seen = moments.from_batch(features, bins, one, num_bins=num)
        for _ in range(2):
            variables = objective.collect.epoch(variables, seen)
        state = state._replace(objective_state=variables.state)
    grads, out = gradient(objective, state)
    chex.assert_tree_all_finite((grads, out))
    chex.assert_trees_all_equal_shapes_and_dtypes(out.state, state.objective_state)
    assert {"loss/l1", "loss/consistency", "ssir/gap"} < set(out.metrics)


@pytest.mark.parametrize("noise", ["gradient", "random"])
def test_without_its_factor_the_term_changes_nothing(noise):
    off, on = around_l1(lam=0.0, noise=noise), around_l1(lam=0.7, noise=noise)
    plain = toy.l1()
    want, off, on = (
        gradient(objective, toy.start(objective, net=TINY))[0]
        for objective in (plain, off, on)
    )
    chex.assert_trees_all_close(off, want, rtol=1e-6, atol=1e-7)
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), on, want)
    assert min(jax.tree.leaves(change["encoder"])) > 1e-5


@pytest.mark.slow
def test_all_passes_drop_the_same_units():
    """With other units dropped the gap would be as large as the predictions."""
    net = toy.network(dropout=0.5)
    out, _, noisy, clean = spied(around_l1(epsilon=1e-5), net=net)
    without = spied(around_l1(epsilon=1e-5), net=toy.network())[3]
    assert np.abs(clean - without).max() > 0.05, "nothing was dropped"
    assert ratio(out, "ssir/gap") < 1e-4
    np.testing.assert_allclose(noisy, clean, atol=1e-4)


@pytest.mark.slow
def test_running_averages_are_those_of_the_clean_pass():
    net = models.build(
        "small_resnet", shift=2.0, encoder={"width": 4, "stage_sizes": (1,)}
    )
    batch = toy.batch()
    pixels = np.random.default_rng(7).normal(size=(toy.ROWS, 4, 4, 1))
    batch["inputs"] = np.float32(pixels)
    params, stats = toy.jit(net.init)(jax.random.key(1), batch["inputs"][:1])
    states = {}
    for name, objective in (("l1", toy.l1()), ("ssir", around_l1(epsilon=2.0))):
        variables = objective.init(jax.random.key(2), toy.SPEC)
        tree = {"model": params, "objective": variables.params}
        start = train_step.TrainState(
            jnp.int32(0), tree, stats, variables.state, toy.sgd().init(tree), {}, {}
        )
        new, report = toy.jit(toy.train_step(objective, net))(start, batch)
        assert int(report.first_bad) == train_step.NEVER
        states[name] = new.model_state
    chex.assert_trees_all_close(states["ssir"], states["l1"], rtol=1e-6, atol=1e-7)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), states["l1"], stats)
    assert min(jax.tree.leaves(moved)) > 1e-4
    mean = {k: float(total) / float(n) for k, (total, n) in report.sums.items()}
    np.testing.assert_allclose(mean["ssir/noise"], 2.0, rtol=1e-3)
    # Pixels stay within 0 and 1, or where they were.
    assert 0.1 < mean["ssir/moved"] < 2.0
    want = mean["loss/l1"] + 0.7 * mean["loss/consistency"]
    np.testing.assert_allclose(mean["loss"], want, rtol=1e-5)


# Arguments.


def test_the_defaults_are_the_published_ones():
    parameters = inspect.signature(ssir.make).parameters
    got = {k: p.default for k, p in parameters.items() if k != "inner"}
    want = {"epsilon": 1e-3, "lam": 0.1, "n_steps": 2, "noise": "gradient"}
    want |= {"norm": "sample", "units": "normalised", "distance": "l1"}
    assert got == want | {"target": "both", "mode": "train", "bounds": None}
    assert input_noise.Noise._fields == ("inputs", "noise")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm", "l2"),
        ("units", "raw"),
        ("distance", "l2"),
        ("target", "none"),
        ("noise", "uniform"),
        ("mode", "running"),
        ("n_steps", 1.5),
        ("n_steps", True),
        ("bounds", (1.0, -1.0)),
        ("bounds", 3),
        ("epsilon", 0.0),
        ("epsilon", -1e-3),
        ("n_steps", 0),
        ("lam", -0.1),
    ],
)
def test_wrong_options_are_named(name, value):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        ssir.make(toy.l1(), **{name: value})
    if name in ("norm", "distance", "epsilon", "n_steps"):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            search(**{name: value})
    if name in ("norm", "epsilon"):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            input_noise.random_noise(
                jax.random.key(0), images(), **({"epsilon": 0.1} | {name: value})
            )
    if name in ("distance", "target"):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            ssir.ssir_loss(jnp.ones(2), jnp.ones(2), **{name: value})


@pytest.mark.parametrize("shape", [(ROWS + 1,), (ROWS, 1), (ROWS, 2, 2), ()])
def test_offsets_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="offsets"):
        search(zeta=np.ones(shape, np.float32))


def test_predictions_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)|\(3,\).*\(2,\)"):
        ssir.ssir_loss(jnp.ones(3), jnp.ones(2))
