"""Reads image files into one array, in threads, and finds what they have in common.

The range of pixels of more than 8 bits, colours and transparency are those of a whole
data set, see `formats.levels` and `formats.decoding`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.data import fingerprints, row_checks
from dirjax.data.formats import levels
from dirjax.data.formats.decoding import (
    ALPHA,
    Picture,
    Reading,
    Unreadable,
    decode,
    in_threads,
)
from dirjax.data.formats.pictures import Pictures
from dirjax.errors import InputError


class Pixels(NamedTuple):
    """Images of a data set.

    Attributes:
      array: `[rows, height, width, channels]` uint8 or float32 levels (see
        `formats.levels`), zeros for missing images; or `Pictures` that decode on
        access.
      reading: how image files became these pixels, and will become others like them.
    """

    array: np.ndarray | Pictures
    reading: Reading


def decode_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    reading: Reading,
    progress: str = "",
) -> Iterable[Picture | Unreadable]:
    """Decodes images in threads, in order.

    Args:
      names: arguments of `read`.
      read: returns the content of a file; may raise OSError.
      reading: see `decode`.
      progress: title of a progress bar; empty for none.

    Yields:
      A picture for each, or the reason why there is none.
    """
    yield from in_threads(
        names, lambda name: decode(read(name), reading), progress=progress
    )


@dataclasses.dataclass
class _Seen:
    """What the images of a data set have.

    Attributes:
      channels: of the image with most of them.
      kind: `[rows]` str, see `levels.kind_of`.
      low: `[rows]` smallest pixels, see `Picture`.
      high: `[rows]` largest pixels.
      transparent: number of images with transparent pixels.
      frames: number of images with further pages or frames.
      broken: position -> reason why there is no image.
    """

    channels: int
    kind: np.ndarray
    low: np.ndarray
    high: np.ndarray
    transparent: int = 0
    frames: int = 0
    broken: dict[int, str] = dataclasses.field(default_factory=dict)

    def add(self, i: int, picture: Picture) -> None:
        """Adds the image of a row."""
        self.channels = max(self.channels, picture.pixels.shape[-1])
        self.kind[i], self.low[i], self.high[i] = picture[1:4]
        self.transparent += picture.transparent
        self.frames += picture.frames > 1

    def scale(self, given: levels.Scale | None) -> levels.Scale | None:
        """The given scale, or the one of these images; None if all have 8 bits."""
        kinds = sorted({*self.kind.tolist()} - {""})
        if given or not kinds:
            return given
        return levels.Scale(
            {
                kind: levels.find_range(
                    kind,
                    float(self.low[self.kind == kind].min()),
                    float(self.high[self.kind == kind].max()),
                )
                for kind in kinds
            }
        )

    def notes(self, reading: Reading) -> Iterator[str]:
        """Sentences on what was found, for the person who trains."""
        for kind in sorted({*self.kind.tolist()} - {""}):
            assert reading.scale
            here, ends = self.kind == kind, reading.scale.ranges[kind]
            found = float(self.low[here].min()), float(self.high[here].max())
            yield levels.note("images", kind, int(here.sum()), found, reading.scale)
            cut = int(((self.low < ends[0]) | (self.high > ends[1]))[here].sum())
            if cut:
                yield f"{cut:,} of them have pixels outside, which are cut to its ends"
        if self.transparent:
            yield f"{self.transparent:,} images are transparent in part: " + (
                "their alpha channel is the picture (data.ground)"
                if reading.ground == ALPHA
                else f"they are laid on {reading.ground} (--config.data.ground=alpha "
                "takes the alpha channel as the picture)"
            )
        if self.frames:
            yield f"{self.frames:,} images have several pages; the first is read"


def _collect(
    found: Iterable[Picture | Unreadable],
    count: int,
    reading: Reading,
    memory: float,
) -> tuple[np.ndarray | None, _Seen]:
    """Stacks images, as long as they fit into `memory` GiB, and notes what they have.

    Returns:
      `[count, height, width, channels]`, pixels as in `Picture`; None if they do not
      fit.

    Raises:
      InputError: if they do not fit into the memory there is.
    """
    size = math.prod(reading.size) * (reading.channels or 3) * count
    kind, (low, high) = np.full(count, "", "<U8"), np.zeros((2, count))
    seen = _Seen(reading.channels, kind, low, high)
    out: np.ndarray | None = None
    try:
        if size <= memory * 2**30:
            out = np.zeros((count, *reading.size, reading.channels or 1), np.uint8)
        for i, picture in enumerate(found):
            if isinstance(picture, Unreadable):
                seen.broken[i] = str(picture)
                continue
            seen.add(i, picture)
            if out is None:
                continue
            if out.dtype == np.uint8 and picture.kind:  # The first of more bits.
                out = out.astype(np.float32) if 4 * size <= memory * 2**30 else None
                if out is None:
                    continue
            if picture.pixels.shape[-1] > out.shape[-1]:  # The first colour image.
                out = np.repeat(out, 3, axis=-1)
            out[i] = picture.pixels
    except MemoryError as error:
        raise InputError(
            f"{count:,} images of {reading.size[0]} x {reading.size[1]} pixels do not "
            "fit into memory. Set a smaller --config.data.image_size."
        ) from error
    seen.channels = seen.channels or 1
    return out, seen


def read_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    rows: row_checks.Rows,
    place: Callable[[int], str],
    reading: Reading,
    *,
    memory: float = math.inf,
    progress: str = "",
) -> Pixels:
    """Reads images into one array and refuses rows with unreadable images.

    Args:
      names: arguments of `read`, one for each row.
      read: see `decode_all`.
      rows: the rows; they get notes on depth and transparency.
      place: name of a row's image, for messages.
      reading: how to read them. Without channels, there are 3 if any image has colour;
        without a scale, that of these images is found, see `formats.levels`.
      memory: largest size of an array in GiB; beyond it, images are decoded on access.
      progress: see `decode_all`.

    Returns:
      The pixels, and the reading with what was found.

    Raises:
      InputError: naming the image, unless bad rows are skipped.
    """
    digests = np.zeros(len(names), np.uint64)

    def noted(i: int) -> bytes:
        content = read(names[i])
        digests[i] = fingerprints.of_file(content)
        return content

    found = decode_all(range(len(names)), noted, reading, progress)
    array, seen = _collect(found, len(names), reading, memory)
    known = dataclasses.replace(
        reading, channels=seen.channels, scale=seen.scale(reading.scale)
    )
    pixels: np.ndarray | Pictures
    if array is None:

        def again(i: int) -> np.ndarray:
            try:
                return decode(read(names[i]), known).pixels
            except (Unreadable, OSError) as error:
                raise InputError(
                    f"images must not change during a run, {place(i)} was readable "
                    f"before and is not now: {error}. Restore it and run the same "
                    "command again."
                ) from error

        deep = bool((seen.kind != "").any())
        shape = (*known.size, known.channels)
        dtype = np.dtype(np.float32 if deep else np.uint8)
        pixels = Pictures(again, np.arange(len(names)), shape, dtype, digests)
    else:
        pixels = array
        if known.scale and not reading.scale:
            for i in np.flatnonzero(seen.kind != "").tolist():
                pixels[i] = known.scale.levels(pixels[i], str(seen.kind[i]))
    rows.notes += seen.notes(known)
    rows.refuse(
        "unreadable image",
        np.isin(np.arange(len(names)), list(seen.broken)),
        lambda i: f"images must be readable, {place(i)} is not: {seen.broken[i]}",
    )
    return Pixels(pixels, known)


def reading_of(
    size: int,
    channels: int,
    fit: str,
    ground: str,
    pixel_range: tuple[float, float] | None,
) -> Reading:
    """The reading for a square size and a range, given or None; see `Reading`."""
    scale = levels.Scale.given(pixel_range) if pixel_range else None
    return Reading((size, size), channels, fit, ground, scale)
