"""Networks, inputs and a slow reference implementation for tests of SSIR."""

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.objectives import ssir

ROWS, SHAPE = 5, (2, 2, 3)

CHANNELS = {
    "unit": np.float32([0.5, 1.0, 2.0]),
    "low": np.float32([-0.9, -0.6, -1.0]),
    "high": np.float32([0.8, 1.0, 0.7]),
}

DISTANCES = ("l1", "mse", "huber")

NORMS = ("sample", "pixel", "linf")


def network_weights(seed=0, inputs=12, hidden=6, outputs=4):
    rng = np.random.default_rng(seed)
    shapes = {"a": (inputs, hidden), "b": (hidden,), "c": (hidden, outputs)}
    return {k: rng.normal(size=s) * 2 / np.sqrt(s[0]) for k, s in shapes.items()}


WEIGHTS = network_weights()

ACTIVATIONS = {
    "tanh": lambda x, xp: xp.tanh(x),
    "softplus": lambda x, xp: xp.logaddexp(x, xp.zeros_like(x)),
}


def perceptron(x, kind="tanh", *, dense=False, xp=jnp, w=WEIGHTS):
    """Two layers, from `[batch, ...]` to `[batch]`, or to 2x2 maps if dense."""
    if xp is jnp:
        w = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), w)
    hidden = ACTIVATIONS[kind](x.reshape(len(x), -1) @ w["a"] + w["b"][None], xp)
    out = hidden @ w["c"]
    return out.reshape(-1, 2, 2) if dense else out[:, 0]


def images(seed=1, shape=(ROWS, *SHAPE)):
    """Inputs, some of them outside the bounds of CHANNELS."""
    return np.float32(np.random.default_rng(seed).uniform(-1.3, 1.3, shape))


def offsets_of(shape=(ROWS,), seed=2, size=1.5):
    """Offsets of both signs, away from zero, on both sides of the Huber threshold."""
    rng = np.random.default_rng(seed)
    sign = np.where(np.arange(np.prod(shape)) % 2, -1.0, 1.0).reshape(shape)
    return np.float32(sign * rng.uniform(0.2, size, shape))


# The slow reference: one sample at a time, float64, finite differences.


def slow_distance(p, q, distance, valid):
    total = count = 0.0
    for a, b, v in zip(np.ravel(p), np.ravel(q), np.ravel(valid), strict=True):
        if v:
            e, count = abs(a - b), count + 1
            huber = 0.5 * e * e if e < 1 else e - 0.5
            total += {"l1": e, "mse": e * e, "huber": huber}[distance]
    return total / max(count, 1)


def slow_slope(fn, x, h=1e-6):
    slope = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[at] += h
        down[at] -= h
        slope[at] = (fn(up) - fn(down)) / (2 * h)
    return slope


def lengths(noise, norm, unit=CHANNELS["unit"]):
    """Length of the noise, in units, per sample, pixel or coordinate."""
    noise = np.asarray(noise, np.float64) / unit
    if norm == "linf":
        return np.abs(noise)
    if norm == "sample":
        noise = noise.reshape(len(noise), -1)
    return np.sqrt(np.sum(noise**2, axis=-1))


def search(predict=perceptron, x=None, zeta=None, **options):
    x = images() if x is None else x
    zeta = offsets_of() if zeta is None else zeta
    return ssir.ssir_noise(predict, x, zeta, **({"epsilon": 0.1} | options))
