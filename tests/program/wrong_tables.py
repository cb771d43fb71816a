"""Invalid tables, and the expected error messages."""

import gzip
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tests.own_data import HEADER, ROWS, changed, table, to_npz, to_parquet

SKIP = r"--config\.data\.on_bad=skip"
ANOTHER = r"Give another file\.$"
SPLIT = tuple(f"{row},{'train' if i % 3 else 'test'}" for i, row in enumerate(ROWS))
# Long enough for several compressed blocks.
LONG = table([f"{i * 0.37 % 1:.9f},r,{i % 10}" for i in range(30_000)])


class Case(NamedTuple):
    """Invalid files and the expected error message.

    Attributes:
      files: name -> content.
      said: patterns that the message must contain: what was expected, what was given
        and where, what to do.
      fields: fields of the config, paths with `__` instead of dots.
      config: name of the config file.
      path: value of data.path; default: the first file.
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
    """Labels for an NPZ file, with one of them changed."""
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
        r"data\.augment must be off for inputs of kind 'table'",
        "crop=2",
        "Leave it out",
        data__augment__crop=2,
    ),
    "two views of a table": csv(
        table(),
        r"data\.views\) must be 1 for inputs of kind 'table', got 2",
        data__views=2,
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
        "3 cells like the header",
        r"row 5 of .*mine\.csv has 2",
        SKIP,
    ),
    "a row that is too long": csv(
        changed(9, "0.1,r,1,7"),
        "3 cells like the header",
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
        r"data\.missing=\?'; if the column is a category, .*data\.categorical=x",
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
        "another label with --config.data.label=NAME",
        data__label="color",
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
    # Squares of these labels, in gradients and the MSE, overflow.
    "labels whose squares float32 cannot hold": csv(
        table([f"{i},r,{1 + i}e24" for i in range(60)]), "labels?", "'y'", "mine"
    ),
    # All labels are one number in float32, so the error of any model would be 0.
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
        r"data\.bin_width must divide the labels \(0 to 9\) into 2 to 10,000 bins",
        "100 gives a single bin",
        "Try --config.data.bin_width=1,",
        data__bin_width=100.0,
    ),
    "a width of a million bins": csv(
        table(),
        r"data\.bin_width must divide .* 2 to 10,000 bins",
        "9e-06 gives 1,000,000 bins",
        "Try --config.data.bin_width=1,",
        data__bin_width=9e-6,
    ),
    "a width of one bin of a range": csv(
        table(),
        r"data\.bin_width must divide the labels \(0 to 9\)",
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
    "dates whose order is unclear": csv(
        table([f"{1 + i % 12}/{1 + i % 9}/2024,{i}" for i in range(60)], "when,y"),
        r"'when' of .*mine\.csv holds dates such as 1/1/2024, whose first number",
        r"--config\.data\.date_order=dmy or mdy",
        r"--config\.data\.drop=when",
    ),
    "numbers that may be thousands": csv(
        table([f'1\t"{1 + i % 9},{i + 100}"\t{i}' for i in range(60)], "a\tx\ty"),
        r"'x' of .*mine\.csv may mean 1100 or 1\.100 by '1,100'",
        r"--config\.data\.thousands=','",
    ),
    "several problems": csv(
        table(
            [
                f"{'inf' if i == 3 else i / 7},r,{'?!' * (i == 7) or i}"
                for i in range(60)
            ]
        ),
        r"mine\.csv has 2 problems: \(1\) 'y' must hold numbers, row 9",
        r"\(2\) features must be finite, row 5",
        "Fix them, or skip such rows",
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
        table(),
        "weights must be numbers",
        "another weight with --config.data.weight=NAME",
        data__weight="color",
    ),
    "a batch larger than the set": csv(
        table(),
        r"data\.batch_size must be at most the number of training rows, 40",
        "got 64",
        "smaller batch",
        data__batch_size=64,
    ),
    "fewer rows than any batch": csv(
        table(ROWS[:9]),
        r"data\.batch_size must be at most the number of training rows, 9,",
        data__batch_size=16,
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
        r"mine\.csv has no feature left besides 'y'",
        "Add columns",
    ),
    "nothing but constants": csv(
        table([f"5,{i}" for i in range(60)], "x,y"),
        "no feature left besides 'y'",
        "'x'",
    ),
    "a model of images": csv(
        table(),
        r"model\.name must be a model for inputs of kind 'table'",
        "got 'small_resnet'",
        "Use 'mlp'",
        model__name="small_resnet",
    ),
    "an encoding that cannot be told": csv(
        changed(12, "0.1,caf\x81,1").encode("latin1"),
        "must be a CSV file in UTF-8",
        r"row 12 .*0x81",
        "Save it as UTF-8",
    ),
    "the same in the header": csv(
        table(header="gr\x81sse,color,y").encode("latin1"),
        "in UTF-8",
        "row 1 ",
        "Save it",
    ),
    # Two errors, of which the first that is detected is reported.
    "Windows-1252 in a row that is too long": csv(
        changed(12, "0.1,café,1,5").encode("cp1252"), r"mine\.csv", "[Rr]ow 12 "
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
    "Parquet with lists": parquet(
        "must hold numbers or text",
        r"'tags' of .*mine\.parquet holds list",
        r"leave it out with --config\.data\.drop",
        tags=[["a", "b"]] * 60,
    ),
    "Parquet with a missing label": parquet(
        "labels must be finite",
        r"row 50 of .*mine\.parquet",
        "'y'",
        y=[None if i == 50 else i % 7 for i in range(60)],
    ),
    "Parquet with an infinite feature": parquet(
        "features must be finite",
        r"row 0 of .*mine\.parquet has inf in 'x'",
        x=[np.inf, *range(59)],
    ),
}
