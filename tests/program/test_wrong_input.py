"""Wrong input of one's own: exit 2, one sentence, and nothing on disk has changed.

What concerns flags alone is in test_config.py, test_cli.py and test_train.py.
"""

import datetime
import gzip
import json
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests import commands, own_data, runs
from tests.own_data import HEADER, ROWS, changed, table, to_image, to_npz, to_parquet

SKIP = r"--config\.data\.on_bad=skip"
ANOTHER = r"Give another file\.$"
SPLIT = tuple(f"{row},{'train' if i % 3 else 'test'}" for i, row in enumerate(ROWS))
# Enough for a compressed file of some blocks.
LONG = table([f"{i * 0.37 % 1:.9f},r,{i % 10}" for i in range(30_000)])


class Case(NamedTuple):
    """Files that are wrong, and what has to be said of them.

    Attributes:
      files: name -> content.
      said: patterns that the sentence must have: what was expected, what came and
        where, what to do.
      fields: of the config, paths with `__` for dots.
      config: name of the config file.
      path: what is given as data.path; by default the first file.
    """

    files: Mapping[str, str | bytes]
    said: tuple[str, ...]
    fields: Mapping[str, Any] = {}
    config: str = "csv"
    path: str = ""


def csv(text: str | bytes, *said: str, name="mine.csv", **fields) -> Case:
    return Case({name: text}, said, fields)


def parquet(*said: str, fields: Mapping[str, Any] | None = None, **columns) -> Case:
    columns = {"x": np.arange(60) / 7, "y": np.arange(60) % 10} | columns
    return Case({"mine.parquet": to_parquet(**columns)}, said, fields or {})


def npz(content: Mapping[str, Any] | bytes, *said: str, **fields) -> Case:
    given = content if isinstance(content, bytes) else to_npz(**content)
    return Case({"mine.npz": given}, said, fields, "npz")


def values(i: int, x: Any) -> np.ndarray:
    """Labels of an NPZ file with one of them changed."""
    y = np.arange(60) % 10.0
    y[i] = x
    return y


X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.arange(60) % 10.0

TABLES = {
    "a missing file": Case(
        {"mine.csv": table()},
        (r"data\.path must be a file", r"none\.csv does not exist", "Check the path"),
        path="none.csv",
    ),
    "a folder for a table": Case(
        {"folder/mine.csv": table()},
        (r"data\.path must be a file", "folder is a folder", r"configs/images\.py"),
        path="folder",
    ),
    "no path": Case(
        {},
        (r"data\.path is missing", r"--config\.data\.path="),
        {"data__path": None},
    ),
    "no label named": csv(
        table(),
        r"config\.data\.label must be given",
        "got None",
        r"--config\.data\.label=",
        data__label=None,
    ),
    "a label of another name": csv(
        table(),
        r"no column 'Y' \(data\.label\)",
        "it has x, color, y",
        "Did you mean 'y'",
        data__label="Y",
    ),
    "a numeric column that is not there": csv(
        table(),
        r"mine\.csv has no column 'price' \(data\.numeric\)",
        "it has x, color, y",
        data__numeric=("price",),
    ),
    "a categorical column that is not there": csv(
        table(),
        r"no column 'colour' \(data\.categorical\)",
        "Did you mean 'color'",
        data__categorical=("colour",),
    ),
    "a column to drop that is not there": csv(
        table(), r"no column 'id' \(data\.drop\)", data__drop=("id",)
    ),
    "a weight that is not there": csv(
        table(), r"no column 'w' \(data\.weight\)", data__weight="w"
    ),
    "a table that is augmented": csv(
        table(),
        r"data\.augment must be off for a table",
        "crop=2",
        "Leave it out",
        data__augment__crop=2,
    ),
    "two views of a table": csv(
        table(), r"data\.views\) must be 1 for a table, got 2", data__views=2
    ),
    # The default name may be missing; one that was given may not.
    "a split that is not there": csv(
        table(),
        r"no column 'fold' \(data\.split\)",
        "it has x, color, y",
        data__split="fold",
    ),
    "a duplicate column": csv(
        "x,x,y\n1,2,3\n", "different names", r"mine\.csv has 'x' 2 times", "Rename"
    ),
    "a duplicate but for blanks": csv(
        "x, x,y\n1,2,3\n", "different names", "'x' 2 times", "Rename"
    ),
    "a column without a name": csv(
        "x,,y\n1,2,3\n", "must have names", r"column 2 of .*mine\.csv", "Name it"
    ),
    "a row that is too short": csv(
        changed(5, "0.1,r"),
        "the 3 cells of the header",
        r"row 5 of .*mine\.csv has 2",
        SKIP,
    ),
    "a row that is too long": csv(
        changed(9, "0.1,r,1,7"),
        "the 3 cells of the header",
        r"row 9 of .*mine\.csv has 4",
        SKIP,
    ),
    "a last row that is cut off": csv(
        changed(61, "0.1"), "3 cells", r"row 61 of .*mine\.csv has 1", SKIP
    ),
    "text in a numeric column": csv(
        changed(61, "?,r,1"),
        "'x' must hold numbers",
        r"row 61 of .*mine\.csv has '\?'",
        r"data\.missing, or name 'x' in data\.categorical",
        SKIP,
    ),
    "text in a column that was named numeric": csv(
        table(),
        "'color' must hold numbers",
        r"row 2 of .*mine\.csv has 'r'",
        r"\(60 such rows\)",
        data__numeric=("color",),
    ),
    "an infinite feature": csv(
        changed(7, "inf,r,1"),
        "features must be finite",
        r"row 7 of .*mine\.csv has inf in 'x'",
        SKIP,
    ),
    "a label that is text": csv(
        changed(61, "0.1,r,seven"),
        "'y' must hold numbers",
        r"row 61 of .*mine\.csv has 'seven'",
        SKIP,
    ),
    "labels that are text": csv(
        table(),
        "labels must be numbers",
        r"'color' of .*mine\.csv",
        "another label with data.label",
        data__label="color",
    ),
    "thousands separators in labels": csv(
        table([f'{i},r,"{1000 + i:,}"' for i in range(60)]),
        "must be numbers",
        r"'y' of .*mine\.csv holds '1,000'",
    ),
    "a label that is missing": csv(
        changed(4, "0.1,r,"), "labels must be finite", r"row 4 of .*mine\.csv", "'y'"
    ),
    "no label at all": csv(
        table([f"{i},r," for i in range(60)]),
        "labels must be finite",
        r"row 2 of .*mine\.csv has nan in 'y' \(60 such rows\)",
        SKIP,
    ),
    "a label that is not a number": csv(
        changed(61, "0.1,r,NaN"), "labels must be finite", "row 61 of", "'y'", SKIP
    ),
    "an infinite label": csv(
        changed(3, "0.1,r,-inf"), "labels must be finite", "row 3 of .*-inf", SKIP
    ),
    "labels that float32 cannot hold": csv(
        table([f"{i},r,{1 + i}e299" for i in range(60)]), "labels?", "'y'", "mine"
    ),
    # Their squares, as in gradients and in the MSE, are infinite.
    "labels whose squares float32 cannot hold": csv(
        table([f"{i},r,{1 + i}e24" for i in range(60)]), "labels?", "'y'", "mine"
    ),
    # All of them are one float32 number: the error of any model would be 0.
    "labels that float32 cannot tell apart": csv(
        table([f"{i},r,{1_700_000_000 + i / 60}" for i in range(60)]),
        "labels?",
        "'y'",
        "mine",
        data__bin_width=0.1,
    ),
    "one distinct label": csv(
        table([f"{i},r,7.5" for i in range(60)]),
        "labels must differ",
        r"all 60 in 'y' of .*mine\.csv are 7\.5",
        "another label",
    ),
    "one distinct label in training": csv(
        table(
            [f"{i},{'5,train' if i < 40 else f'{i},test'}" for i in range(60)],
            "x,y,split",
        ),
        "training labels must differ",
        r"all 40 in 'y' of .*mine\.csv are equal",
        "Mark other rows",
    ),
    "a label outside the range": csv(
        changed(8, "0.1,r,-3"),
        r"labels must lie in data\.label_range 0 to 9",
        r"row 8 of .*mine\.csv has -3 in 'y'",
        r"data\.outside=end",
        data__label_range=(0.0, 9.0),
    ),
    "a range the wrong way round": csv(
        table(),
        r"data\.label_range must be \(low, high\), low below high",
        r"got \(9\.0, 0\.0\)",
        data__label_range=(9.0, 0.0),
    ),
    "a range of three": csv(
        table(),
        r"data\.label_range must be \(low, high\)",
        data__label_range=(0.0, 5.0, 9.0),
    ),
    "a width of one bin": csv(
        table(),
        r"data\.bin_width must cut the labels \(0 to 9\) into 2 to 10,000 bins",
        "100 gives a single bin",
        "Try 1",
        data__bin_width=100.0,
    ),
    "a width of a million bins": csv(
        table(),
        r"data\.bin_width must cut .* 2 to 10,000 bins",
        "9e-06 gives 1,000,000 bins",
        "Try 1",
        data__bin_width=9e-6,
    ),
    "a width of one bin of a range": csv(
        table(),
        r"data\.bin_width must cut the labels \(0 to 9\)",
        "a single bin",
        data__bin_width=9.0,
        data__label_range=(0.0, 9.0),
    ),
    "a label for a logarithm": csv(
        changed(
            6, "0.1,r,-1", table([f"{i},r,{i + 1}" for i in range(60)]).split()[1:]
        ),
        "above 0",
        r"row 6 of .*mine\.csv has -1 in 'y'",
        r"data\.label_scale=log",
        data__label_scale="log",
    ),
    "a range for a logarithm": csv(
        table(),
        r"data\.label_range must be .* above 0 for a log scale",
        data__label_scale="log",
        data__label_range=(0.0, 9.0),
    ),
    "dates": csv(
        table([f"2024-02-{1 + i % 28:02d},{i}" for i in range(60)], "when,y"),
        "dates are no features",
        r"'when' holds them \(2024-02-01 in row 2 of .*mine\.csv\)",
        r"--config\.data\.drop=",
    ),
    "dates and times, some missing": csv(
        table([f"{i % 3 * '1/2/2024 8:30'},{i},{i}" for i in range(60)], "when,x,y"),
        "dates are no features",
        "'when'",
        "row 3 of",
    ),
    "a word that is no split": csv(
        changed(61, "0.1,r,1,tset", SPLIT, HEADER + ",split"),
        "'split' must hold train, val or test",
        r"row 61 of .*mine\.csv holds 'tset'",
        SKIP,
    ),
    "an empty cell in the split": csv(
        changed(3, "0.1,r,1,", SPLIT, HEADER + ",split"),
        "'split' must hold train, val or test",
        "row 3 of .* holds ''",
    ),
    "a column split of something else": csv(
        table(header="x,split,y"),
        "'split' must hold train, val or test",
        r"row 2 of .*mine\.csv holds 'r'",
        r"\(60 such rows\)",
    ),
    "an empty training split": csv(
        table(SPLIT, HEADER + ",split").replace("train", "val"),
        r"'split' of .*mine\.csv names no training row",
        "Mark rows as train",
    ),
    "a weight of zero": csv(
        changed(10, "0,7,1", [f"{i + 1},{i},{i % 10}" for i in range(60)]),
        "weights must be above 0",
        r"row 10 of .*mine\.csv has 0",
        SKIP,
        data__weight="x",
    ),
    "a weight that is text": csv(
        table(), "'color' must hold numbers", "row 2 of", data__weight="color"
    ),
    "a batch larger than the set": csv(
        table(),
        r"data\.batch_size must be at most the \d\d training rows",
        "got 64",
        "smaller batch",
        data__batch_size=64,
    ),
    "fewer rows than any batch": csv(
        table(ROWS[:9]), r"data\.batch_size must be at most the 9 training rows"
    ),
    "a batch of nothing": csv(
        table(),
        r"config\.data\.batch_size must be at least 1",
        "got 0",
        data__batch_size=0,
    ),
    "a batch that does not divide": csv(
        table(),
        r"batch_size must be a multiple of the 4 devices",
        "got 18",
        "Use 20",
        data__batch_size=18,
    ),
    "negative sizes": csv(
        table(), r"config\.data\.limit must be at least 0", "got -5", data__limit=-5
    ),
    "a negative number of steps": csv(
        table(), "steps must be at least 0", "got -1", stage__main__steps=-1
    ),
    "nothing but the label": csv(
        table([str(i) for i in range(60)], "y"),
        r"mine\.csv has no feature left beside 'y'",
        "Add columns",
    ),
    "nothing but constants": csv(
        table([f"5,{i}" for i in range(60)], "x,y"), "no feature left beside 'y'", "'x'"
    ),
    "a model of images": csv(
        table(),
        r"model\.name must be a model of tables",
        "got 'small_resnet'",
        "Use 'mlp'",
        model__name="small_resnet",
    ),
    "Windows-1252": csv(
        changed(12, "0.1,café,1").encode("cp1252"),
        "must be a CSV file in UTF-8",
        r"row 12 .*0xe9",
        "Save it as UTF-8",
    ),
    "Windows-1252 in the header": csv(
        table(header="größe,color,y").encode("cp1252"), "in UTF-8", "row 1 ", "Save it"
    ),
    # Two things at once, of which the first to be seen is told.
    "Windows-1252 in a row that is too long": csv(
        changed(12, "0.1,café,1,5").encode("cp1252"), r"mine\.csv", "[Rr]ow 12 "
    ),
    "UTF-16": csv(
        table().encode("utf-16"), r"mine\.csv must be a CSV file in UTF-8", "Save it"
    ),
    "a zero-byte file": csv("", r"mine\.csv must be a CSV file", "empty", ANOTHER),
    "a file of empty lines": csv("\n\n\n", r"mine\.csv must be a CSV file", ANOTHER),
    "a header and no rows": csv(HEADER + "\n", r"mine\.csv", "no rows", ANOTHER),
    "a spreadsheet": csv(to_npz(x=X), r"mine\.csv must be a CSV file", name="mine.csv"),
    "gzip that is cut off": csv(
        gzip.compress(table().encode())[:-20],
        r"mine\.csv\.gz",
        "ended|truncated|Truncated",
        ANOTHER,
        name="mine.csv.gz",
    ),
    "gzip that is cut off late": csv(
        gzip.compress(LONG.encode())[:-2000],
        r"mine\.csv\.gz",
        "ended|truncated|Truncated",
        ANOTHER,
        name="mine.csv.gz",
    ),
    "Parquet that is cut off": Case(
        {"mine.parquet": to_parquet(x=X[:, 0], y=Y)[:-9]},
        (r"mine\.parquet must be a Parquet file", ANOTHER),
    ),
    "Parquet with dates": parquet(
        "dates are no features",
        r"'when' holds them \(2024-02-01 .*row 2 of .*mine\.parquet",
        "drop",
        when=[datetime.datetime(2024, 2, 1 + i % 28) for i in range(60)],
    ),
    "Parquet with lists": parquet(
        "must hold numbers or text",
        r"'tags' of .*mine\.parquet holds list",
        r"drop it \(data\.drop\)",
        tags=[["a", "b"]] * 60,
    ),
    "Parquet with a missing label": parquet(
        "labels must be finite",
        r"row 52 of .*mine\.parquet",
        "'y'",
        y=[None if i == 50 else i % 7 for i in range(60)],
    ),
    "Parquet with an infinite feature": parquet(
        "features must be finite",
        r"row 2 of .*mine\.parquet has inf in 'x'",
        x=[np.inf, *range(59)],
    ),
}
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
    "images of floats": npz(
        {"x": X.reshape(20, 3, 3), "y": Y[:20]}, "uint8 images", r"float64 \[20, 3, 3\]"
    ),
    "images of four channels": npz(
        {"x": np.zeros((60, 4, 4, 4), np.uint8), "y": Y}, r"1 or 3", r"\[60, 4, 4, 4\]"
    ),
    "unequal lengths": npz(
        {"x": X, "y": Y[:-1]}, "one entry for each row", r"x \[60, 3\], y \[59\]"
    ),
    "a split of another length": npz(
        {"x": X, "y": Y, "split": np.zeros(59, int)}, "one entry", r"split \[59\]"
    ),
    "two labels a row": npz(
        {"x": X, "y": np.ones((60, 2))}, "one entry for each row", r"y \[60, 2\]"
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
        "one entry for each row",
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
    """The head of a PNG file of ten milliard pixels, with hardly any data."""

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
    """The rows with the last one anew, which is row 31."""
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
        "it has file, label",
        header="file,label",
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
        *UNREADABLE, "no image", rows=listed("bad.png,3"), bad__png=b"hello"
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
        r"model\.name must be a model of images",
        "got 'mlp'",
        "Use 'small_resnet'",
        fields={"model__name": "mlp"},
    ),
}

CASES = {
    f"{kind}: {name}": case
    for kind, cases in (("table", TABLES), ("array", ARRAYS), ("image", IMAGES))
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_a_sentence_and_nothing_is_changed(name, tmp_path, capsys):
    case = CASES[name]
    for file, content in case.files.items():
        own_data.write(tmp_path, file, content)
    path = tmp_path / (case.path or next(iter(case.files), ""))
    # A run that should not have begun is short, at least.
    short = {"stage__main__steps": 4, "train__chunk": 2}
    made = own_data.config(path, case.config, **short | case.fields)
    own_data.write(tmp_path, "run/notes.txt", "what was there before")
    before = own_data.snapshot(tmp_path)
    line = own_data.sentence(capsys, lambda: own_data.trained(made, tmp_path / "run"))
    for pattern in case.said:
        assert re.search(pattern, line), line
    assert own_data.snapshot(tmp_path) == before


class TestDirectory:
    def test_of_another_config(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", table())
        before = own_data.config(file, seed=3, stage__main__learning_rate=0.5)
        own_data.write(tmp_path, "run/config.json", json.dumps(before))
        own_data.write(tmp_path, "run/metrics.jsonl", '{"step": 1}\n')
        disk = own_data.snapshot(tmp_path)
        now = own_data.config(file, seed=4, data__label="x")
        line = own_data.sentence(
            capsys, lambda: own_data.trained(now, tmp_path / "run")
        )
        for word in (
            "holds a run of another config",
            "seed 3 -> 4",
            "data.label 'y' -> 'x'",
            "stage.main.learning_rate 0.5 -> 0.002",
            "another --workdir",
        ):
            assert word in line
        assert "batch_size" not in line
        assert own_data.snapshot(tmp_path) == disk

    def test_that_is_a_file(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", table())
        disk = own_data.snapshot(tmp_path)
        made = own_data.config(file)
        line = own_data.sentence(capsys, lambda: own_data.trained(made, file))
        assert re.search(r"--workdir must be a directory, .*mine\.csv is a file", line)
        assert own_data.snapshot(tmp_path) == disk

    def test_with_a_config_that_is_none(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", table())
        own_data.write(tmp_path, "run/config.json", '{"seed": ')
        disk = own_data.snapshot(tmp_path)
        made = own_data.config(file)
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"config\.json is no config.*another --workdir", line)
        assert own_data.snapshot(tmp_path) == disk

    def test_that_is_new_is_not_made(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", changed(61, "0.1,r,seven"))
        disk = own_data.snapshot(tmp_path)
        made = own_data.config(file)
        own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "new" / "run")
        )
        assert own_data.snapshot(tmp_path) == disk


class TestCommand:
    """The same by the command itself."""

    def test_wrong_input(self, tmp_path):
        file = own_data.write(tmp_path, "mine.csv", changed(61, "0.1,r,seven"))
        disk = own_data.snapshot(tmp_path)
        done = commands.run(
            *("-m", "dirjax.main", "--config=configs/csv.py:lds"),
            *(f"--config.data.path={file}", "--config.data.label=y"),
            f"--workdir={tmp_path / 'run'}",
        )
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert re.search(r"^dirjax: 'y' must hold numbers, row 61 of .*'seven'", line)
        assert own_data.snapshot(tmp_path) == disk

    def test_what_the_sentences_say_helps(self, tmp_path):
        rows = [f"{-999 if i % 9 == 4 else i},2024-01-02,{i % 10}" for i in range(60)]
        rows[7] = "1,2024-01-02,seven"
        file = own_data.write(tmp_path, "mine.csv", table(rows, "x,when,y"))
        done = commands.run(
            *("-m", "dirjax.main", "--config=configs/csv.py:lds"),
            *(f"--config.data.path={file}", "--config.data.label=y"),
            *("--config.data.drop=when", "--config.data.missing=-999"),
            *("--config.data.on_bad=skip", "--config.stage.main.steps=4"),
            *("--config.model.encoder.width=8", "--config.model.encoder.depth=1"),
            f"--workdir={tmp_path / 'run'}",
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        # What was found is printed: gaps that are filled, rows that are left out.
        assert re.search(r"filled, with an indicator each: 'x'", done.stdout)
        assert re.search(r"rows left out: 1 text in a numeric column", done.stdout)


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """The folder of a run that left rows out."""
    folder = tmp_path_factory.mktemp("skip")
    rows = [*ROWS, "1,r", "1,r,5,5", "abc,r,5", "1,r,", "1,r,inf", "-inf,r,5"]
    file = own_data.write(folder, "mine.csv", table(rows))
    made = own_data.config(file, data__on_bad="skip", **own_data.TINY)
    runs.run(made, folder / "run")
    return folder


class TestSkip:
    def test_the_result_counts_rows_by_reason(self, skipping):
        result = json.loads((skipping / "run" / "result.json").read_text())
        assert result.get("skipped") == {
            "row length": 2,
            "text in a numeric column": 1,
            "no label": 2,
            "infinite feature": 1,
        }

    def test_the_other_rows_are_used(self, skipping):
        source = own_data.load(skipping / "mine.csv", on_bad="skip")
        assert own_data.whole(source, "index").tolist() == list(range(60))

    def test_nothing_is_skipped_of_a_good_table(self, tmp_path):
        file = own_data.write(tmp_path, "mine.csv", table())
        source = own_data.load(file, on_bad="skip")
        assert not source.skipped
        assert "left out" not in own_data.notes(source)

    def test_nothing_left_is_a_sentence(self, tmp_path, capsys):
        rows = [f"{i},r," for i in range(60)]
        file = own_data.write(tmp_path, "mine.csv", table(rows))
        made = own_data.config(file, data__on_bad="skip")
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"mine\.csv has no usable row", line)

    def test_no_training_row_left_is_a_sentence(self, tmp_path, capsys):
        rows = [f"{i},{'' if i < 50 else i},{'tv'[i > 49]}" for i in range(60)]
        text = table(rows, "x,y,split").replace(",t\n", ",train\n")
        file = own_data.write(tmp_path, "mine.csv", text.replace(",v\n", ",val\n"))
        made = own_data.config(file, data__on_bad="skip")
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"no training row is left of .*mine\.csv", line)
