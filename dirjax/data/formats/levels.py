"""Levels: pixels of any type on the scale of 8 bits, 0 to 255.

Pixels of 8 bits are levels already and stay uint8. Whole numbers of more bits and
floats become float32 levels without rounding, 0 at the lower end of a range and 255 at
its upper end, so whatever follows (augmentation, standardisation) has one scale. The
range is found over a data set, or given:

  whole: 0 to 255, 1023, 4095 or 65535, the first that no pixel exceeds, since files of
    16 bits hold 8, 10, 12 or 16; from the smallest to the largest pixel if one is
    negative or larger.
  float: 0 to 1 or 0 to 255, the first that holds all pixels; else from the smallest
    to the largest.

Channels of arrays may be of any unit, so each has its own range, unless they look like
grey or RGB: 1 or 3 channels in one of the fixed ranges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

TOP = 255
# Largest values of whole numbers of 8, 10, 12 and 16 bits.
_LARGEST = (255, 1023, 4095, 65535)
# Of floats: a share, or a level of 8 bits.
_UNIT = (1, 255)
_FEW = 6  # Most channels in a note.
# Channels of grey and of RGB images.
COLOURS = (1, 3)
Ends = tuple[Any, Any]  # Low and high, numbers or a tuple with one for each channel.
# Kinds of pixels that are not levels yet, in words.
KINDS = {"whole": "whole numbers of more than 8 bits", "float": "floats"}


def kind_of(dtype: Any) -> str:
    """The kind of pixels of a type: "whole" or "float"; empty for uint8.

    Example:
      >>> [kind_of(np.dtype(t)) for t in ("uint8", "uint16", "float16")]
      ['', 'whole', 'float']
    """
    if dtype == np.uint8:
        return ""
    return "float" if dtype.kind == "f" else "whole"


def find_range(kind: str, low: float, high: float) -> tuple[float, float]:
    """The range of pixels of a kind, from the smallest and the largest of a data set.

    Example:
      >>> find_range("whole", 3, 3900), find_range("float", 0.0, 0.25)
      ((0.0, 4095.0), (0.0, 1.0))
      >>> find_range("whole", -1024, 3071), find_range("float", -1.5, 2.0)
      ((-1024.0, 3071.0), (-1.5, 2.0))
    """
    if low >= 0:
        tops = _LARGEST if kind == "whole" else _UNIT
        for top in tops:
            if high <= top:
                return 0.0, float(top)
    return float(low), float(high)


def range_of(kind: str, low: np.ndarray, high: np.ndarray) -> Ends:
    """The range of images of a kind.

    Args:
      kind: "whole" or "float".
      low: `[channels]` smallest pixels of a data set.
      high: `[channels]` largest.

    Example:
      >>> range_of("float", np.array([0.0, 0, 0]), np.array([0.5, 200, 0]))
      (0.0, 255.0)
      >>> range_of("float", np.array([0.0, 0, 0]), np.array([0.5, 2000, 0]))
      ((0.0, 0.0, 0.0), (1.0, 2000.0, 1.0))
      >>> range_of("float", np.array([0.0, -1]), np.array([0.5, 1]))
      ((0.0, -1.0), (1.0, 1.0))
    """
    shared = find_range(kind, float(low.min()), float(high.max()))
    fixed = low.min() >= 0 and shared[1] in (*_UNIT, *_LARGEST)
    if len(low) == 1 or (len(low) in COLOURS and fixed):
        return shared
    ends = [find_range(kind, *pair) for pair in zip(low, high, strict=True)]
    return tuple(a for a, _ in ends), tuple(b for _, b in ends)


def between(ends: Ends) -> str:
    """A range in words.

    Example:
      >>> between((0.0, 4095.0)), between((0.012345, 1.0))
      ('0 to 4095', '0.0123 to 1')
      >>> between(((0.0, 0.0), (1.0, 255.0)))
      '0 to 1, 0 to 255 (by channel)'
    """
    if isinstance(ends[0], (tuple, list)):
        many = [between(pair) for pair in zip(*ends, strict=True)]
        more = ", ..." if len(many) > _FEW else ""
        return f"{', '.join(many[:_FEW])}{more} (by channel)"
    said = (f"{e:.0f}" if e == round(e) and abs(e) < 1e9 else f"{e:.3g}" for e in ends)
    return " to ".join(said)


@dataclasses.dataclass(frozen=True)
class Scale:
    """The ranges that become levels.

    Attributes:
      ranges: kind -> `(low, high)`, see `Ends`.
      window: whether the range was given and so cuts: pixels outside take the level
        of its end. Otherwise they lie outside 0 to 255.
    """

    ranges: Mapping[str, Ends]
    window: bool = False

    @classmethod
    def given(cls, ends: tuple[float, float]) -> Scale:
        """The scale that a user gives, for both kinds."""
        low, high = ends
        return cls(dict.fromkeys(KINDS, (float(low), float(high))), window=True)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Scale:
        """The scale that `to_json` stored."""

        def end(value: Any) -> Any:
            return tuple(value) if isinstance(value, (tuple, list)) else value

        ranges = {k: (end(a), end(b)) for k, (a, b) in stored["ranges"].items()}
        return cls(ranges, stored["window"])

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the record of a source."""
        return {
            "ranges": {kind: list(ends) for kind, ends in self.ranges.items()},
            "window": self.window,
        }

    def by_channel(self, kind: str) -> bool:
        """Whether each channel has its own range."""
        return kind in self.ranges and isinstance(self.ranges[kind][0], tuple)

    def levels(self, values: np.ndarray, kind: str) -> np.ndarray:
        """Levels of pixels.

        Args:
          values: any shape; channels with ranges of their own are the last axis.
          kind: a key of `ranges`.

        Returns:
          Same shape, float32; 0 at the lower end of the range and 255 at the upper.

        Example:
          >>> Scale({"whole": (0, 510)}).levels(np.array([0, 255, 510]), "whole")
          array([  0. , 127.5, 255. ], dtype=float32)
        """
        low, high = (np.asarray(e, np.float64) for e in self.ranges[kind])
        width = np.where(high > low, high - low, 1.0)
        out = (np.asarray(values, np.float64) - low) * (TOP / width)
        out = np.asarray(out, np.float32)
        return np.clip(out, 0, TOP, out=out) if self.window else out

    def refuses(self, kind: str, low: Any, high: Any) -> str | None:
        """Why new pixels do not fit this scale; None if they do.

        Args:
          kind: "whole" or "float".
          low: the smallest pixel, or `[channels]` for ranges by channel.
          high: the largest.
        """
        if kind not in self.ranges:
            return f"its pixels are {KINDS[kind]}, and training had none like that"
        start, end = (np.asarray(e, np.float64) for e in self.ranges[kind])
        much = end - start
        # A little more than training had is new data, much more is another scale.
        fits = np.all(low >= start - much) and np.all(high <= end + much)
        if self.window or fits:
            return None
        found = float(np.min(low)), float(np.max(high))
        return (
            f"its pixels go from {between(found)}, in training "
            f"{KINDS[kind]} were read as {between(self.ranges[kind])}"
        )


def note(
    what: str, kind: str, count: int, found: tuple[float, float], scale: Scale
) -> str:
    """A sentence on the range of the pixels of a kind.

    Args:
      what: "images".
      kind: "whole" or "float".
      count: number of them.
      found: the smallest and the largest pixel.
      scale: their scale.

    Example:
      >>> note("images", "whole", 9, (3.0, 3900.0), Scale({"whole": (0.0, 4095.0)}))
      'pixels of 9 images are whole numbers of more than 8 bits, 3 to 3900: read as \
0 to 4095 (found; --config.data.pixel_range=LOW,HIGH sets another)'
    """
    how = "found; --config.data.pixel_range=LOW,HIGH sets another"
    how = "data.pixel_range" if scale.window else how
    return (
        f"pixels of {count:,} {what} are {KINDS[kind]}, {between(found)}: read as "
        f"{between(scale.ranges[kind])} ({how})"
    )
