"""What a run learns from: splits in host memory, with bins and shots of the labels."""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.cli import InputError
from dirjax.data import digits, splits
from dirjax.data.preprocess import TablePreprocessor

SPLITS = ("train", "val", "test")

# Data sets that dirjax may not or does not ship: file below DIRJAX_DATA, and where
# to get it.
_ELSEWHERE = {
    "diamonds": (
        "tabular/diamonds.csv.gz",
        "It is ggplot2's table of 53,940 diamonds (also in the PyPI wheels plotnine "
        "and seaborn's data): a CSV with the columns carat, cut, color, clarity, "
        "depth, table, x, y, z, price and, optionally, split",
    ),
}


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows of one split.

    Attributes:
      inputs: `[rows, ...]` array (images, uint8), or a dict of arrays (tables).
      label: `[rows]` float32.
      bin: `[rows]` int32, the label's bin.
      weight: `[rows]` float32, 1 unless the data has weights.
      index: `[rows]` int32, row number in the file.
    """

    inputs: Any
    label: np.ndarray
    bin: np.ndarray
    weight: np.ndarray
    index: np.ndarray


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set, ready to be read.

    Attributes:
      name: name of the data set.
      label: name of the label, with unit where there is one.
      splits: "train", and "val" and "test" where they exist.
      spec: bins, training counts and shots of the labels.
      encoder: what the encoder must know of the inputs, as keyword arguments.
      input_mean: subtracted from images after division by 255.
      input_std: images are divided by it.
      record: everything needed to prepare new inputs the same way, plain JSON.
    """

    name: str
    label: str
    splits: dict[str, Split]
    spec: labels.Spec
    encoder: dict[str, Any]
    input_mean: float
    input_std: float
    record: dict[str, Any]


def locate(name: str, path: str | None) -> pathlib.Path:
    """The file of a data set: `path`, or embedded, or in the folder DIRJAX_DATA.

    Raises:
      InputError: if there is no such file; the sentence says where to get it.
    """
    if path:
        file = pathlib.Path(path).expanduser()
        if not file.is_file():
            raise InputError(
                f"data.path must be a file, {file} is not one. Check the path."
            )
        return file
    embedded = importlib.resources.files("dirjax.data") / "embedded"
    for suffix in (".csv.gz", ".npz"):
        file = pathlib.Path(str(embedded / f"{name}{suffix}"))
        if file.is_file():
            return file
    if name not in _ELSEWHERE:
        raise InputError(
            f"data.name must be one of bikeshare, mnist5k, {', '.join(_ELSEWHERE)}, "
            f"got {name!r}."
        )
    below, hint = _ELSEWHERE[name]
    checkout = pathlib.Path(__file__).resolve().parents[2]
    root = os.environ.get("DIRJAX_DATA", str(checkout.parent / "shared" / "data"))
    file = pathlib.Path(root) / below
    if not file.is_file():
        raise InputError(
            f"{name} does not ship with dirjax and {file} does not exist. {hint}. "
            "Give its path with --config.data.path=FILE, or set DIRJAX_DATA."
        )
    return file


def _splits(
    inputs: Any,
    label: np.ndarray,
    part: np.ndarray,
    *,
    limit: int,
    seed: int,
    **options: Any,
) -> tuple[dict[str, Split], labels.Spec]:
    """Cuts arrays into splits and counts the training labels.

    Args:
      inputs: array or dict of arrays with leading axis rows.
      label: `[rows]` float64.
      part: `[rows]` int8, index into SPLITS.
      limit: keep so many training rows, drawn with `seed`; 0 keeps all.
      seed: see `limit`.
      **options: keyword arguments of `labels.spec`.
    """
    rows = np.flatnonzero(part == 0)
    if 0 < limit < len(rows):
        rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
        part = part.copy()
        part[rng.permutation(rows)[limit:]] = -1
    try:
        spec = labels.spec(label[part == 0], **options)
    except ValueError as error:
        raise InputError(f"the training labels cannot be binned: {error}") from error
    bins = spec.bins.index(label)
    cut = {}
    for number, name in enumerate(SPLITS):
        rows = np.flatnonzero(part == number)
        if not len(rows):
            continue
        here = (
            {k: v[rows] for k, v in inputs.items()}
            if isinstance(inputs, dict)
            else inputs[rows]
        )
        cut[name] = Split(
            inputs=here,
            label=label[rows].astype(np.float32),
            bin=bins[rows].astype(np.int32),
            weight=np.ones(len(rows), np.float32),
            index=rows.astype(np.int32),
        )
    return cut, spec


def table(
    name: str,
    file: pathlib.Path,
    *,
    label: str,
    split: str,
    unit: str = "",
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    limit: int = 0,
    seed: int = 0,
    **options: Any,
) -> Source:
    """Reads a CSV file (plain or gzip) with a header.

    Args:
      name: name of the data set.
      file: the CSV file.
      label: name of the label column.
      split: name of the column that says train, val or test. If the file has no
        such column a balanced split is made from the labels.
      unit: unit of the label, for reports.
      numeric: names of numeric columns; default: those that hold numbers.
      categorical: names of categorical columns; default: all others.
      both: numeric columns with at most so many distinct whole values in training
        enter as categories, too.
      scaling: see `TablePreprocessor.fit`.
      quantiles: see `TablePreprocessor.fit`.
      limit: use so many training rows; 0 is all.
      seed: of the split, if one is made, and of the limit.
      **options: bins and shots, see `labels.spec`.

    Returns:
      The source.

    Raises:
      InputError: if the file is no CSV file, a column is missing or a label is no
        finite number.
    """
    import pandas as pd  # 0.4 s; arrays and images do without

    try:
        frame = pd.read_csv(file)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{file} must be a CSV file with a header, plain or gzip: {error}. Give "
            "another file for data.path."
        ) from error
    if label not in frame:
        raise InputError(
            f"{file} has no column {label!r} (data.label); it has "
            f"{', '.join(map(str, frame.columns))}. Name one of them."
        )
    try:
        y = frame[label].to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the label column {label!r} of {file} must hold numbers: {error}."
        ) from error
    if not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise InputError(
            f"labels must be finite, {file} has {y[row]} in row {row + 2}, column "
            f"{label!r}. Remove or mend the row."
        )
    features = [c for c in frame.columns if c not in (label, split)]
    numbers = [c for c in features if pd.api.types.is_numeric_dtype(frame[c])]
    if not numeric:
        numeric = [c for c in numbers if c not in categorical]
    categorical = tuple(categorical) or tuple(c for c in features if c not in numeric)
    for column in (*numeric, *categorical):
        if column not in frame:
            raise InputError(
                f"{file} has no column {column!r}; it has {', '.join(frame.columns)}. "
                "Correct data.numeric or data.categorical."
            )
    part = _parts(frame, split, y, file, seed=seed, width=options["bin_width"])
    columns = {c: frame[c].to_numpy() for c in dict.fromkeys((*numeric, *categorical))}
    for column, values in columns.items():
        missing = pd.isna(values)
        if column in numeric:
            missing = missing | ~np.isfinite(values.astype(np.float64))
        missing = np.flatnonzero(missing)
        if len(missing):
            raise InputError(
                f"features must have a finite value in every row, {file} has none in "
                f"row {missing[0] + 2}, column {column!r} ({len(missing)} in all). "
                "Fill the gaps, or leave the column out with data.numeric and "
                "data.categorical."
            )
    train = {c: v[part == 0] for c, v in columns.items()}
    doubled = tuple(c for c in numeric if _few_values(train[c], both))
    fitted = TablePreprocessor.fit(
        train,
        numeric=numeric,
        categorical=(*categorical, *doubled),
        scaling=scaling,
        quantiles=quantiles,
    )
    parts, spec = _splits(
        fitted.transform(columns), y, part, limit=limit, seed=seed, **options
    )
    return Source(
        name=name,
        label=f"{label} ({unit})" if unit else label,
        splits=parts,
        spec=spec,
        encoder={
            "numeric": len(fitted.numeric),
            "cardinalities": fitted.cardinalities,
            "edges": fitted.edges if quantiles else None,
        },
        input_mean=0.0,
        input_std=1.0,
        record={"kind": "table", "label": label, "table": fitted.to_json()},
    )


def _few_values(column: np.ndarray, limit: int) -> bool:
    """Whether a numeric column has 3 to `limit` distinct whole values."""
    values = np.unique(column)
    return 2 < len(values) <= limit and bool(np.all(values == np.round(values)))


def _parts(
    frame: Any, split: str, y: np.ndarray, file: Any, *, seed: int, width: float
) -> np.ndarray:
    """`[rows]` int8: the column `split`, or a balanced split where there is none."""
    if split not in frame:
        bins = labels.Bins.covering(y, width=width)
        keys = _row_keys(frame)
        return splits.balanced_split(y, bins, seed=seed, keys=keys)
    values = frame[split].astype(str).to_numpy()
    part = np.full(len(values), -1, np.int8)
    for number, name in enumerate(SPLITS):
        part[values == name] = number
    if (part < 0).any():
        row = int(np.flatnonzero(part < 0)[0])
        raise InputError(
            f"the column {split!r} of {file} must hold train, val or test, row "
            f"{row + 2} holds {values[row]!r}. Correct the row."
        )
    if not (part == 0).any():
        raise InputError(
            f"the column {split!r} of {file} names no training row. Mark rows as train."
        )
    return part


def _row_keys(frame: Any) -> np.ndarray:
    """`[rows]` int64 from the content of each row, so that row order is no matter.

    Rows that are equal to the last field are told apart by a number, which of them
    goes where makes no difference.
    """
    import pandas.util

    hashed: Any = pandas.util.hash_pandas_object
    keys = hashed(frame, index=False).astype("uint64")
    twins = keys.groupby(keys).cumcount().to_numpy().astype(np.uint64)
    keys = keys.to_numpy() + twins * np.uint64(0x9E3779B97F4A7C15)
    return keys.view(np.int64)


def images(
    name: str,
    file: pathlib.Path,
    *,
    label: str,
    skew: float,
    limit: int = 0,
    seed: int = 0,
    **options: Any,
) -> Source:
    """The embedded digits, with one of the labels of `digits.load`."""
    pixels, y, part = digits.load(
        file, label=label, skew=skew, seed=seed, bin_width=options["bin_width"]
    )
    parts, spec = _splits(pixels, y, part, limit=limit, seed=seed, **options)
    train = parts["train"].inputs / np.float32(255)
    mean, std = float(train.mean()), float(train.std())
    return Source(
        name=name,
        label=digits.TITLES[label],
        splits=parts,
        spec=spec,
        encoder={},
        input_mean=mean,
        input_std=std,
        record={
            "kind": "images",
            "label": label,
            "shape": list(pixels.shape[1:]),
            "mean": mean,
            "std": std,
        },
    )
