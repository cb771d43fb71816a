"""Decodes image files of any mode, size and depth into arrays, in threads.

`fit` sets how an image becomes square:

  stretch: resize both sides; the aspect ratio changes.
  cover: resize the shorter side, then crop the centre of the longer one.

`ground` is the colour under transparent pixels, by name or as #rrggbb; or "alpha" if
the alpha channel is the picture, as of a mask or of ink on nothing.

Pixels of more than 8 bits keep their values until the range of a data set is known, see
`levels`. Pillow reads colours of 16 bits as 8, which leaves 16 levels of pictures with
12; so TensorFlow decodes such PNG files, and such TIFF files are refused, as are those
that Pillow does not read or whose sign it ignores (colours of floats, 8 bits signed).
"""

from __future__ import annotations

import dataclasses
import io
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.data.formats import levels
from dirjax.data.formats.pictures import threads

# Names of image files end in one of these.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_MAX_PIXELS = 1 << 27  # per file, before resizing
_MAX_ASPECT = 64  # longer to shorter side of an image to crop
# Of `ground`: the alpha channel is the picture.
ALPHA = "alpha"
# Shares of red, green and blue in grey, as in Pillow.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Tags of TIFF, and names of what the last says.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_SIGNED, _FORMS = 2, {1: "whole numbers", 2: "signed numbers", 3: "floats"}
_TIFF = (b"II*\0", b"MM\0*")


class Unreadable(ValueError):
    """A file is not a readable image; the message says why."""


def opened(data: bytes) -> Any:
    """Opens an upright `PIL.Image.Image` with its pixels loaded.

    Raises:
      Unreadable: if it cannot be decoded, or is huge.
    """
    return _opened(data)[0]


class _Samples(NamedTuple):
    """Channels of a TIFF file; of other files, 8 bits without a sign.

    Attributes:
      bits: of each channel.
      form: what their numbers are, a key of `_FORMS`.
      white: whether 0 is white.
    """

    bits: tuple[int, ...] = (8,)
    form: int = 1
    white: bool = False

    @classmethod
    def of_tags(cls, tags: Mapping[int, Any]) -> _Samples:
        """The channels that the tags of a file tell."""
        form = tags.get(_SAMPLE_FORMAT, (1,))[0]
        white = tags.get(_PHOTOMETRIC, 1) == 0
        return cls(tags.get(_BITS_PER_SAMPLE, (8,)), form, white)

    def said(self) -> str:
        """The beginning of a sentence on a file."""
        channels = f"{len(self.bits)} channel{'s' * (len(self.bits) > 1)}"
        what = _FORMS.get(self.form, "numbers")
        return f"it is a TIFF file of {channels} with {what} of {max(self.bits)} bits"


def _unknown(data: bytes) -> str:
    """Why Pillow knows no image in a file."""
    from PIL import TiffImagePlugin

    if data[:4] in _TIFF:
        stream = io.BytesIO(data)
        try:
            tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
            stream.seek(tags.next)
            tags.load(stream)
            said = _Samples.of_tags(tags).said()
        except Exception:  # as many types as above
            said = "its header of TIFF is damaged"
        return f"{said}, which Pillow does not read: save all images as arrays in NPZ"
    return "Pillow does not know its format"


def _opened(data: bytes) -> tuple[Any, int, _Samples]:
    """The same with the number of frames, and the channels of a TIFF file."""
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
            frames = getattr(image, "n_frames", 1)
            samples = _Samples.of_tags(getattr(image, "tag_v2", {}))
            image = ImageOps.exif_transpose(image)
            image.load()
    except Unreadable:
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable(f"it has more than {_MAX_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's plugins raise many types
        why = (str(error) or type(error).__name__).rstrip(". ")
        raise Unreadable(_unknown(data) if "identify" in why else why) from error
    return image, frames, samples


def is_ground(text: str) -> bool:
    """Whether a text is a colour that Pillow knows, or "alpha".

    Example:
      >>> is_ground("white"), is_ground("#ff8000"), is_ground("snowish")
      (True, True, False)
    """
    from PIL import ImageColor

    try:
        return text == ALPHA or len(ImageColor.getrgb(text)) == 3
    except ValueError:
        return False


class Picture(NamedTuple):
    """A decoded image, and what its file had.

    Attributes:
      pixels: `[height, width, channels]`: uint8 levels, or float32: levels if the scale
        is known, otherwise as in the file.
      kind: see `levels.kind_of`.
      low: smallest pixel of the file, of pixels that are not uint8.
      high: largest pixel.
      transparent: whether a pixel is transparent, in part at least.
      frames: number of pages or frames, of which this is the first.
    """

    pixels: np.ndarray
    kind: str = ""
    low: float = 0.0
    high: float = 0.0
    transparent: bool = False
    frames: int = 1


@dataclasses.dataclass(frozen=True)
class Reading:
    """How image files become arrays.

    Attributes:
      size: `(height, width)` of the result.
      channels: 1 for grey, 3 for RGB, 0 for 1 or 3, depending on the image.
      fit: "stretch" or "cover", see the module; "cover" needs a square size.
      ground: see the module.
      scale: the levels of pixels of more than 8 bits; None leaves them as they are.
    """

    size: tuple[int, int]
    channels: int = 0
    fit: str = "stretch"
    ground: str = "white"
    scale: levels.Scale | None = None


def decode(data: bytes, reading: Reading) -> Picture:
    """Decodes one image.

    Args:
      data: the content of an image file.
      reading: how.

    Raises:
      Unreadable: see `opened`; also if pixels are not finite or do not fit the scale,
        or if the picture is alpha and there is none.
    """
    image, frames, samples = _opened(data)
    found = _deep(data, image, samples)
    shallow = found is None
    picture = _shallow(image, reading) if shallow else _levelled(found, reading)
    return picture._replace(frames=frames)


def _shallow(image: Any, reading: Reading) -> Picture:
    """A picture of 8 bits."""
    from PIL import Image, ImageColor

    grey = image.mode in ("1", "L", "LA", "La")
    transparent = False
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        transparent = alpha.getextrema()[0] < levels.TOP
        if reading.ground == ALPHA:
            image, grey = alpha, True
        else:
            colour = ImageColor.getrgb(reading.ground)
            ground = Image.new("RGBA", image.size, (*colour, levels.TOP))
            image = Image.alpha_composite(ground, image).convert("RGB")
            grey &= not transparent or len(set(colour)) == 1
    elif reading.ground == ALPHA:
        raise _no_alpha()
    one = reading.channels == 1 or (not reading.channels and grey)
    array = np.asarray(_squared(image.convert("L" if one else "RGB"), reading))
    array = array[..., None] if array.ndim == 2 else array
    return Picture(array, transparent=transparent)


def _no_alpha() -> Unreadable:
    return Unreadable("it has no alpha channel, which data.ground takes as the picture")


def _deep(data: bytes, image: Any, samples: _Samples) -> np.ndarray | None:
    """`[height, width, 1 to 4]` pixels of more than 8 bits, None if they have 8."""
    if image.mode.startswith(("I", "F")):
        pixels = np.asarray(image)
        if samples[:2] == ((32,), 1):  # Pillow takes the highest bit for a sign.
            pixels = pixels.view(np.uint32)
        if samples.white and pixels.dtype.kind == "u":  # Pillow turns 8 bits alone.
            pixels = np.iinfo(pixels.dtype).max - pixels
        return pixels[..., None]
    # Bit depth and colour type of PNG.
    if data.startswith(b"\x89PNG") and data[24] == 16 and data[25] in (2, 4, 6):
        import tensorflow as tf

        return tf.io.decode_png(data, dtype=tf.uint16).numpy()
    if max(samples.bits) > 8:
        raise Unreadable(
            f"{samples.said()}, which Pillow cuts to 8: save it as PNG, or all images "
            "as arrays in NPZ"
        )
    if samples.form == _SIGNED:
        raise Unreadable(
            f"{samples.said()}, whose sign Pillow ignores: save all images as arrays "
            "in NPZ"
        )
    return None


def _levelled(found: np.ndarray, reading: Reading) -> Picture:
    """A picture of more than 8 bits, `[height, width, channels]`."""
    from PIL import Image, ImageColor

    kind = levels.kind_of(found.dtype)
    values = found.astype(np.float32)
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise Unreadable(f"{bad:,} of its pixels are NaN or infinite")
    colours, alpha = values, None
    if values.shape[-1] in (2, 4):
        colours, alpha = values[..., :-1], values[..., -1:] / 65535
    if reading.ground == ALPHA:
        if alpha is None:
            raise _no_alpha()
        colours = 65535 * alpha
    elif alpha is not None and (alpha < 1).any():
        # A file with alpha has 16 bits in all of its channels.
        ground = np.asarray(ImageColor.getrgb(reading.ground), np.float32) * 257
        if colours.shape[-1] == 1 and len(set(ground.tolist())) == 1:
            ground = ground[:1]
        colours = alpha * colours + (1 - alpha) * ground
    if reading.channels == 1 and colours.shape[-1] == 3:
        colours = (colours @ _LUMA)[..., None]
    low, high = float(colours.min()), float(colours.max())
    if reading.scale is not None:
        why = reading.scale.refuses(kind, low, high)
        if why:
            raise Unreadable(why)
        if reading.scale.window:  # It cuts pixels, not their means.
            colours = reading.scale.levels(colours, kind)
    bands = [
        np.asarray(_squared(Image.fromarray(band), reading))
        for band in np.moveaxis(np.ascontiguousarray(colours), -1, 0)
    ]
    array = np.stack(bands * 3 if len(bands) < reading.channels else bands, axis=-1)
    if reading.scale is not None and not reading.scale.window:
        array = reading.scale.levels(array, kind)
    transparent = alpha is not None and bool((alpha < 1).any())
    return Picture(array, kind, low, high, transparent)


def _squared(image: Any, reading: Reading) -> Any:
    """A Pillow image of the wanted size."""
    from PIL import Image

    height, width = size = reading.size
    if reading.fit == "cover":
        width, height = _covering(image.size, height)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if image.size != size[::-1]:
        left, top = (
            round((now - then) / 2)
            for now, then in zip(image.size, size[::-1], strict=True)
        )
        image = image.crop((left, top, left + size[1], top + size[0]))
    return image


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
