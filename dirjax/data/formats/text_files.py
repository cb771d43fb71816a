"""Opens text files as UTF-8: plain, gzip or zip, UTF-8, UTF-16 or Windows-1252."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import pathlib
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from dirjax.errors import InputError

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_BLOCK = 1 << 24
_ASCII = bytes(range(0x80))
# Bytes of Windows-1252 that hardly mean anything else: letters and signs of Latin-1,
# the euro, dots, quotation marks and dashes.
_WESTERN = frozenset(range(0xA0, 0x100)) | {0x80, 0x85} | set(range(0x91, 0x98))


class Encoding(NamedTuple):
    """How a file stores its text.

    Attributes:
      codec: Python's name of the encoding.
      note: what a reader should know; empty for nothing.
    """

    codec: str
    note: str = ""


def starts_with(file: pathlib.Path, magic: bytes) -> bool:
    """Whether a file starts with these bytes."""
    with file.open("rb") as stream:
        return stream.read(len(magic)) == magic


def members(file: pathlib.Path) -> list[str]:
    """Names of the files in a zip archive; none if it is no archive.

    What a Mac leaves beside the files does not count.
    """
    if not starts_with(file, _ZIP):
        return []
    try:
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error
    return [
        name
        for name in names
        if not any(p.startswith((".", "__MACOSX")) for p in name.split("/"))
    ]


def packing(file: pathlib.Path) -> str:
    """How a file is compressed: "gzip", "zip" or "" by its first bytes."""
    if starts_with(file, _GZIP):
        return "gzip"
    return "zip" if starts_with(file, _ZIP) else ""


@contextlib.contextmanager
def unpacked(file: pathlib.Path) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed; of an archive, those of its only file."""
    packed = packing(file)
    if packed == "zip":
        (name,) = members(file)
        with zipfile.ZipFile(file) as archive, archive.open(name) as stream:
            yield stream  # type: ignore[misc]
    elif packed == "gzip":
        with gzip.open(file) as stream:
            yield stream  # type: ignore[misc]
    else:
        with file.open("rb") as stream:
            yield stream


class _Utf8(io.RawIOBase):
    """A stream of bytes in another encoding, as UTF-8."""

    def __init__(self, stream: BinaryIO, codec: str):
        self._stream = stream
        self._decode = codecs.getincrementaldecoder(codec)().decode
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[override]
        while not self._left:
            block = self._stream.read(1 << 16)
            self._left = self._decode(block, not block).encode()
            if not block:
                break
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


@contextlib.contextmanager
def opened(file: pathlib.Path, encoding: Encoding) -> Iterator[BinaryIO]:
    """The text of a file as bytes in UTF-8, without a byte-order mark.

    Raises:
      InputError: if the file cannot be read.
    """
    try:
        with unpacked(file) as stream:
            if encoding.codec == "utf-8":
                yield stream
            else:
                yield io.BufferedReader(_Utf8(stream, encoding.codec), 1 << 16)
    except UnicodeError as error:
        raise InputError(
            f"{file} must be a CSV file, it looks like {encoding.codec} and is not: "
            f"{error}. Save it as UTF-8, or give another file."
        ) from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error


def _wide(head: bytes) -> str:
    """UTF-16 by its byte-order mark, or by zero bytes at every other place."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0:400:2], head[1:400:2]
    for zeros, others, codec in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        text = min(others, default=0) >= ord("\t")
        if zeros and zeros.count(0) > 0.8 * len(zeros) and text:
            return codec
    return ""


def detect(file: pathlib.Path) -> Encoding:
    """Finds how a file stores its text.

    Args:
      file: the file, which is read whole.

    Raises:
      InputError: if it is empty, no text, in an encoding that cannot be told, or an
        archive of several files.
    """
    if packing(file) == "zip":
        names = members(file)
        if len(names) != 1:
            raise InputError(
                f"an archive must hold one file, {file} holds {len(names)}: "
                f"{', '.join(names[:5])}. Unpack it and give one of them."
            )
    try:
        with unpacked(file) as stream:
            return _detect(file, stream)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error


def _detect(file: pathlib.Path, stream: BinaryIO) -> Encoding:
    block = stream.read(_BLOCK)
    if not block.strip():
        raise InputError(
            f"{file} must be a CSV file with a header, it is empty. Give another file."
        )
    wide = _wide(block)
    if wide:
        return Encoding(wide, f"the text of {file.name} is read as UTF-16")
    if b"\0" in block[: 1 << 16]:
        raise InputError(
            f"{file} must be a CSV file in UTF-8, it has zero bytes, like binary "
            "files. Save it as UTF-8, or give another file."
        )
    marked = block.startswith(codecs.BOM_UTF8)
    decoder = codecs.getincrementaldecoder("utf-8")()
    row, others, first = 1, set(), 0
    while block:
        if not first:
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                # The rest of the previous block holds no line end.
                first = row + error.object[: error.start].count(b"\n")
                odd = error.object[error.start]
        others |= set() if block.isascii() else set(block.translate(None, _ASCII))
        row += block.count(b"\n")
        block = stream.read(_BLOCK)
    if not first:
        return Encoding("utf-8-sig" if marked else "utf-8")
    if others <= _WESTERN and not marked:
        return Encoding(
            "cp1252",
            f"the text of {file.name} is no UTF-8, and is read as Windows-1252",
        )
    raise InputError(
        f"{file} must be a CSV file in UTF-8, row {first} is not (byte {odd:#04x}). "
        "Save it as UTF-8: iconv -f OLD_ENCODING -t utf8 OLD > NEW."
    )
