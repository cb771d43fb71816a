"""Decodes image files of any mode and size into arrays, in threads.

`fit` sets how an image becomes square:

  stretch: resize both sides; the aspect ratio changes.
  cover: resize the shorter side, then crop the centre of the longer one.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dirjax.data.formats.pictures import threads

_MAX_PIXELS = 1 << 27  # per file, before resizing
_MAX_ASPECT = 64  # longer to shorter side of an image to crop


class Unreadable(ValueError):
    """A file is not a readable image; the message says why."""


def opened(data: bytes) -> Any:
    """Opens an upright `PIL.Image.Image` with its pixels loaded.

    Raises:
      Unreadable: if it cannot be decoded, or is huge.
    """
    from PIL import Image, ImageOps

    if not data:
        raise Unreadable("it is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning about large images
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > _MAX_PIXELS:
                raise Unreadable(
                    f"it has {image.width} x {image.height} pixels, more than "
                    f"{_MAX_PIXELS:,}"
                )
            image = ImageOps.exif_transpose(image)
            image.load()
    except Unreadable:
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable(f"it has more than {_MAX_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's plugins raise many types
        why = (str(error) or type(error).__name__).rstrip(". ")
        why = "Pillow does not know its format" if "identify" in why else why
        raise Unreadable(why) from error
    return image


def decode(
    data: bytes, size: tuple[int, int], channels: int, fit: str = "stretch"
) -> np.ndarray:
    """Decodes one image into an array.

    Args:
      data: the content of an image file.
      size: `(height, width)` of the result.
      channels: 1 for grey, 3 for RGB, 0 for 1 or 3, depending on the image.
      fit: "stretch" or "cover", see the module; "cover" needs a square size.

    Returns:
      `[height, width, channels]` uint8.

    Raises:
      Unreadable: see `opened`.
    """
    from PIL import Image

    image = opened(data)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float64)
        if image.mode.startswith("I"):
            values = values / 257.0  # 65535 -> 255
        image = Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
    grey = image.mode in ("1", "L", "LA", "La")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
    image = image.convert("L" if channels == 1 or (not channels and grey) else "RGB")
    height, width = size
    if fit == "cover":
        width, height = _covering(image.size, height)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if image.size != size[::-1]:
        left, top = (
            round((now - then) / 2)
            for now, then in zip(image.size, size[::-1], strict=True)
        )
        image = image.crop((left, top, left + size[1], top + size[0]))
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def _covering(now: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height with shorter side `side`, rounded as in torchvision."""
    short, long = sorted(now)
    if long > _MAX_ASPECT * short:
        raise Unreadable(f"it has {now[0]} x {now[1]} pixels, too narrow to crop")
    other = int(side * long / short)
    return (side, other) if now[0] <= now[1] else (other, side)


def in_threads(
    names: Sequence[Any], make: Callable[[Any], Any], *, progress: str = ""
) -> Iterable[Any]:
    """Calls `make` for each name in threads; yields in order.

    Args:
      names: arguments of `make`.
      make: may raise OSError and `Unreadable`.
      progress: title of a progress bar; empty for none.

    Yields:
      The result, or the `Unreadable` error.
    """

    def one(name):
        try:
            return make(name)
        except Unreadable as error:
            return error
        except OSError as error:
            return Unreadable(error.strerror or str(error))

    from tqdm import tqdm

    # In chunks, so that results do not pile up.
    step = 1024
    bar = tqdm(
        total=len(names),
        desc=progress,
        unit="image",
        disable=not progress or not sys.stderr.isatty(),
    )
    with bar:
        for start in range(0, len(names), step):
            for out in threads().map(one, names[start : start + step]):
                bar.update()
                yield out
