"""Invalid arrays and images, and the expected error messages."""

import struct
import zlib

import numpy as np

from tests.own_data import table, to_image, to_npz
from tests.program.wrong_tables import SKIP, Case, X, Y, npz, values

GREY = np.random.default_rng(1).integers(0, 256, (60, 8, 8), np.uint8)
ARRAYS = {
    "objects": npz(
        {"x": np.array([None] * 60), "y": Y},
        r"mine\.npz must be an NPZ file of plain arrays",
        "Python objects, which are never loaded",
        "numpy.savez",
    ),
    "objects beside the data": npz(
        {"x": X, "y": Y, "who": np.array(["a", None] * 30)}, "never loaded"
    ),
    "no inputs": npz({"y": Y}, r"no array 'x'", "it has y", "numpy.savez"),
    "no labels": npz({"x": X}, r"no array 'y' \(data\.label\)", "it has x"),
    "text for inputs": npz(
        {"x": np.array(["a"] * 60), "y": Y}, "'x' must hold numbers", r"\[60\]"
    ),
    "text for labels": npz(
        {"x": X, "y": np.array(["a"] * 60)}, "labels must be numbers", "'y' of .*npz"
    ),
    "images for the model of tables": npz(
        {"x": X.reshape(20, 3, 3), "y": Y[:20]},
        "'images'",
        "got 'mlp'",
        "option images",
    ),
    "five axes": npz(
        {"x": np.zeros((60, 4, 4, 4, 1)), "y": Y},
        r"must hold numbers: a table \[rows, columns\], or images",
        r"float64 \[60, 4, 4, 4, 1\]",
    ),
    "channels that may be first or last": npz(
        {"x": np.zeros((60, 8, 8, 8)), "y": Y},
        r"'x' of .*npz has images of \[8, 8, 8\]",
        r"Set data\.channels_first=True if they come first, or False",
    ),
    "pixels that are not finite": npz(
        {
            "x": np.where(np.arange(60 * 64).reshape(60, 8, 8) == 64 * 7, np.nan, 1.0),
            "y": Y,
        },
        r"pixels must be finite, row 7 of .*npz has NaN or infinite ones",
        SKIP,
    ),
    "a mask of another shape": npz(
        {"x": GREY, "y": 1.0 * GREY, "mask": np.ones((60, 4, 4))},
        r"shape of the labels, \[60, 8, 8\], it has \[60, 4, 4\]",
    ),
    "labels of pixels in four axes": npz(
        {"x": GREY, "y": np.ones((60, 8, 8, 2))},
        r"labels of pixels .* must be \[rows, height, width\], 'y' .* \[60, 8, 8, 2\]",
    ),
    "labels of pixels for the model of images": npz(
        {"x": GREY, "y": 1.0 * GREY},
        r"kind 'dense'",
        "Use 'small_unet'",
        model__name="small_resnet",
    ),
    "unequal lengths": npz(
        {"x": X, "y": Y[:-1]}, "one entry per row", r"x \[60, 3\], y \[59\]"
    ),
    "a split of another length": npz(
        {"x": X, "y": Y, "split": np.zeros(59, int)}, "one entry", r"split \[59\]"
    ),
    "a table of labels for a row": npz(
        {"x": X, "y": np.ones((60, 2, 2))}, "one entry per row", r"y \[60, 2, 2\]"
    ),
    "equal labels in a column": npz(
        {"x": X, "y": np.ones((60, 2))}, "labels must differ", "'y0'"
    ),
    "no rows": npz({"x": np.zeros((0, 3)), "y": np.zeros(0)}, r"mine\.npz", "rows?"),
    "no columns": npz({"x": np.zeros((60, 0)), "y": Y}, r"mine\.npz", "no feature"),
    "a label that is not a number": npz(
        {"x": X, "y": values(59, np.nan)}, "finite", r"row 59 of .*mine\.npz", SKIP
    ),
    "an infinite label": npz(
        {"x": X, "y": values(7, np.inf)}, "finite", r"row 7 of .*inf in 'y'", SKIP
    ),
    "an infinite feature": npz(
        {"x": np.where(X[5, 1] == X, np.inf, X), "y": Y}, "finite", "row 5 of", SKIP
    ),
    "one distinct label": npz({"x": X, "y": np.ones(60)}, "labels must differ"),
    "a number that is no split": npz(
        {"x": X, "y": Y, "split": np.arange(60) // 20 + 1},
        "'split' must hold train, val or test",
        r"row 40 of .*mine\.npz holds '3'",
    ),
    "weights that are text": npz(
        {"x": X, "y": Y, "w": np.array(["a"] * 60)},
        "weights?.* must be numbers",
        "'w'",
        data__weight="w",
    ),
    "two weights a row": npz(
        {"x": X, "y": Y, "w": np.ones((60, 2))},
        "one entry per row",
        r"w \[60, 2\]",
        data__weight="w",
    ),
    "a weight that is not there": npz(
        {"x": X, "y": Y}, r"no array 'w' \(data\.weight\)", data__weight="w"
    ),
    "a split that is not there": npz(
        {"x": X, "y": Y}, r"no array 'fold' \(data\.split\)", data__split="fold"
    ),
    "cut off": npz(to_npz(x=X, y=Y)[:900], r"mine\.npz must be an NPZ file"),
    "damaged": npz(
        to_npz(x=X, y=Y)[:600] + bytes(40) + to_npz(x=X, y=Y)[640:],
        r"mine\.npz must be an NPZ file",
    ),
    "zero bytes": npz(b"", r"mine\.npz must be an NPZ file", "numpy.savez"),
    "text": npz(table().encode(), r"mine\.npz must be an NPZ file", "numpy.savez"),
}


def huge_png() -> bytes:
    """A PNG file whose header claims ten billion pixels, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rows + chunk(b"IEND", b"")


PICTURES = {f"{i}.png": to_image(np.full((5, 6), 4 * i, np.uint8)) for i in range(30)}
LISTED = [f"{name},{i % 6}" for i, name in enumerate(PICTURES)]
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)


def images(
    *said: str, rows=LISTED, header="path,label", path="folder", fields=None, **files
) -> Case:
    named = {f"folder/{name.replace('__', '.')}": c for name, c in files.items()}
    pictures = {f"folder/{name}": content for name, content in PICTURES.items()}
    given = {"folder/labels.csv": table(rows, header)} | pictures | named
    return Case(given, said, fields or {}, "images", path)


def listed(row: str) -> list[str]:
    """The rows with the last one, row 31, replaced."""
    return [*LISTED[:-1], row]


UNREADABLE = ("images must be readable", r"row 31 of .*labels\.csv", SKIP)
IMAGES = {
    "a missing folder": images(
        r"data\.path must be a file or folder", "none does not exist", path="none"
    ),
    "no table": Case(
        {f"folder/{name}": content for name, content in PICTURES.items()},
        ("must hold one table of paths and labels", "it has none", r"data\.path"),
        config="images",
        path="folder",
    ),
    "two tables": images(
        "must hold one table", r"labels\.csv, other\.csv", other__csv="path,label\n"
    ),
    "no column of paths": images(
        r"labels\.csv has no column 'path' \(data\.input\)",
        "it has number, label",
        header="number,label",
        rows=["1,20", "2,30"],
    ),
    "no column of labels": images(
        r"no column 'label' \(data\.label\)", "it has path, age", header="path,age"
    ),
    "a path that is missing": images(
        r"row 31 of .*labels\.csv has no 'path'", SKIP, rows=listed(",3")
    ),
    "an image that is missing": images(
        *UNREADABLE, r"none\.png", "No such file", rows=listed("none.png,3")
    ),
    "a folder for an image": images(
        *UNREADABLE, "Is a directory", rows=listed("../folder,3")
    ),
    "a zero-byte image": images(
        *UNREADABLE, r"bad\.png", "empty", rows=listed("bad.png,3"), bad__png=b""
    ),
    "text for an image": images(
        *UNREADABLE, "not know its format", rows=listed("bad.png,3"), bad__png=b"hello"
    ),
    "an image that is cut off": images(
        *UNREADABLE,
        "truncated",
        rows=listed("bad.png,3"),
        bad__png=to_image(NOISE)[:-900],
    ),
    "a photo that is cut off": images(
        *UNREADABLE,
        "truncated",
        rows=listed("bad.jpg,3"),
        bad__jpg=to_image(NOISE, "JPEG")[:-300],
    ),
    "a huge image": images(
        *UNREADABLE, "pixels", rows=listed("bad.png,3"), bad__png=huge_png()
    ),
    "a label that is not a number": images(
        "labels must be finite", "row 31 of", "'label'", rows=listed("0.png,nan")
    ),
    "two channels": images(
        r"data\.channels must be 0 or 1 or 3",
        "got 2",
        fields={"data__channels": 2},
    ),
    "images of no size": images(
        r"data\.image_size must be at least 1",
        "got 0",
        fields={"data__image_size": 0},
    ),
    "images that fit into no memory": images(
        r"data\.image_size must be at most 32,768 pixels, .* memory",
        "got 1000000",
        fields={"data__image_size": 10**6},
    ),
    "a crop that is larger than the images": images(
        r"data\.augment\.crop must be .* below the 8 x 8 pixels",
        "got 8",
        fields={"data__augment__crop": 8, "data__image_size": 8},
    ),
    "two views that are equal": images(
        r"stage\.main\.views \(or data\.views\) must be 1 .*, got 2",
        "equal copies",
        r"Set --config\.data\.augment\.crop=2",
        fields={"data__views": 2, "data__image_size": 8},
    ),
    "a model of tables": images(
        r"model\.name must be a model for inputs of kind 'images'",
        "got 'mlp'",
        "Use 'small_resnet'",
        fields={"model__name": "mlp"},
    ),
}
