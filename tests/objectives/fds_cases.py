"""Helpers for FDS tests, with common shapes to share compiled functions."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import labels as labels_lib
from dirjax.features import moments as moments_lib
from dirjax.objectives import base, fds


def spec_of(bins, dim):
    counts = np.ones(bins.num, np.int64)
    shots = np.zeros(bins.num, np.int8)
    return labels_lib.Spec(bins, counts, shots, 0.0, 1.0, bins.num, dim)


def unit_spec(num, dim):
    return spec_of(labels_lib.Bins.uniform(width=1, origin=0, num=num), dim)


def head(z):
    return types.SimpleNamespace(prediction=z[..., 0], z=z)


def view_of(features):
    return base.View(features, head(features), lambda inputs: inputs, head)


def probe_loss(variables, view, batch, key):
    """Reports the inputs of the inner objective, with a gradient for each entry."""
    del key
    loss = jnp.sum(view.outputs.z * batch["cotangent"])
    again = view.head(view.encode(batch["inputs"])).z
    seen = {"z": view.outputs.z, "features": view.features, "again": again}
    one = jnp.ones(())
    metrics = {name: (value, one) for name, value in seen.items()}
    return base.Outcome(loss, variables.state, metrics)


PROBE = base.Objective(lambda key, spec: base.Variables({}, {}), probe_loss)


def make(**kwargs):
    return fds.make(PROBE, **kwargs)


def start(objective, spec):
    return objective.init(jax.random.key(0), spec)


@functools.partial(jax.jit, static_argnums=0)
def smooth(objective, variables, features, bins, cotangent=None):
    """Calibrated features, and the gradient with respect to the raw ones."""
    cotangent = jnp.ones_like(features) if cotangent is None else cotangent

    def loss(x):
        batch = {"bin": bins, "inputs": x, "cotangent": cotangent}
        out = objective.loss(variables, view_of(x), batch, None)
        return out.loss, out

    grad, out = jax.grad(loss, has_aux=True)(features)
    return {name: value for name, (value, _) in out.metrics.items()} | {"grad": grad}


@functools.partial(jax.jit, static_argnums=0)
def refresh(objective, variables, features, bins, num_bins):
    return objective.collect.epoch(variables, table(features, bins, num_bins))


def table(features, bins, num_bins):
    one = jnp.ones(len(bins), features.dtype)
    num = num_bins.shape[0]
    return moments_lib.from_batch(features, bins, one, num_bins=num)
