"""SSIR: consistency of predictions under input noise derived from output noise.

A random offset within one label bin is added to the prediction. The gradient of the
distance between the two with respect to the input is the direction in which the input
moves by `epsilon`. At the moved input, the direction is computed again. The model must
predict the same for both inputs: `L = D(f(x), y) + lam D(f(x), f(x + r))`.

"Lifting Imbalanced Regression with Self-Supervised Learning", ICLR 2022 submission
(Algorithm 1 and Eqs. 1 to 13; the seed document of this module). Its power iteration is
that of "Virtual Adversarial Training", Miyato et al., TPAMI 2018.
https://arxiv.org/abs/1704.03976

**Deviations**, and readings where the source is silent:

- Algorithm 1 does not say what is constant. Read literally, its first gradient is zero.
  Here the target of each step is constant (`sg(f(x)) + offset`, then `sg(f(x))`), the
  second gradient is taken with respect to the moved input as a leaf, and the noise is
  constant in the parameter update. The second noise *replaces* the first.
- With one output per row, the noise depends only on the sign of the offset: bin width
  and distribution of the offset (uniform here) have no influence. Dense outputs differ.
- `norm="sample"` is the literal reading, the L2 norm over all coordinates of an input;
  `"pixel"` (L2 over the channels of each pixel) and `"linf"` (sign) are alternatives
  under which the same `epsilon` is far larger.
- `epsilon` is in units of prepared inputs (`units="normalised"`), of pixels in 0..1
  (`"unit_interval"`), or of pixels in 0..255 (`"raw255"`). The source derives the noise
  from an output offset of one bin and then gives it a fixed norm; which of the two sets
  its size is unclear, since the gap that follows from the published norm depends on
  what "norm" means. With `units="bins"` the offset does: `epsilon` bins are the gap to
  first order, in the mean over the labels of the batch. All rows still have noise of
  one norm, that of their batch (`gap_unit`), which follows the model in training, and
  every step of the search and the random control have the same.
- `target="both"`: the gradient of the last term flows through both predictions, as
  the source writes it. With `"stopped"`, as in virtual adversarial training, the
  clean one is constant; under L1 its gradient then does not shrink with `epsilon`.
- Weights: Eq. 13 has none, so presets put `ssir` outside re-weighting wrappers, and the
  consistency term sees only the weights of the data. Nested the other way,
  `wrappers=("reweight", "ssir")`, it is weighted. Likewise with FDS: a wrapper outside
  `ssir` changes what `ssir` sees, one inside does not.
- `mode="train"`: batch norm and dropout of all passes are as in the clean pass, with
  its dropout key; running averages move by the clean pass only. `"eval"` takes both
  predictions of the pair, and the noise, with running averages and without dropout.
- Clipping never moves a value that is already outside the valid range: the range is
  widened to the clean value. Tables move in their numeric columns, not in the
  indicators of missing values; their range is that of the preprocessing. Sentences move
  in their word vectors, not in the padding.
- Dense outputs: pixels without a label enter neither the search for the noise nor the
  consistency, which is a mean over all labelled pixels of the batch.
- The distance "huber" has `beta` = 1 label unit.
- `noise="random"` is the control of section 8.1: a Gaussian direction of the same norm.
- Noise of norm 1e-3 over an image is far below the spacing of bfloat16 and TF32, so all
  passes of the step run in float32 at the highest precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.objectives import base
from dirjax.objectives.huber import huber_loss
from dirjax.objectives.l1 import l1_loss
from dirjax.objectives.mse import mse_loss
from dirjax.ops import input_domain as domain_lib
from dirjax.ops import input_noise, numerics, random
from dirjax.ops.input_domain import Domain

DISTANCES = {"l1": l1_loss, "mse": mse_loss, "huber": huber_loss}
UNITS = ("normalised", "unit_interval", "raw255", "bins")
# A gap of up to this many float32 spacings may be rounding.
SPACINGS = 16


def ssir_noise(
    predict: Callable[[jax.Array], jax.Array],
    inputs: jax.Array,
    offsets: jax.Array,
    *,
    epsilon: float,
    n_steps: int = 2,
    distance: str = "l1",
    norm: str = "sample",
    unit: Any = 1.0,
    low: Any = -math.inf,
    high: Any = math.inf,
    mask: jax.Array | None = None,
) -> input_noise.Noise:
    """Input noise from output offsets, `r = epsilon g / |g|`.

    `g` is the input gradient of `D(f(x), sg(f(x)) + offset)` at `x`, and in each
    further step that of `D(f(x + r), sg(f(x)))` at `x + r`.

    Args:
      predict: `inputs -> predictions`, `[batch]` or dense `[batch, height, width]`.
        Its parameters should be constants.
      inputs: `[batch, ...]` float32.
      offsets: offsets of the predictions, same shape, in label units.
      epsilon: size of the noise, in `unit`.
      n_steps: number of gradient steps, at least 1.
      distance: "l1", "mse" or "huber"; dense predictions enter by their mean.
      norm: the norm that equals `epsilon`: "sample" (L2 over all coordinates of a row),
        "pixel" (L2 over the last axis) or "linf" (each coordinate).
      unit: input units per unit of `epsilon`, a number or `[channels]`.
      low: smallest valid coordinate, a number or `[channels]`.
      high: largest valid coordinate, likewise.
      mask: mask of the predictions, 0 for padding and pixels without a label.

    Returns:
      The moved inputs and the noise. A row whose gradient is 0 does not move. No
      gradient flows through either.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> predict = lambda x: x @ jnp.array([3.0, 4.0])
      >>> moved = ssir_noise(predict, jnp.zeros((1, 2)), jnp.ones(1), epsilon=1.0)
      >>> jnp.abs(moved.noise).tolist()
      [[0.6000000238418579, 0.800000011920929]]
    """
    checks.positive("epsilon", epsilon)
    checks.whole("n_steps", n_steps)
    checks.one_of("distance", distance, DISTANCES)
    checks.one_of("norm", norm, input_noise.NORMS)
    inputs = jax.lax.stop_gradient(inputs)
    clean, pull = jax.vjp(predict, inputs)
    slope = _slope(clean, offsets, distance, mask)

    def noise(pull, predictions, target):
        (gradient,) = pull(slope(predictions, target))
        return input_noise.scaled(gradient, norm, epsilon, unit)

    moved = input_noise.move(inputs, noise(pull, clean, clean + offsets), low, high)
    for _ in range(n_steps - 1):
        again, pull = jax.vjp(predict, moved.inputs)
        moved = input_noise.move(inputs, noise(pull, again, clean), low, high)
    return jax.lax.stop_gradient(moved)


def _slope(
    clean: jax.Array, offsets: jax.Array, distance: str, mask: jax.Array | None
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`(predictions, target) -> gradient`, of the sum of the rows' distances."""
    if jnp.shape(offsets) != clean.shape:
        raise ValueError(
            f"offsets must have the shape of the predictions, {clean.shape}, got "
            f"{jnp.shape(offsets)}."
        )
    mask = jnp.ones_like(clean) if mask is None else jnp.broadcast_to(mask, clean.shape)
    pixels = tuple(range(1, clean.ndim))
    share = mask / jnp.maximum(jnp.sum(mask, axis=pixels, keepdims=True), 1)
    return jax.grad(lambda p, target: jnp.sum(share * DISTANCES[distance](p, target)))


def gap_unit(
    predict: Callable[[jax.Array], jax.Array],
    inputs: jax.Array,
    offsets: jax.Array,
    *,
    gap: Any,
    distance: str = "l1",
    norm: str = "sample",
    mask: jax.Array | None = None,
) -> jax.Array:
    """The size of noise that moves predictions by `gap` in the mean, to first order.

    `gap / mean |J d|`, where `d` is the first direction of `ssir_noise` at norm 1 and
    `J d` the derivative of the predictions along it. At most `input_noise.longest`, for
    a model that barely depends on its inputs.

    Args:
      predict: see `ssir_noise`.
      inputs: see `ssir_noise`.
      offsets: see `ssir_noise`; for one prediction per row only their signs count, and
        they do not change the size.
      gap: in label units, above 0.
      distance: see `ssir_noise`.
      norm: see `ssir_noise`.
      mask: see `ssir_noise`.

    Returns:
      Scalar, for `unit` of `ssir_noise` and `input_noise.random_noise`.

    Example:
      >>> predict = lambda x: x @ jnp.array([3.0, 4.0])
      >>> x = jnp.zeros((2, 2))
      >>> unit = gap_unit(predict, x, jnp.ones(2), gap=2.0)
      >>> moved = ssir_noise(predict, x, jnp.ones(2), epsilon=1.0, unit=unit)
      >>> f"{unit:.3f}", jnp.abs(predict(moved.inputs)).round(3).tolist()
      ('0.400', [2.0, 2.0])
    """
    inputs = jax.lax.stop_gradient(inputs)
    clean, pull = jax.vjp(predict, inputs)
    slope = _slope(clean, offsets, distance, mask)
    (gradient,) = pull(slope(clean, clean + offsets))
    direction = input_noise.scaled(gradient, norm, 1.0, 1.0)
    _, change = jax.jvp(predict, (inputs,), (direction,))
    mask = jnp.ones_like(clean) if mask is None else jnp.broadcast_to(mask, clean.shape)
    mean = numerics.masked_mean(jnp.abs(change), mask)
    most = input_noise.longest(inputs, norm)
    enough = mean * most > gap
    return jax.lax.stop_gradient(
        jnp.where(enough, gap / jnp.where(enough, mean, 1), most)
    )


def ssir_loss(
    predictions: jax.Array,
    noisy: jax.Array,
    *,
    distance: str = "l1",
    target: str = "both",
) -> jax.Array:
    """Distance of two predictions of the same rows, elementwise.

    Args:
      predictions: `[batch]` or `[batch, height, width]`, for the clean inputs.
      noisy: same shape, for the moved inputs.
      distance: "l1", "mse" or "huber".
      target: "both": the gradient flows through both; "stopped": through `noisy`.

    Returns:
      Same shape, in label units (squared for "mse").

    Raises:
      ValueError: for an unknown option, or if the shapes differ.

    Example:
      >>> ssir_loss(jnp.array([1.0]), jnp.array([1.5])).tolist()
      [0.5]
    """
    checks.one_of("distance", distance, DISTANCES)
    checks.one_of("target", target, ("both", "stopped"))
    if target == "stopped":
        predictions = jax.lax.stop_gradient(predictions)
    return DISTANCES[distance](predictions, noisy)


def unit_of(domain: Domain, units: str) -> Any:
    """Prepared units per unit of `epsilon`, a number or `[channels]`.

    Args:
      domain: domain of the inputs.
      units: "normalised", "unit_interval" or "raw255"; "bins" is `gap_unit`.

    Raises:
      ValueError: for pixel units if the inputs are not images.
    """
    if units == "normalised":
        return 1.0
    if domain.unit is None:
        raise ValueError(
            f"units must be 'normalised' for inputs that are not images, got {units!r}."
        )
    return jnp.asarray(domain.unit) / (255 if units == "raw255" else 1)


def _gaps(
    clean: jax.Array, noisy: jax.Array, width: jax.Array, mask: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Metrics of the gaps between predictions, see `make`; sums and counts."""
    gap = jax.lax.stop_gradient(jnp.abs(clean - noisy))
    size = jax.lax.stop_gradient(jnp.maximum(jnp.abs(clean), jnp.abs(noisy)))
    rounding = SPACINGS * jnp.finfo(jnp.float32).eps * size
    real, found = jnp.sum(mask), {}
    for name, values in (
        ("gap", gap),
        ("gap_bins", gap / width),
        ("within_bin", gap <= width),
        ("rounding", gap <= rounding),
    ):
        found[f"ssir/{name}"] = (jnp.sum(jnp.where(mask > 0, values, 0.0)), real)
    return found


def _moves(
    inputs: jax.Array, moved: input_noise.Noise, mask: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Metrics of the noise before and after clipping, see `make`."""
    rows, found = mask.reshape(len(mask), -1).max(axis=1), {}
    for name, moves in (("noise", moved.noise), ("moved", moved.inputs - inputs)):
        total = jnp.sum(jnp.where(rows > 0, input_noise.lengths(moves), 0.0))
        found[f"ssir/{name}"] = (total, jnp.sum(rows))
    return found


def _advise(means: Any) -> list[str]:
    share = means["ssir/rounding"]
    if share < 0.5:
        return []
    return [
        f"{share:.0%} of the gaps between clean and noisy predictions are within "
        "float32 rounding, so SSIR learns from rounding noise. Set a larger epsilon "
        "(objective.ssir.epsilon, or that of the stage), or another norm or units; "
        "the log shows ssir/gap."
    ]


def make(
    inner: base.Objective,
    *,
    epsilon: float = 1e-3,
    lam: float = 0.1,
    n_steps: int = 2,
    noise: str = "gradient",
    norm: str = "sample",
    units: str = "normalised",
    distance: str = "l1",
    target: str = "both",
    mode: str = "train",
    bounds: tuple[Any, Any] | None = None,
) -> base.Objective:
    """Adds to `inner` the gap between predictions for clean and moved inputs.

    Args:
      inner: the objective for the clean inputs.
      epsilon: size of the noise, in `units`.
      lam: factor of the consistency term, at least 0.
      n_steps: number of gradient steps to find the noise.
      noise: "gradient", or "random" for the control.
      norm: see `ssir_noise`.
      units: "normalised", "unit_interval" or "raw255", the latter two for images; or
        "bins": the gap to first order, see `gap_unit`.
      distance: "l1", "mse" or "huber", for the noise and the consistency.
      target: see `ssir_loss`.
      mode: "train" or "eval" mode of batch norm and dropout for the pair.
      bounds: smallest and largest valid coordinate of prepared inputs, each a number or
        a tuple with one per channel. Default: the model's input domain.

    Returns:
      An objective whose state holds `width`, the mean bin width, beside that of
      `inner`. Its metrics are means over real rows: `loss/consistency`, `ssir/gap`
      (absolute, in units of the learnt label), `ssir/gap_bins` (in bins: the noise is
      meant to make it about 1), `ssir/within_bin` (share of gaps of at most one bin),
      `ssir/rounding` (share of gaps that may be rounding), `ssir/noise` and
      `ssir/moved` (L2 norms before and after clipping).

    Raises:
      ValueError: for an option out of range; in a step, for pixel units if the inputs
        are not images.

    Example:
      >>> from dirjax import objectives
      >>> make(objectives.from_config({"l1": {}}), epsilon=5e-3).precise
      True
    """
    checks.positive("epsilon", epsilon)
    checks.positive("lam", lam, zero=True)
    checks.whole("n_steps", n_steps)
    checks.one_of("noise", noise, ("gradient", "random"))
    checks.one_of("norm", norm, input_noise.NORMS)
    checks.one_of("units", units, UNITS)
    checks.one_of("distance", distance, DISTANCES)
    checks.one_of("target", target, ("both", "stopped"))
    checks.one_of("mode", mode, ("train", "eval"))
    if bounds is not None and not (
        isinstance(bounds, (tuple, list))
        and len(bounds) == 2
        and np.all(np.asarray(bounds[0]) < np.asarray(bounds[1]))
    ):
        raise ValueError(f"bounds must be (low, high), low first, got {bounds!r}.")

    def init(spec):
        return {"width": jnp.float32(spec.bins.mean_width)}

    def loss(own, inside, view, batch, key):
        width = own["width"]
        out = inside(view, batch)
        inputs, join = view.domain.split(batch["inputs"])
        train = None if mode == "train" else False
        low, high = bounds or (view.domain.low, view.domain.high)

        def predict(moved, frozen=False):
            features = view.encode(join(moved), train=train, frozen=frozen)
            return view.head(features, frozen=frozen).prediction

        clean = view.outputs.prediction if train is None else predict(inputs)
        mask = jnp.broadcast_to(batch["mask"], clean.shape)
        key = random.stream_key(key, "ssir")
        offsets = jax.random.uniform(key, clean.shape, minval=-1.0) * width
        constant = functools.partial(predict, frozen=True)
        search: dict[str, Any] = {"distance": distance, "mask": mask, "norm": norm}
        if units == "bins":
            unit = gap_unit(constant, inputs, offsets, gap=width, **search)
        else:
            unit = unit_of(view.domain, units)
        space = {"epsilon": epsilon, "unit": unit, "low": low, "high": high}
        if noise == "random":
            there = domain_lib.real(batch["inputs"])
            own = random.stream_key(key, "direction")
            moved = input_noise.random_noise(
                own, inputs, real=there, norm=norm, **space
            )
        else:
            moved = ssir_noise(
                constant, inputs, offsets, n_steps=n_steps, **search, **space
            )
        noisy = predict(moved.inputs)
        apart = ssir_loss(clean, noisy, distance=distance, target=target)
        apart = numerics.masked_mean(apart * batch["weight"], mask)

        metrics = {
            "loss/consistency": (apart, jnp.ones(())),
            **_gaps(clean, noisy, width, mask),
            **_moves(inputs, moved, mask),
        }
        return out._replace(loss=out.loss + lam * apart, metrics=out.metrics | metrics)

    return base.wrap(inner, init=init, loss=loss, precise=True, advise=_advise)
