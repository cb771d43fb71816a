"""The toy experiment that motivates SSIR: self-supervision on an imbalanced linear map.

The data are two Gaussian components with the same linear label `y = w^T x`; one is
rarer than the other by the ratio R. A small network is trained with supervision
throughout, or first on a pretext task (equal outputs for a row and the same row with
noise that hardly changes its label) and then with supervision. The result is the test
error on balanced rows as a function of R.

"Lifting Imbalanced Regression with Self-Supervised Learning", anonymous authors, under
review at ICLR 2022, section 3, figure 2a and appendix 8.5.

    python -m dirjax.sweep --config configs/studies/ssir_motivation.py --workdir DIR

The noise depends on the true `w`, so the pretext task reveals something about the
direction of the label that supervision alone does not. Its loss is minimised by every
constant function, since it has no term that keeps outputs apart; `spread`, the standard
deviation of outputs, is therefore logged before and after the first phase. Functions
are pure; `study` checks the fields of a study and writes files.

**Deviations** and interpretations; names in code are fields of the study:

- Not in the paper: number of rows (`total`, `test`), `w` (normal entries with standard
  deviation `w_scale`, drawn from `w_seed`, the same for all seeds), optimiser, batch,
  `delta`, the pretext loss, the deviation `noise_std` of its noise, number of seeds.
- `total` is the same at every R: fewer rare rows mean more common ones. The Gaussian
  numbers behind the rows, the initial parameters and the noise are the same at every R
  and in every arm, so differences are paired.
- "Variance 25" is taken per coordinate: `stds` of 5. Section 3 says that the two
  components differ in mean and variance; in the appendix, which is followed here, they
  differ only in the mean.
- The condition on the noise is garbled in the text ("min(y1, y2) delta"). It is read
  as: noise n is allowed if `|w^T n| < delta`, where delta should be smaller than the
  gap between labels of the two components, which `gap` logs. `noise` selects how n is
  drawn: "conditional" is a Gaussian conditioned on being allowed, as from rejection
  sampling; "shrunk" is a Gaussian scaled down until it is allowed.
- The pretext loss is the mean of `(f(x) - f(x + n))^2` with the gradient through both.
- "Epochs" are passes over the data; with the full batch, the default, an epoch is one
  step. Incomplete batches at the end of an epoch are dropped.
- The paper gives learning rates for "representation learning" and "supervised
  learning". They are read as those of the two phases, `pretext_rate` and
  `finetune_rate`; the supervised arm has `supervised_rate`. Section 3 uses these terms
  for the two arms; under that reading, `finetune_rate` is 1e-3 as well, the study
  `ssir_motivation.py:literal`.
- The second phase trains all parameters (`trained="all"`, initialised by the first
  phase) with a fresh optimiser; "head" trains only the last layer.
- "Two-layer MLP with 128 hidden neurons" is read as one hidden layer with ReLU;
  `hidden` lists the widths of hidden layers. Parameters are initialised as PyTorch's
  linear layers. Weight decay is added to the gradient of all parameters.
- A third arm, not in the paper, has only the second phase: it separates the effect of
  the first phase from that of fewer supervised steps.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dirjax import checks, optimizers

NOISES = ("conditional", "shrunk")
TRAINED = ("all", "head")
ARMS = ("supervised", "pretext", "second_phase")
# Keeps noise strictly within delta despite rounding.
_INSIDE = 1 - 1e-3

Params = list[dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Setting of an experiment; hashable, to serve as a static argument of `jax.jit`.

    Attributes:
      dim: number of inputs.
      means: mean of each coordinate, in the common and the rare component.
      stds: standard deviation of each coordinate, in the common and the rare component.
      total: training rows, at every ratio.
      test: test rows, half of them from each component.
      w_seed: seed of `w`.
      w_scale: standard deviation of the entries of `w`.
      hidden: width of each hidden layer.
      pretext_epochs: T1, epochs of the first phase.
      supervised_epochs: T2, epochs of the second phase; the supervised arm has T1 + T2.
      pretext_rate: learning rate of the first phase.
      finetune_rate: learning rate of the second phase.
      supervised_rate: learning rate of the supervised arm.
      weight_decay: weight decay of all parameters.
      optimizer: a name in `optimizers.OPTIMIZERS`.
      batch_size: rows per step; 0 for all rows.
      noise: how the noise is drawn, one of `NOISES`.
      noise_std: standard deviation of its coordinates, before the condition.
      delta: bound on the change of the label.
      trained: parameters that the second phase trains, one of `TRAINED`.
    """

    dim: int
    means: tuple[float, float]
    stds: tuple[float, float]
    total: int
    test: int
    w_seed: int
    w_scale: float
    hidden: tuple[int, ...]
    pretext_epochs: int
    supervised_epochs: int
    pretext_rate: float
    finetune_rate: float
    supervised_rate: float
    weight_decay: float
    optimizer: str
    batch_size: int
    noise: str
    noise_std: float
    delta: float
    trained: str


def _stream(key: jax.Array, name: str) -> jax.Array:
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def label_direction(setting: Setting) -> jax.Array:
    """The vector `w` `[dim]` of `y = w^T x`."""
    key = _stream(jax.random.key(setting.w_seed), "w")
    return setting.w_scale * jax.random.normal(key, (setting.dim,))


def common_rows(total: int, ratio: float) -> int:
    """Number of common rows among `total` rows at a ratio of common to rare rows.

    The rare component has the rest: `total / (1 + ratio)`, rounded.

    Example:
      >>> common_rows(202, 100), common_rows(202, 1)
      (200, 101)
    """
    return total - round(total / (1 + ratio))


def components(
    key: jax.Array,
    rows: int,
    common: int | jax.Array,
    *,
    dim: int,
    means: Sequence[float],
    stds: Sequence[float],
) -> jax.Array:
    """Draws rows of two Gaussians with independent coordinates.

    Args:
      key: random key; gives the same standard normal numbers for every `common`.
      rows: number of rows.
      common: number of rows of the first component, which come first; may be traced.
      dim: number of coordinates.
      means: mean of each coordinate, in the first and the second component.
      stds: standard deviation of each coordinate, in the first and second component.

    Returns:
      `[rows, dim]` float32.
    """
    rare = (jnp.arange(rows) >= common)[:, None]
    normal = jax.random.normal(key, (rows, dim))
    return jnp.where(rare, means[1], means[0]) + normal * jnp.where(
        rare, stds[1], stds[0]
    )


def similar_noise(
    key: jax.Array, w: jax.Array, rows: int, *, kind: str, std: float, delta: float
) -> jax.Array:
    """Noise that changes the label by less than delta: `|w^T n| < delta`.

    Args:
      key: random key.
      w: `[dim]`, not zero.
      rows: number of rows.
      kind: "conditional": normal with deviation `std` in each coordinate, conditioned
        on the bound; exact, without rejection. "shrunk": normal, scaled down to satisfy
        the bound.
      std: standard deviation of the coordinates.
      delta: bound on the change of the label, positive.

    Returns:
      `[rows, dim]` float32.

    Raises:
      ValueError: for an unknown kind.
    """
    checks.one_of("noise", kind, NOISES)
    normal = std * jax.random.normal(_stream(key, "normal"), (rows, len(w)))
    change = normal @ w
    if kind == "shrunk":
        return normal * jnp.minimum(1.0, _INSIDE * delta / jnp.abs(change))[:, None]
    # Deviation of the label's change, of which the other directions are independent.
    scale = std * jnp.linalg.norm(w)
    bound = _INSIDE * delta / scale
    wanted = scale * jax.random.truncated_normal(
        _stream(key, "change"), -bound, bound, (rows,)
    )
    return normal + ((wanted - change) / (w @ w))[:, None] * w[None]


def init_network(key: jax.Array, dim: int, hidden: Sequence[int]) -> Params:
    """Initial parameters, uniform within `1 / sqrt(inputs of the layer)` of 0.

    Args:
      key: random key.
      dim: number of inputs.
      hidden: width of each hidden layer.

    Returns:
      `kernel` `[inputs, outputs]` and `bias` `[outputs]` of each layer; the last layer
      has one output.
    """
    sizes = (dim, *hidden, 1)
    params = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        most = 1 / math.sqrt(inputs)
        both = jax.random.uniform(
            jax.random.fold_in(key, i), (inputs + 1, outputs), minval=-most, maxval=most
        )
        params.append({"kernel": both[:-1], "bias": both[-1]})
    return params


def predict(params: Params, inputs: jax.Array) -> jax.Array:
    """Outputs `[rows]` of the network for inputs `[rows, dim]`."""
    x = inputs
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"][None])
    return (x @ params[-1]["kernel"] + params[-1]["bias"][None])[:, 0]


def supervised_loss(params: Params, inputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean squared error, a scalar, of inputs `[rows, dim]` and labels `[rows]`."""
    return jnp.mean((predict(params, inputs) - labels) ** 2)


def pretext_loss(params: Params, inputs: jax.Array, noise: jax.Array) -> jax.Array:
    """Mean squared change of the output under noise; 0 for a constant function.

    Args:
      params: parameters of the network.
      inputs: `[rows, dim]`.
      noise: `[rows, dim]`.

    Returns:
      Scalar.
    """
    return jnp.mean((predict(params, inputs + noise) - predict(params, inputs)) ** 2)


def fit(
    params: Params,
    loss: Callable[[Params, Any, jax.Array], jax.Array],
    key: jax.Array,
    *,
    rows: int,
    batch_size: int,
    epochs: int,
    optimizer: str,
    rate: float,
    weight_decay: float,
    trained: str = "all",
) -> Params:
    """Trains for a number of epochs, in one loop on the device.

    Args:
      params: initial parameters.
      loss: `(params, index of the batch's rows, key of the step) -> scalar`.
      key: random key for the order of rows and for the steps.
      rows: number of rows.
      batch_size: rows per step; 0 for all rows in their order.
      epochs: passes over the rows.
      optimizer: a name in `optimizers.OPTIMIZERS`.
      rate: learning rate.
      weight_decay: weight decay of all parameters.
      trained: "all", or "head" for the last layer only.

    Returns:
      The parameters after the last step.
    """
    tx = optimizers.make(optimizer, rate, weight_decay=weight_decay, decay="all")
    steps = rows // batch_size if batch_size else 1

    def step(carry, index, key):
        params, state = carry
        gradient = jax.grad(loss)(params, index, key)
        updates, state = tx.update(gradient, state, params)
        moved: Any = optax.apply_updates(params, updates)
        return (moved if trained == "all" else [*params[:-1], moved[-1]]), state

    def epoch(number, carry):
        of_epoch = jax.random.fold_in(key, number)
        if not batch_size:
            return step(carry, slice(None), of_epoch)
        order = jax.random.permutation(_stream(of_epoch, "order"), rows)
        batches = order[: steps * batch_size].reshape(steps, batch_size)

        def inner(carry, batch):
            index, i = batch
            return step(carry, index, jax.random.fold_in(of_epoch, i)), None

        return jax.lax.scan(inner, carry, (batches, jnp.arange(steps)))[0]

    return jax.lax.fori_loop(0, epochs, epoch, (params, tx.init(params)))[0]


def label_gap(labels: jax.Array, common: int | jax.Array) -> jax.Array:
    """Smallest difference between labels of different components, a scalar.

    Args:
      labels: `[rows]`, labels of the first component before those of the second.
      common: number of labels of the first component.

    Example:
      >>> float(label_gap(jnp.array([1.0, 5.0, 2.5, 9.0]), 2))
      1.5
    """
    order = jnp.argsort(labels)
    rare = order >= common
    # The closest pair from different components is adjacent in sorted order.
    gaps = jnp.where(rare[1:] != rare[:-1], jnp.diff(labels[order]), jnp.inf)
    return gaps.min()


def experiment(
    setting: Setting, seed: int | jax.Array, common: int | jax.Array
) -> dict[str, jax.Array]:
    """Runs all arms for one seed and one ratio.

    Args:
      setting: the fixed setting.
      seed: seed of data, parameters, noise and order; may be traced.
      common: training rows of the common component; may be traced.

    Returns:
      `mse` `[arms, 3]` on the test set: all rows, common component, rare component;
      `train_mse` `[arms]`, in the order of `ARMS`; `pretext_loss` `[2]` and `spread`
      `[2]` on the training rows, before and after the first phase; `gap`, see
      `label_gap`; `label_variance` of the test set, the MSE of the best constant.
    """
    root, w = jax.random.key(seed), label_direction(setting)
    shape = {"dim": setting.dim, "means": setting.means, "stds": setting.stds}
    inputs = components(_stream(root, "train"), setting.total, common, **shape)
    test = components(_stream(root, "test"), setting.test, setting.test // 2, **shape)
    labels, test_labels = inputs @ w, test @ w

    def noise(key, rows):
        return similar_noise(
            key, w, rows, kind=setting.noise, std=setting.noise_std, delta=setting.delta
        )

    def pretext(params, index, key):
        seen = inputs[index]
        return pretext_loss(params, seen, noise(_stream(key, "noise"), len(seen)))

    def supervised(params, index, key):
        del key
        return supervised_loss(params, inputs[index], labels[index])

    how = {
        "rows": setting.total,
        "batch_size": setting.batch_size,
        "optimizer": setting.optimizer,
        "weight_decay": setting.weight_decay,
    }
    start = init_network(_stream(root, "init"), setting.dim, setting.hidden)
    first = fit(
        start,
        pretext,
        _stream(root, "pretext"),
        epochs=setting.pretext_epochs,
        rate=setting.pretext_rate,
        **how,
    )
    # With and without the first phase, side by side.
    second = jax.vmap(
        lambda params: fit(
            params,
            supervised,
            _stream(root, "supervised"),
            epochs=setting.supervised_epochs,
            rate=setting.finetune_rate,
            trained=setting.trained,
            **how,
        )
    )(jax.tree.map(lambda *leaves: jnp.stack(leaves), first, start))
    only = fit(
        start,
        supervised,
        _stream(root, "supervised"),
        epochs=setting.pretext_epochs + setting.supervised_epochs,
        rate=setting.supervised_rate,
        **how,
    )
    arms = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), only, second)
    outputs = jax.vmap(predict, (0, None))(arms, test)
    errors = ((outputs - test_labels[None]) ** 2).reshape(len(ARMS), 2, -1)
    parts = errors.mean(axis=2)
    fixed = noise(_stream(root, "check"), setting.total)
    phases = (start, first)
    return {
        "mse": jnp.concatenate([parts.mean(axis=1, keepdims=True), parts], axis=1),
        "train_mse": jax.vmap(supervised_loss, (0, None, None))(arms, inputs, labels),
        "pretext_loss": jnp.stack([pretext_loss(p, inputs, fixed) for p in phases]),
        "spread": jnp.stack([predict(p, inputs).std() for p in phases]),
        "gap": label_gap(labels, common),
        "label_variance": test_labels.var(),
    }


def _all_experiments(
    setting: Setting, seeds: jax.Array, common: jax.Array
) -> dict[str, jax.Array]:
    one = functools.partial(experiment, setting)
    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(seeds, common)


_compiled = jax.jit(_all_experiments, static_argnums=0)


def experiments(
    setting: Setting, seeds: Sequence[int], ratios: Sequence[float]
) -> dict[str, np.ndarray]:
    """Runs all seeds and ratios as one program.

    Args:
      setting: the fixed setting.
      seeds: seeds of the runs.
      ratios: common rows per rare row.

    Returns:
      The arrays of `experiment` in float64, with leading axes `[seeds, ratios]`.
    """
    common = [common_rows(setting.total, ratio) for ratio in ratios]
    made = _compiled(setting, jnp.asarray(seeds), jnp.asarray(common))
    return {k: np.asarray(v, np.float64) for k, v in jax.device_get(made).items()}
