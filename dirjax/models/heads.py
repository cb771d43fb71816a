"""Heads: map features to predictions in label units."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.models import conv, distribution_heads, evidential, hierarchy, voting

INFERENCES = ("argmax", "mixture")
CLASSIFIERS = ("linear", "etf")
# Initial logit of a group without training rows.
_RULED_OUT = -30.0


class Outputs(NamedTuple):
    """What every head returns.

    Attributes:
      prediction: `[batch]` float32, in label units; `[batch, height, width]` for the
        head `dense`.
    """

    prediction: jax.Array


class ExpertOutputs(NamedTuple):
    """What a head with groups returns.

    Attributes:
      prediction: `[batch]` float32, in label units; in dense tasks `[batch, height,
        width]`, and the others likewise.
      logits: `[batch, groups]`, group logits.
      values: `[batch, groups]`, predictions of the experts, in label units.
    """

    prediction: jax.Array
    logits: jax.Array
    values: jax.Array


class FixedExpertOutputs(ExpertOutputs):
    """The same, with logits that are cosines with a fixed frame, in [-1, 1]."""

    classifier = "etf"


def uniform_fan_in(key, shape, dtype=jnp.float32):
    """U(-1/sqrt(n), 1/sqrt(n)) for n inputs, as in the public code's linear layers."""
    bound = 1.0 / math.sqrt(shape[0])
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Linear(nn.Module):
    """One value per row: `shift + scale * (w.z + b)`.

    The affine map is fixed. With the mean and standard deviation of the training
    labels the layer itself learns standardised labels, while predictions, losses and
    metrics are all in label units.

    Attributes:
      shift: added to the scaled output, label units.
      scale: label units per unit of output.
    """

    shift: float = 0.0
    scale: float = 1.0

    @nn.compact
    def __call__(self, features: jax.Array) -> Outputs:
        """Maps `[batch, dim]` features to predictions `[batch]`."""
        _check_shape(features, "[batch, dim]")
        raw = conv.output_layer(features, 1, linear_init=uniform_fan_in)
        return Outputs(self.shift + self.scale * raw[..., 0])


class Dense(nn.Module):
    """One value per pixel: `Linear` at each pixel, a 1x1 convolution.

    Attributes:
      shift: see `Linear`.
      scale: see `Linear`.
      kernel: side of a larger convolution, odd; zero padding.
    """

    shift: float = 0.0
    scale: float = 1.0
    kernel: int = 1

    @nn.compact
    def __call__(self, features: jax.Array) -> Outputs:
        """Maps `[batch, h, w, dim]` features to predictions `[batch, h, w]`."""
        shape = "[batch, height, width, dim]"
        _check_shape(features, shape)
        raw = conv.output_layer(
            features, 1, kernel=self.kernel, linear_init=uniform_fan_in
        )
        return Outputs(self.shift + self.scale * raw[..., 0])


def _check_shape(features: jax.Array, shape: str) -> None:
    if features.ndim != len(shape.split()):
        better = "linear" if features.ndim == 2 else "dense"
        raise ValueError(
            f"this head takes features {shape}, the encoder returns {features.shape}. "
            f"Use --config.model.head={better}."
        )


def simplex_etf(basis: ArrayLike) -> np.ndarray:
    """A simplex equiangular tight frame: unit vectors at maximal mutual distance.

    `sqrt(G / (G - 1)) U (I - 1 1^T / G)`, where U spans the columns of the basis.

    Args:
      basis: `[dim, G]` of rank G, at least two columns.

    Returns:
      `[dim, G]` float64; products of different columns are -1 / (G - 1).

    Raises:
      ValueError: if there are more columns than rows, or fewer than two.

    Example:
      >>> frame = simplex_etf(np.eye(3, 2))
      >>> (frame.T @ frame).round(6).tolist()
      [[1.0, -1.0], [-1.0, 1.0]]
    """
    basis = np.asarray(basis, np.float64)
    dim, num = basis.shape
    if not 2 <= num <= dim:
        raise ValueError(
            f"a simplex frame needs at least 2 groups and at most as many as the {dim} "
            f"features, got {num}. Change config.groups.num or the encoder's width."
        )
    columns, upper = np.linalg.qr(basis)
    # Make signs independent of the library.
    columns = columns * np.where(np.diagonal(upper) < 0, -1.0, 1.0)
    return math.sqrt(num / (num - 1)) * (columns - columns.mean(axis=1, keepdims=True))


@functools.cache
def random_etf(dim: int, num: int, seed: int) -> np.ndarray:
    """A simplex frame of a random basis; equal arguments give equal frames.

    Args:
      dim: width of the features.
      num: number of columns, 2 to `dim`.
      seed: seed of the basis, at least 0.

    Returns:
      `[dim, num]` float32, see `simplex_etf`.

    Example:
      >>> random_etf(8, 3, seed=0).shape
      (8, 3)
    """
    normal = np.random.Generator(np.random.Philox(seed)).normal(size=(dim, num))
    return simplex_etf(normal).astype(np.float32)


class Experts(nn.Module):
    """Group logits, and one value per group: `shift + scale * (w_g.z + b_g)`.

    The affine map is that of `Linear`. Parameters: `groups` (absent with a fixed frame)
    and `values`, each with `kernel` `[dim, num_groups]` and `bias` `[num_groups]`.

    Attributes:
      shift: see `Linear`.
      scale: see `Linear`.
      num_groups: number of groups.
      centers: middle of each group in label units, for `start="centers"`.
      counts: training rows of each group, for `rule_out_empty`.
      inference: the prediction: "argmax" takes the expert of the most likely group,
        "mixture" the probability-weighted mean of all experts.
      classifier: "linear"; or "etf": products of the normalised features with a fixed
        random simplex frame (`simplex_etf`), without parameters.
      etf_seed: seed of the frame.
      start: initial biases of the values: "zeros" or "centers".
      rule_out_empty: whether logits of groups without training rows start at -30, so
        that they are not predicted unless training changes them.
      kernel: side of a convolution over feature maps, odd; 1 for a linear layer. The
        fixed frame of "etf" has no layer, and takes the features of each pixel.
    """

    shift: float = 0.0
    scale: float = 1.0
    num_groups: int = 0
    centers: tuple[float, ...] | None = None
    counts: tuple[int, ...] | None = None
    inference: str = "argmax"
    classifier: str = "linear"
    etf_seed: int = 0
    start: str = "zeros"
    rule_out_empty: bool = False
    kernel: int = 1

    @nn.compact
    def __call__(self, features: jax.Array) -> ExpertOutputs:
        """Maps features `[..., dim]` to predictions `[...]`, logits and values.

        Raises:
          ValueError: if a field is invalid.
        """
        self._check()
        values = self.shift + self.scale * self._raw(
            features, self._value_bias, "values"
        )
        fixed = self.classifier == "etf"
        logits = (
            self._cosines(features)
            if fixed
            else self._raw(features, self._logit_bias, "groups")
        )
        if self.inference == "mixture":
            prediction = jnp.sum(jax.nn.softmax(logits) * values, axis=-1)
        else:
            best = jnp.argmax(logits, axis=-1)[..., None]
            prediction = jnp.take_along_axis(values, best, axis=-1)[..., 0]
        return (FixedExpertOutputs if fixed else ExpertOutputs)(
            prediction, logits, values
        )

    def _raw(self, features: jax.Array, bias_init: Any, name: str) -> jax.Array:
        return conv.output_layer(
            features,
            self.num_groups,
            kernel=self.kernel,
            linear_init=uniform_fan_in,
            bias_init=bias_init,
            name=name,
        )

    def _cosines(self, features: jax.Array) -> jax.Array:
        frame = random_etf(features.shape[-1], self.num_groups, self.etf_seed)
        squares = jnp.sum(features**2, axis=-1, keepdims=True)
        some = squares > 1e-24
        unit = features * jax.lax.rsqrt(jnp.where(some, squares, 1.0))
        return jnp.where(some, unit, 0.0) @ frame

    def _value_bias(self, key, shape, dtype=jnp.float32):
        if self.start == "zeros" or self.centers is None:
            return jnp.zeros(shape, dtype)
        return (jnp.asarray(self.centers, dtype) - self.shift) / self.scale

    def _logit_bias(self, key, shape, dtype=jnp.float32):
        if not self.rule_out_empty or self.counts is None:
            return jnp.zeros(shape, dtype)
        return jnp.where(jnp.asarray(self.counts) > 0, 0.0, _RULED_OUT).astype(dtype)

    def _check(self) -> None:
        for field, value, known in (
            ("inference", self.inference, INFERENCES),
            ("classifier", self.classifier, CLASSIFIERS),
            ("start", self.start, ("zeros", "centers")),
        ):
            checks.one_of(f"model.head_options.{field}", value, known)
        if self.num_groups < 1:
            raise ValueError(
                "the head 'experts' needs config.groups, and the config has none. Use "
                "a preset that sets it, such as group_dir."
            )
        if self.classifier == "etf" and self.inference == "mixture":
            raise ValueError(
                "model.head_options.inference must be 'argmax' for classifier 'etf', "
                "whose cosines are not probabilities, got 'mixture'."
            )


HEADS = {
    "linear": Linear,
    "dense": Dense,
    "experts": Experts,
    "histogram": distribution_heads.Histogram,
    "gaussian": distribution_heads.Gaussian,
    "quantile": distribution_heads.Quantile,
    "evidential": evidential.Evidential,
    "vote": voting.Vote,
    "hierarchy": hierarchy.Hierarchy,
}
