"""Metrics as sums per label bin: accumulated on the device, divided once on the host.

Sources: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554 (MAE, MSE, geometric mean and Pearson by shot group);
Ren et al., "Balanced MSE", CVPR 2022, https://arxiv.org/abs/2203.16427 (bMAE);
Ribeiro and Moniz, Machine Learning 2020 (SERA).

**Deviations** from the public benchmark code: an empty group gives None, not 0 or an
error; so do a correlation of fewer than two examples or of a constant, and any
non-finite number. The value of an exact zero error in the geometric mean is an argument
(the public code: 0 for ages, 1e-10 for STS-B-DIR). SERA is None, not 0, if no example
is relevant.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from dirjax.labels import bins as labels_lib
from dirjax.labels import specification
from dirjax.ops.ranks import spearman

# A variance below this share of its carried square is float32 rounding.
_CONSTANT = 1e-5
# Metrics that are means over examples, including those of depth and groups.
_MEANS = ("mae", "mse", "delta1", "delta2", "delta3", "abs_rel", "log10")
_MEANS += ("group_accuracy", "group_distance", "oracle_mae")


class Sums(NamedTuple):
    """Sums over the examples of each bin, `[num_bins]`; predictions and labels scaled.

    Attributes:
      count: examples.
      abs: absolute errors.
      sq: squared errors.
      log_abs: logarithms of absolute errors.
      p: predictions, shifted and scaled.
      y: labels, shifted and scaled.
      pp: squares of p.
      yy: squares of y.
      py: products of p and y.
    """

    count: Any
    abs: Any
    sq: Any
    log_abs: Any
    p: Any
    y: Any
    pp: Any
    yy: Any
    py: Any


def batch_sums(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    bins: jax.Array,
    mask: jax.Array | None = None,
    num_bins: int,
    shift: ArrayLike | jax.Array = 0.0,
    scale: ArrayLike | jax.Array = 1.0,
    gm_epsilon: ArrayLike | jax.Array = 0.0,
) -> Sums:
    """Sums of one batch, pure and jit-able; masked entries never count, even NaN.

    Args:
      predictions: any shape, `[batch]` or `[batch, height, width]`, in label units.
      labels: same shape.
      bins: same shape, int, 0 to num_bins - 1.
      mask: same shape, above 0 for real entries. Default: all real.
      num_bins: static.
      shift: subtracted from predictions and labels before the moments: a number (the
        mean label) or `[num_bins]` (the bin centers, best for narrow groups).
      scale: then divides them, above 0 (the label deviation).
      gm_epsilon: replaces an exact zero error in the geometric mean, at least 0.

    Returns:
      The sums, float32.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> sums = batch_sums(jnp.array([1.0, 3.0]), jnp.array([1.5, 2.0]),
      ...                   bins=jnp.array([0, 2]), num_bins=3)
      >>> sums.abs.tolist()
      [0.5, 0.0, 1.0]
    """
    shapes = [jnp.shape(x) for x in (predictions, labels, bins)]
    shapes += [] if mask is None else [jnp.shape(mask)]
    if len(set(shapes)) > 1:
        raise ValueError(
            "predictions, labels, bins and mask must have the same shape, got "
            f"{', '.join(map(str, shapes))}; drop a last axis of size 1."
        )
    real = jnp.ones(shapes[0], bool) if mask is None else jnp.asarray(mask) > 0
    real, bins = real.reshape(-1), jnp.where(real, bins, 0).reshape(-1)
    # Padding becomes 0 before any arithmetic, so that its NaN cannot spread.
    p = jnp.where(real, jnp.ravel(predictions).astype(jnp.float32), 0.0)
    y = jnp.where(real, jnp.ravel(labels).astype(jnp.float32), 0.0)
    error = jnp.abs(p - y)
    epsilon = jnp.asarray(gm_epsilon, jnp.float32)
    log_abs = jnp.log(jnp.where(error > 0, error, epsilon))
    log_abs = jnp.where(jnp.isnan(error), jnp.nan, log_abs)
    origin = jnp.asarray(shift, jnp.float32)
    origin = origin[bins] if origin.ndim else origin
    p, y = ((x - origin) / jnp.asarray(scale, jnp.float32) for x in (p, y))
    one = jnp.ones_like(error)
    rows = Sums(one, error, error**2, log_abs, p, y, p * p, y * y, p * y)
    return jax.tree.map(
        lambda x: jax.ops.segment_sum(
            jnp.where(real, x, 0.0), bins, num_segments=num_bins
        ),
        rows,
    )


def row_sums(
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    bins: ArrayLike,
    num_bins: int,
    shift: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    gm_epsilon: float = 0.0,
) -> Sums:
    """The same sums of rows on the host, in float64.

    Args:
      predictions: `[n]`, in label units.
      labels: `[n]`.
      bins: `[n]` int, 0 to num_bins - 1.
      num_bins: number of bins.
      shift: as in `batch_sums`.
      scale: as in `batch_sums`.
      gm_epsilon: as in `batch_sums`.

    Returns:
      The sums, float64.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> row_sums([1.0, 3.0], [1.5, 2.0], bins=[0, 2], num_bins=3).abs.tolist()
      [0.5, 0.0, 1.0]
    """
    p, y, where = _same_length(predictions, labels, bins)
    at = where.astype(np.int64)
    error = np.abs(p - y)
    with np.errstate(divide="ignore"):
        log_abs = np.log(np.where(error == 0, gm_epsilon, error))
    origin, width = np.float32(np.asarray(shift)), np.float32(np.asarray(scale))
    origin = np.broadcast_to(origin, num_bins).astype(np.float64)[at]
    a, b = (p - origin) / np.float64(width), (y - origin) / np.float64(width)
    rows = Sums(np.ones_like(p), error, error**2, log_abs, a, b, a * a, b * b, a * b)
    return Sums(*(np.bincount(at, x, num_bins) for x in rows))


def zeros(num_bins: int) -> Sums:
    """Sums over no examples, float64 on the host.

    Use it to accumulate a long set without float32 rounding: `add(total,
      jax.device_get(x))`.

    Example:
      >>> zeros(2).count.tolist()
      [0.0, 0.0]
    """
    return Sums(*np.zeros((len(Sums._fields), num_bins)))


def add(a: Sums, b: Sums) -> Sums:
    """Adds sums of two disjoint sets, on the device or, with numpy arrays, on the host.

    Example:
      >>> add(zeros(2), zeros(2)).abs.tolist()
      [0.0, 0.0]
    """
    return jax.tree.map(lambda x, y: x + y, a, b)


def finite(value: Any) -> float | None:
    """A finite Python float or None, for JSON."""
    return float(value) if value is not None and np.isfinite(value) else None


def shot_groups(shots: ArrayLike) -> dict[str, np.ndarray]:
    """Masks of the entries in each shot group, and in all of them."""
    shots = np.asarray(shots)
    named = {name: shots == k for k, name in enumerate(labels_lib.SHOTS)}
    return {"all": np.ones(shots.shape, bool), **named}


def _pearson(s: Sums, shift: np.ndarray, scale: float) -> float | None:
    """Correlation from the shifted and scaled sums of some bins."""
    n = s.count.sum()
    if n < 2:
        return None
    # Back to one origin for all bins; float64 loses nothing.
    origin = (s.count * shift).sum() / n
    offset = (shift - origin) / scale
    mean_p = (s.p + s.count * offset).sum() / n
    mean_y = (s.y + s.count * offset).sum() / n
    var_p = (s.pp + 2 * offset * s.p + s.count * offset**2).sum() / n - mean_p**2
    var_y = (s.yy + 2 * offset * s.y + s.count * offset**2).sum() / n - mean_y**2
    cross = s.py + offset * (s.p + s.y) + s.count * offset**2
    least_p, least_y = (_CONSTANT * x.sum() / n for x in (s.pp, s.yy))
    if not (var_p > least_p and var_y > least_y):
        return None
    r = (cross.sum() / n - mean_p * mean_y) / np.sqrt(var_p * var_y)
    return finite(np.clip(r, -1, 1))


def finalize(
    sums: Sums,
    *,
    spec: specification.Spec,
    shift: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> dict[str, dict[str, Any]]:
    """Metrics over all examples and over each shot group, in float64, ready for JSON.

    Args:
      sums: sums over the whole set, `[num_bins]` each.
      spec: label specification with the shot group of each bin.
      shift: as in `batch_sums`.
      scale: as in `batch_sums`.

    Returns:
      `{metric: {"all", "many", "median", "few"}}` with `mae`, `mse`, `rmse`, `gm`
      (geometric mean of absolute errors), `pearson`, `bmae` (mean over bins of their
      MAE) and `count` (int). None for a group without examples, for non-finite values,
      and for the correlation of fewer than two examples or of a constant.

    Raises:
      ValueError: if sums and specification have different numbers of bins.

    Example:
      >>> from dirjax import labels
      >>> spec = labels.spec([0, 1], bin_width=1)
      >>> sums = batch_sums(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0]),
      ...                   bins=jnp.array([0, 1]), num_bins=2)
      >>> finalize(sums, spec=spec)["mae"]
      {'all': 1.5, 'many': None, 'median': None, 'few': 1.5}
    """
    host = Sums(*(np.asarray(x, np.float64) for x in sums))
    if host.count.shape != spec.shots.shape:
        raise ValueError(
            f"the sums have shape {host.count.shape}, but the specification has "
            f"{spec.bins.num} bins; use the bins of the sums."
        )
    # The float32 values used in the batches.
    width = float(np.float32(np.asarray(scale)))
    shifts = np.broadcast_to(np.float32(np.asarray(shift)), host.count.shape)
    shifts = shifts.astype(np.float64)
    names = ("mae", "mse", "rmse", "gm", "pearson", "bmae", "count")
    result: dict[str, dict[str, Any]] = {name: {} for name in names}
    for group, chosen in shot_groups(spec.shots).items():
        keep = chosen & (host.count > 0)
        s = Sums(*(x[keep] for x in host))
        n = s.count.sum()
        values: dict[str, Any] = dict.fromkeys(names)
        if n:
            with np.errstate(all="ignore"):  # What is not finite becomes None.
                values = {
                    "mae": s.abs.sum() / n,
                    "mse": s.sq.sum() / n,
                    "rmse": np.sqrt(s.sq.sum() / n),
                    "gm": np.exp(s.log_abs.sum() / n),
                    "pearson": _pearson(s, shifts[keep], width),
                    "bmae": (s.abs / s.count).mean(),
                }
        for name in names:
            result[name][group] = finite(values.get(name))
        result["count"][group] = round(n) if n else None
    return result


def per_bin(sums: Sums) -> dict[str, np.ndarray]:
    """Examples and MAE of each bin.

    Args:
      sums: sums over the whole set.

    Returns:
      `{"count": [num_bins] int64, "mae": [num_bins] float64}`; NaN in empty bins.

    Example:
      >>> per_bin(zeros(2)._replace(count=np.array([2.0, 0.0])))["mae"].tolist()
      [0.0, nan]
    """
    count = np.asarray(sums.count, np.float64)
    mae = np.asarray(sums.abs, np.float64) / np.where(count > 0, count, np.nan)
    return {"count": np.rint(count).astype(np.int64), "mae": mae}


def means(values: ArrayLike, shots: ArrayLike) -> dict[str, float | None]:
    """Mean over all rows and over each shot group, in float64, ready for JSON.

    Args:
      values: `[n]`, gathered on the host, without padding.
      shots: `[n]`, group of each row: `spec.shots[bins]`.

    Returns:
      `{"all", "many", "median", "few"}`; None for a group without rows and for
      non-finite values.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> means([1.0, 4.0], [0, 2])
      {'all': 2.5, 'many': 1.0, 'median': None, 'few': 4.0}
    """
    values, shots = _same_length(values, shots)
    with np.errstate(all="ignore"):  # What is not finite becomes None.
        return {
            name: finite(values[rows].mean()) if rows.any() else None
            for name, rows in shot_groups(shots).items()
        }


def rank_metrics(
    predictions: ArrayLike, labels: ArrayLike, shots: ArrayLike
) -> dict[str, dict[str, float | None]]:
    """Spearman's rank correlation within each group; ties share their mean rank.

    Args:
      predictions: `[n]`, gathered on the host, without padding.
      labels: `[n]`.
      shots: `[n]`, group of each example: `spec.shots[bins]`.

    Returns:
      `{"spearman": {"all", "many", "median", "few"}}`; None for fewer than two
      examples, a constant, or a number that is not finite.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> rank_metrics([1, 2, 9], [1, 2, 3], [0, 0, 2])["spearman"]
      {'all': 1.0, 'many': 1.0, 'median': None, 'few': None}
    """
    p, y, shots = _same_length(predictions, labels, shots)
    groups = shot_groups(shots).items()
    return {"spearman": {name: spearman(p[rows], y[rows]) for name, rows in groups}}


def _same_length(*arrays: ArrayLike) -> list[np.ndarray]:
    out = [np.asarray(x, np.float64) for x in arrays]
    if any(x.ndim != 1 or x.shape != out[0].shape for x in out):
        raise ValueError(
            "all arguments must be [n] of equal length, got "
            f"{', '.join(str(x.shape) for x in out)}; gather and flatten first."
        )
    return out


def sera(
    predictions: ArrayLike, labels: ArrayLike, phi: ArrayLike
) -> dict[str, dict[str, float | None]]:
    """Squared error-relevance area, `sum_i phi_i (p_i - y_i)^2`.

    The area under `SER(t)`, the squared error of the examples with relevance of at
    least t, over t from 0 to 1; the sum is this integral in closed form.

    Args:
      predictions: `[n]`, gathered on the host, without padding.
      labels: `[n]`.
      phi: `[n]`, relevance in 0 to 1: `relevance.relevance(train_labels, labels)`.

    Returns:
      `{"sera": {"all"}}` in squared label units; None if no phi is above 0.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> sera([1.0, 2.0], [0.0, 0.0], [0.5, 1.0])
      {'sera': {'all': 4.5}}
    """
    p, y, phi = _same_length(predictions, labels, phi)
    hit = phi > 0
    with np.errstate(all="ignore"):
        total = (phi * (p - y) ** 2)[hit].sum() if hit.any() else None
    return {"sera": {"all": finite(total)}}


def check_identity(result: dict[str, dict[str, Any]], rtol: float = 1e-6) -> None:
    """Checks that the groups of a table add up to its "all" column.

    With w_s the share of group s in the count, `all = sum_s w_s * shot_s` for the MAE,
    the MSE (and the RMSE by its square), the logarithm of the geometric mean, and the
    metrics of depth, label groups and experts.

    Args:
      result: from `finalize`, or a published table in that form, with `count`.
      rtol: relative tolerance; absolute for the logarithm.

    Raises:
      ValueError: naming the first metric that disagrees.

    Example:
      >>> check_identity({"count": {"all": 2, "many": 1, "few": 1},
      ...                 "mae": {"all": 2.0, "many": 1.0, "few": 3.0}})
    """
    counts = {k: n for k, n in result["count"].items() if n}
    total = counts.pop("all", 0)
    if sum(counts.values()) != total:
        raise ValueError(f"count: the groups {counts} do not add up to {total}.")
    powers = dict.fromkeys(_MEANS, 1)
    for name, power in (powers | {"rmse": 2, "oracle_rmse": 2, "gm": 0}).items():
        row = result.get(name, {})
        whole, parts = row.get("all"), [row.get(group) for group in counts]
        if whole is None and (not row or not parts or None in parts):
            continue  # Missing in the table, or not finite in some group.
        if whole is None or None in parts:
            raise ValueError(f"{name}: a group with examples has no value: {row}.")
        values = np.array([whole, *parts], np.float64)
        with np.errstate(divide="ignore"):
            values = values**power if power else np.log(values)
        share = np.array(list(counts.values())) / total
        mixed = (share * values[1:]).sum()
        gap = 0.0 if mixed == values[0] else abs(mixed - values[0])
        if not gap <= rtol * (abs(values[0]) if power else 1):
            raise ValueError(
                f"{name}: all is {whole}, but the shot groups {row} with counts "
                f"{counts} give another value; the table may mix runs or test sets."
            )
