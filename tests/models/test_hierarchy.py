"""The head of coarse and fine classifiers: formulas, its distribution, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dirjax.models import heads, hierarchy
from dirjax.ops import densities
from tests import toy

Z = np.float32(np.random.default_rng(0).normal(size=(5, 4)))
EDGES = (0.0, 1.0, 2.5, 3.0, 6.0, 7.0)
COUNTS = (40, 9, 3, 0, 1)
# Of 5 bins: 40 | 9 3 0 1, then 40 | 9 | 3 0 1, then 40 | 9 | 3 0 | 1.
PLACE = [[0, 1, 1, 1, 1], [0, 1, 2, 2, 2], [0, 1, 2, 2, 3]]


def applied(features=Z, **fields):
    """The parameters and what the head returns."""
    fields = {"edges": EDGES, "bin_counts": COUNTS, "width": 3} | fields
    head = heads.HEADS["hierarchy"](**fields)
    make = toy.jit(lambda key, z: head.init_with_output(key, z))
    out, variables = make(jax.random.key(0), jnp.asarray(features))
    return variables["params"], out


def layer(params, name, features):
    kernel, bias = (np.float64(params[name][k]) for k in ("kernel", "bias"))
    return features @ kernel + bias


def test_classifiers():
    params, out = applied()
    assert out.place.tolist() == PLACE
    assert out.student is None
    raw = layer(params, "linear", np.float64(Z))
    got = np.concatenate([out.fine, *out.coarse], axis=-1)
    np.testing.assert_allclose(got, raw, rtol=1e-5, atol=1e-6)
    assert [x.shape[-1] for x in out.coarse] == [2, 3, 4]


@pytest.mark.parametrize("how", ["none", "add", "multiply"])
@pytest.mark.quick("multiply")
def test_adjustment(how):
    _, out = applied(adjust=how)
    probs = special.softmax(np.float64(out.fine), axis=-1)
    if how != "none":
        for row, logits in zip(PLACE, out.coarse, strict=True):
            above = special.softmax(np.float64(logits), axis=-1)[:, row]
            probs = probs + above if how == "add" else probs * above
    probs = probs / probs.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(out.adjusted), probs, rtol=1e-5)
    # It is a distribution on the bins as any other.
    np.testing.assert_allclose(out.log_probs(np.array(EDGES)), np.log(probs), rtol=1e-4)
    wide = toy.jit(lambda o: o.log_probs(np.array([0.0, 2.5, 7.0])))(out)
    want = np.stack([probs[:, :2].sum(1), probs[:, 2:].sum(1)], axis=1)
    np.testing.assert_allclose(np.exp(wide), want, rtol=1e-4)
    median = densities.median(np.log(probs), np.array(EDGES))
    np.testing.assert_allclose(out.prediction, median, rtol=1e-5)
    assert out.binned


def test_distilled_classifier():
    params, out = applied(adjust="distill")
    hidden = np.logaddexp(0, layer(params, "student_hidden", np.float64(Z)))
    want = layer(params, "student", hidden)
    np.testing.assert_allclose(out.student, want, rtol=1e-4, atol=1e-5)
    want = special.log_softmax(want, axis=-1)
    np.testing.assert_allclose(out.adjusted, want, rtol=1e-4, atol=1e-5)


def test_probabilities_that_underflow():
    logits = jnp.array([[0.0, -400.0, 300.0]])
    coarse = (jnp.array([[900.0, 0.0]]), jnp.array([[0.0, 800.0]]))
    place = np.array([[0, 0, 1], [0, 1, 1]])

    def total(fine, coarse):
        found = [
            hierarchy.adjusted(fine, coarse, place, h) for h in ("add", "multiply")
        ]
        return jnp.sum(jnp.stack(found))

    value, slopes = toy.jit(jax.value_and_grad(total, (0, 1)))(logits, coarse)
    assert np.isfinite(value)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


def test_labels_in_one_bin_leave_the_fine_classifier():
    _, out = applied(bin_counts=(0, 9, 0, 0, 0))
    assert out.coarse == ()
    np.testing.assert_allclose(out.adjusted, jax.nn.log_softmax(out.fine), rtol=1e-5)


@pytest.mark.slow
def test_pixels_are_rows():
    _, rows = applied(adjust="distill")
    _, out = applied(np.tile(Z.reshape(1, 5, 1, 4), (2, 1, 3, 1)), adjust="distill")
    assert out.prediction.shape == (2, 5, 3)
    for name in ("prediction", "adjusted", "fine", "coarse"):
        for one, many in zip(
            jax.tree.leaves(getattr(rows, name)),
            jax.tree.leaves(getattr(out, name)),
            strict=True,
        ):
            want = np.broadcast_to(np.asarray(one)[None, :, None], many.shape)
            np.testing.assert_allclose(many, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"edges": ()}, "'hierarchy' needs the edges of its bins"),
        ({"bin_counts": (1, 2)}, "in each of its 5 bins, got 2 numbers"),
        ({"levels": 0}, "head_options.levels must be a whole number from 1"),
        ({"adjust": "vote"}, "head_options.adjust must be one of none, add"),
        ({"share": "log"}, "head_options.share must be one of count, root"),
        ({"width": 0}, "head_options.width must be a whole number from 1"),
    ],
)
def test_what_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        applied(**fields)
