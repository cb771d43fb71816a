"""Data: sources in host memory, step-indexed streams, preprocessing."""

from __future__ import annotations

from typing import Any

from dirjax.data import sources
from dirjax.data.sources import Source, Split
from dirjax.data.stream import Stream, eval_batches

__all__ = ["Source", "Split", "Stream", "eval_batches", "load"]


def load(
    name: str, *, path: str | None = None, skew: float = 0.0, **options: Any
) -> Source:
    """Loads a data set by name.

    Args:
      name: "bikeshare", "mnist5k" (embedded) or "diamonds".
      path: file of the data, where it is not embedded.
      skew: of the training angles, for the rotated digits.
      **options: see `sources.table` and `labels.spec`.

    Returns:
      The source.

    Raises:
      InputError: if the data is missing or not as expected.
    """
    file = sources.locate(name, path)
    if name == "mnist5k":
        # The rest is about columns, of which images have none.
        bins = ("bin_width", "label_range", "dtype", "many", "few", "shot_lists")
        keep = ("label", "limit", "seed", *bins)
        options = {k: v for k, v in options.items() if k in keep}
        return sources.images(name, file, skew=skew, **options)
    return sources.table(name, file, **options)
