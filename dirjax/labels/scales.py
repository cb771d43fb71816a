"""Scales on which a model learns the label, and the way back.

linear       the label itself
log          log(y + offset); `log1p` has the offset 1
yeo_johnson  the power transform of Yeo & Johnson, Biometrika 2000, whose power makes
             the training labels as normal as possible (`scipy.stats.yeojohnson`)
quantile     the share of training labels below, by linear interpolation; beyond them
             it grows by one over their range

The way back works on numpy and on JAX arrays, which pass their module as `xp`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = ("linear", "log", "log1p", "yeo_johnson", "quantile")
# Number of intervals between the quantiles.
QUANTILES = 100


@dataclasses.dataclass(frozen=True)
class Scale:
    """A fitted scale.

    Attributes:
      kind: "linear", "log", "yeo_johnson" or "quantile".
      offset: added to the label before the logarithm.
      power: the lambda of Yeo and Johnson.
      knots: ascending labels, and `levels`, where they lie on the quantile scale.
      levels: see `knots`.
      low: the smallest prediction, in units of the label; None for any.
    """

    kind: str = "linear"
    offset: float = 0.0
    power: float = 1.0
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()
    low: float | None = None

    @property
    def linear(self) -> bool:
        """Whether the model learns the label itself."""
        return self.kind == "linear"

    @property
    def fitted(self) -> bool:
        """Whether the scale depends on the training labels."""
        return self.kind in ("yeo_johnson", "quantile")

    @property
    def said(self) -> str:
        """What the model learns, as in `its logarithm`; empty for the label itself."""
        plus = f" plus {self.offset:g}" if self.offset else ""
        return {
            "linear": "",
            "log": f"logarithm{plus}",
            "yeo_johnson": f"Yeo-Johnson transform with power {self.power:.3g}",
            "quantile": "quantile among training labels",
        }[self.kind]

    def forward(self, label: Any) -> np.ndarray:
        """From units of the label, `[...]` float64, to the scale.

        Example:
          >>> Scale("log", offset=1.0).forward(np.array([0.0, np.e - 1])).tolist()
          [0.0, 1.0]
        """
        y = np.asarray(label, np.float64)
        if self.kind == "log":
            return np.log(y + self.offset) if self.offset else np.log(y)
        if self.kind == "yeo_johnson":
            from scipy import stats

            return np.asarray(stats.yeojohnson(y.ravel(), self.power)).reshape(y.shape)
        if self.kind == "quantile":
            low, high = self.knots[0], self.knots[-1]
            beyond = np.minimum(y - low, 0) + np.maximum(y - high, 0)
            inside = np.interp(y, self.knots, self.levels)
            return np.asarray(inside + beyond / (high - low))
        return y

    def inverse(self, learnt: Any, xp: Any = np) -> Any:
        """From the scale back to units of the label, not below `low`.

        Args:
          learnt: `[...]` numbers on the scale.
          xp: `numpy` or `jax.numpy`, the module of the array.
        """
        y = learnt
        if self.kind == "log":
            y = xp.exp(y) - self.offset if self.offset else xp.exp(y)
        elif self.kind == "yeo_johnson":
            y = _inverse_yeo_johnson(y, self.power, xp)
        elif self.kind == "quantile":
            low, high = self.levels[0], self.levels[-1]
            beyond = xp.minimum(y - low, 0) + xp.maximum(y - high, 0)
            inside = xp.interp(y, xp.asarray(self.levels), xp.asarray(self.knots))
            y = (inside + beyond * (self.knots[-1] - self.knots[0])).astype(y.dtype)
        return y if self.low is None else xp.maximum(y, self.low)

    def bounded(self, *values: Any) -> tuple[Any, ...]:
        """Values in units of the label, not below `low`, as predictions.

        Example:
          >>> Scale(low=0.0).bounded(np.array([-1.0, 2.0]))[0].tolist()
          [0.0, 2.0]
        """
        if self.low is None:
            return values
        return tuple(np.maximum(value, self.low) for value in values)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists, for the run directory."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Scale:
        """The inverse of `to_json`."""
        knots, levels = tuple(record["knots"]), tuple(record["levels"])
        return cls(**{**record, "knots": knots, "levels": levels})


def _inverse_yeo_johnson(x: Any, power: float, xp: Any) -> Any:
    """The inverse of the transform; beyond its range, the nearest label within."""
    # Each side is given harmless values where it does not count: NaN would spread. A
    # transform with a negative power has an end, at which labels are infinite.
    up, down = xp.maximum(x, 0), xp.maximum(-x, 0)
    if power:
        above = xp.maximum(up * power + 1, 1e-4) ** (1 / power) - 1
    else:
        above = xp.expm1(up)
    other = 2 - power
    if other:
        below = 1 - xp.maximum(down * other + 1, 1e-4) ** (1 / other)
    else:
        below = -xp.expm1(down)
    return xp.where(x >= 0, above, below)


def fit(
    kind: str, labels: np.ndarray, *, offset: float = 0.0, low: float | None = None
) -> Scale:
    """Fits a scale to training labels.

    Args:
      kind: one of KINDS.
      labels: `[n]` float64 finite labels.
      offset: added before the logarithm, beyond the 1 of `log1p`.
      low: see `Scale`.

    Raises:
      ValueError: for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    if kind in ("log", "log1p"):
        return Scale("log", offset=offset + (kind == "log1p"), low=low)
    if kind == "yeo_johnson":
        from scipy import stats

        power = float(f"{stats.yeojohnson_normmax(np.asarray(labels)):.6g}")
        return Scale("yeo_johnson", power=power, low=low)
    if kind == "quantile":
        levels = np.linspace(0, 1, QUANTILES + 1)
        knots, where = np.unique(np.quantile(labels, levels), return_inverse=True)
        # A label that many rows have lies in the middle of its levels.
        middle = np.bincount(where, levels) / np.bincount(where)
        return Scale(
            "quantile",
            knots=tuple(knots.tolist()),
            levels=tuple(middle.tolist()),
            low=low,
        )
    return Scale(low=low)
