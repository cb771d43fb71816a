"""ACCon against loops written from its formula."""

import jax
import numpy as np
import pytest

from dirjax.objectives import accon
from dirjax.objectives.accon import accon_loss
from tests import toy


def by_loops(z, y, b, span, t):
    z, n, total = np.float64(z), len(z), []
    for i in range(n):
        logits = {}
        for k in set(range(n)) - {i}:
            lengths = np.linalg.norm(z[i]) * np.linalg.norm(z[k])
            theta = np.arccos(np.clip(z[i] @ z[k] / lengths, -1, 1))
            apart = min(abs(float(y[i]) - float(y[k])) / span, 1)
            phi = np.pi * (1 - apart)
            logits[k] = np.cos(theta if b[i] == b[k] else theta + phi) / t
        below = np.log(sum(np.exp(list(logits.values())))) if logits else 0
        own = [below - x for k, x in logits.items() if b[k] == b[i]]
        total += [np.mean(own)] if own else []
    return np.mean(total) if total else 0.0


def rows(n=12):
    rng = np.random.default_rng(0)
    y = np.float32(rng.uniform(0, 6, n))
    return np.float32(rng.normal(size=(n, 4))), y, np.int32(y)


MASK = np.float32(np.arange(12) % 5 != 2)
both = toy.jit(jax.value_and_grad(accon_loss), static_argnames="temperature")


@pytest.mark.parametrize("span", [6.0, 2.0])
def test_against_loops(span):
    """Also with labels beyond the range."""
    z, y, b = rows()
    real = MASK > 0
    got, slope = both(z, y, b, span=span, temperature=0.2, mask=MASK)
    want = by_loops(z[real], y[real], b[real], span, 0.2)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_array_equal(slope[~real], 0)


def test_the_angle_that_is_wanted():
    """Past the angle of their label distance, negatives count ever less."""
    angle = np.pi / 3  # of two labels a third of the range apart

    def loss(theta):
        z = np.float32([[1, 0], [1, 0], [np.cos(theta), np.sin(theta)]])
        y, b = np.float32([0, 0, 2]), np.int32([0, 0, 2])
        return float(both(z, y, b, span=6.0, temperature=0.2)[0])

    # cos(theta + phi) is least where theta is that angle.
    assert loss(angle) < min(loss(angle - 0.2), loss(angle + 0.2))


def test_degenerate_batches():
    z, y, b = rows()
    batches = {
        "equal rows": (np.ones_like(z), y, b, MASK),
        "zero rows": (0 * z, y, b, MASK),
        "opposite rows": (np.sign(z[:, :1]) * np.ones_like(z), y, b, MASK),
        "no positive": (z, y, np.arange(12, dtype=np.int32), MASK),
        "one row": (z, y, b, np.float32(np.arange(12) == 3)),
        "no row": (z, y, b, 0 * MASK),
    }
    for name, (features, labels, bins, mask) in batches.items():
        value, slope = both(
            features, labels, bins, span=6.0, temperature=0.2, mask=mask
        )
        assert np.isfinite(value), name
        assert np.isfinite(slope).all(), name
        if name in ("no positive", "one row", "no row"):
            assert float(value) == 0, name
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        accon.make(temperature=0.0)
