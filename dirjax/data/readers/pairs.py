"""Reads pairs of embeddings: two vectors per row, with a similarity score.

The form of STS-B-DIR with frozen sentence embeddings: Yang et al., "Delving into Deep
Imbalanced Regression", ICML 2021, https://arxiv.org/abs/2102.09554, and the split of
their repository, YyzHarry/imbalanced-regression. An NPZ file has, for each NAME of
`PARTS`, NAME_1 and NAME_2 `[rows, values]` and NAME_score `[rows]`, in the order of the
TSV files of the split. New pairs, without scores, may have any names.

The split is the official one. The config sets bins, compared in float32, and fixed shot
lists.

**Deviations** from the benchmark: inputs are embeddings of a frozen model, and each
value is standardised on the training rows.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    fingerprints,
    label_rules,
    labelling,
    readers,
    row_checks,
    sources,
)
from dirjax.data.formats import npz_files
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError

# Split -> name of its arrays, as of the TSV file.
PARTS = {"train": "train_new", "val": "dev_new", "test": "test_new"}
# SHA-256 of all scores as float32 -> origin of the split. RankSim and SRL use another
# split with the same file names and sizes.
_KNOWN = {
    "85357e95cb009cededda2e44c649944338dffa84787962b342a5d8c8b0dfc698": (
        "the split is that of Yang et al. 2021"
    ),
    "8afc04263e42692208f697cb5bb9e35a275b834000b85aa91a79dc3505197b6c": (
        "the split is that of RankSim and SRL; fixed shot lists and most published "
        "numbers refer to that of Yang et al. 2021"
    ),
}


class Rows(row_checks.Rows):
    """Rows of several arrays; messages name the array.

    Args:
      sizes: name -> number of its rows.
      file: see `row_checks.Rows`.
      on_bad: see `row_checks.Rows`.
      skip_with: see `row_checks.Rows`.

    Attributes:
      part: `[rows]` str, the name of each row's array.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        file: pathlib.Path,
        on_bad: str = "error",
        skip_with: str = row_checks.SKIP,
    ):
        number = np.concatenate([np.arange(n) for n in sizes.values()])
        super().__init__(number, file, on_bad, first=0, skip_with=skip_with)
        self.part = np.repeat(list(sizes), list(sizes.values()))

    def place(self, i: int) -> str:
        """`row 7 of dev_new in my.npz`, from 0."""
        return f"row {self.number[i]} of {self.part[i]} in {self.file}"


def _missing(stored: Mapping[str, Any], key: str, file: Any) -> InputError:
    return InputError(
        f"{file} has no array {key!r}; it has {', '.join(stored) or 'none'}. Save "
        "pairs of embeddings as two arrays NAME_1 and NAME_2 [rows, values], for "
        f"training with NAME_score [rows] and NAME one of {', '.join(PARTS.values())}."
    )


def side_by_side(stored: Mapping[str, np.ndarray], part: str, file: Any) -> np.ndarray:
    """Stacks the two arrays of a name.

    Args:
      stored: name -> array.
      part: the name.
      file: the file, for messages.

    Returns:
      `[rows, 2, values]` float32.

    Raises:
      InputError: if one is missing, or they are not embeddings of equal shape.

    Example:
      >>> both = {"new_1": np.zeros((5, 3)), "new_2": np.ones((5, 3))}
      >>> side_by_side(both, "new", "my.npz").shape
      (5, 2, 3)
    """
    keys = [f"{part}_1", f"{part}_2"]
    for key in keys:
        if key not in stored:
            raise _missing(stored, key, file)
    one, two = (stored[key] for key in keys)
    good = one.ndim == 2 and one.shape == two.shape and one.size
    if not good or {one.dtype.kind, two.dtype.kind} - set("iuf"):
        said = ", ".join(f"{k} {stored[k].dtype} {list(stored[k].shape)}" for k in keys)
        raise InputError(
            "embeddings of pairs must be numbers in two arrays [rows, values] of one "
            f"shape, {file} has {said}. Save one vector for each text."
        )
    with np.errstate(over="ignore"):  # Too large values become infinite.
        return np.stack([one, two], axis=1).astype(np.float32)


def embeddings(
    stored: Mapping[str, np.ndarray], values: int, file: pathlib.Path
) -> dict[str, np.ndarray]:
    """The pairs to predict in a file.

    Args:
      stored: NAME_1 and NAME_2 for one NAME or more; other arrays are ignored.
      values: size of an embedding, as in training.
      file: the file, for messages.

    Returns:
      NAME -> `[rows, 2, values]` float32.

    Raises:
      InputError: if there are none, or embeddings have another size.
    """
    names = [key[:-2] for key in stored if key.endswith("_1")]
    if not names:
        raise _missing(stored, "NAME_1", file)
    found = {name: side_by_side(stored, name, file) for name in names}
    for name, x in found.items():
        if x.shape[2] != values:
            raise InputError(
                f"embeddings must have {values} values, as in training; those of "
                f"{name!r} in {file} have {x.shape[2]}. Embed with the same model."
            )
    return found


def refuse_odd(x: np.ndarray, rows: row_checks.Rows) -> None:
    """Refuses pairs with an infinite or missing value.

    Args:
      x: `[rows, 2, values]`.
      rows: their rows.
    """
    wrong = ~np.isfinite(x)
    rows.refuse(
        "embedding not finite",
        np.asarray(wrong.any(axis=(1, 2))),
        lambda i: (
            f"embeddings must be finite, {rows.place(i)} has {x[i][wrong[i]][0]} in "
            f"the {'first' if wrong[i, 0].any() else 'second'} of the pair"
        ),
    )


def standardise(x: np.ndarray, fitted: TablePreprocessor) -> np.ndarray:
    """Both embeddings of each pair, `[rows, 2, values]` float32."""
    flat = x.reshape(-1, x.shape[2])
    return fitted.transform(npz_files.columns(flat))["numeric"].reshape(x.shape)


def unordered(x: np.ndarray) -> np.ndarray:
    """A number for each pair, independent of the order within the pair.

    Args:
      x: `[rows, 2, values]`.

    Returns:
      `[rows]` int, equal where the pairs are.

    Example:
      >>> a, b, c = unordered(np.array([[[1], [2]], [[2], [1]], [[1], [1]]]))
      >>> bool(a == b), bool(a == c)
      (True, False)
    """
    sides = fingerprints.fingerprints(x.reshape(-1, x.shape[2])).reshape(-1, 2)
    of_side = np.unique(sides, return_inverse=True)[1].reshape(-1, 2)
    pairs = np.sort(of_side, axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].ravel()


def leave_leaks_out(
    pair: np.ndarray, part: np.ndarray, rows: row_checks.Rows, drop: bool
) -> np.ndarray:
    """Reports training pairs that are also in val or test, and optionally drops them.

    Args:
      pair: `[rows]` int, equal where pairs are.
      part: `[rows]` int8, position in `labelling.SPLITS`.
      rows: their rows; the report becomes a note.
      drop: whether to drop these training pairs.

    Returns:
      `[rows]` int8, `part` with -1 for dropped pairs.
    """
    known = {
        name: int(np.isin(pair[part == position], pair[part == 0]).sum())
        for position, name in enumerate(labelling.SPLITS)
        if position
    }
    if not any(known.values()):
        return part
    said = " and ".join(f"{n} {name}" for name, n in known.items())
    said = f"{said} pairs are also in train, in either order"
    again = (part == 0) & np.isin(pair, pair[part > 0])
    if drop:
        said += f": {again.sum()} training pairs are left out"
    else:
        said += "; --config.data.drop_leaks=True leaves those training pairs out"
    rows.notes.append(said)
    return np.where(again & drop, -1, part)


def whose_split(scores: np.ndarray) -> str:
    """A note on which of the two published splits this is.

    Args:
      scores: `[rows]` scores of train, val and test, in this order.
    """
    digest = hashlib.sha256(scores.astype("<f4").tobytes()).hexdigest()
    return _KNOWN.get(digest, "the split is neither of the two published ones")


def _scores(
    stored: Mapping[str, np.ndarray], name: str, rows: int, file: pathlib.Path
) -> np.ndarray:
    """An array of scores, `[rows]` float64."""
    if name not in stored:
        raise _missing(stored, name, file)
    y = stored[name]
    if y.shape not in ((rows,), (rows, 1)) or y.dtype.kind not in "iuf":
        raise InputError(
            f"{name!r} must hold one number for each of {rows} pairs, {file} has "
            f"{y.dtype} {list(y.shape)}. Save the scores in the order of the pairs."
        )
    return y.astype(np.float64).ravel()


def load(
    name: str,
    path: pathlib.Path,
    rules: label_rules.Rules,
    *,
    input: str = "",
    scaling: str = "standard",
    drop_leaks: bool = False,
) -> sources.Source:
    """Reads pairs of embeddings with their scores.

    Args:
      name: name of the data set.
      path: the NPZ file, or a folder that holds `input`.
      rules: rules of the label, its bins and shots; scores are NAME_`rules.label`.
      input: name of the file in the folder.
      scaling: scaling of each value, see `TablePreprocessor.fit`.
      drop_leaks: whether to drop training pairs that are also in val or test.

    Returns:
      The source; inputs are `[rows, 2, values]` float32, and `index` counts the rows
      of each split.

    Raises:
      InputError: naming array and row.
    """
    file = path / input if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path} must hold {input!r} (data.input), it does not. Put it there, or "
            "give the file itself as data.path."
        )
    stored = npz_files.read(file)
    found = {p: side_by_side(stored, p, file) for p in PARTS.values()}
    widths = {p: x.shape[2] for p, x in found.items()}
    if len(set(widths.values())) > 1:
        said = ", ".join(f"{p} {n}" for p, n in widths.items())
        raise InputError(
            f"all embeddings must have the same size, {file} has {said}. Embed all "
            "texts with one model."
        )
    y = np.concatenate(
        [_scores(stored, f"{p}_{rules.label}", len(x), file) for p, x in found.items()]
    )
    rows = Rows({p: len(x) for p, x in found.items()}, file, rules.on_bad)
    x = np.concatenate(list(found.values()))
    part = np.repeat(np.arange(3, dtype=np.int8), [len(v) for v in found.values()])
    rows.notes.append(whose_split(y))
    refuse_odd(x, rows)
    part = leave_leaks_out(unordered(x), part, rows, drop_leaks)
    labelled = labelling.label_rows(y, rows, rules, part=part)
    columns = npz_files.columns(x[labelled.train].reshape(-1, x.shape[2]))
    fitted = TablePreprocessor.fit(
        columns, numeric=list(columns), categorical=(), scaling=scaling
    )
    return sources.assemble(
        name,
        standardise(x, fitted),
        labelled,
        record={
            "kind": "pairs",
            "values": x.shape[2],
            "pairs": fitted.to_json(),
            "encoder": {},
        },
    )


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
    label: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads pairs to predict, one chunk per name; see `embeddings`.

    Args:
      path: an NPZ file.
      record: data record of the run.
      on_bad: "error" or "skip" for unusable pairs.
      keep: must be empty.
      label: read the arrays NAME_`label` of scores, too.

    Raises:
      InputError: if the file does not fit the model, or a pair is invalid.
    """
    sources.require_file(
        path,
        "the model takes pairs of embeddings, --input must be an NPZ file with "
        "NAME_1 and NAME_2,",
        "Give a file.",
    )
    npz_files.refuse_keep(keep)
    fitted = TablePreprocessor.from_json(record["pairs"])
    stored = npz_files.read(path)
    for name, x in embeddings(stored, record["values"], path).items():
        rows = Rows({name: len(x)}, path, on_bad, skip_with=readers.SKIP)
        refuse_odd(x, rows)
        value = None
        if label:
            y = _scores(stored, f"{name}_{label}", len(x), path)
            value = label_rules.new_labels(y, rows, label, record)[rows.good]
        names = {"index": rows.number, "part": rows.part}
        yield readers.Piece(names, standardise(x[rows.good], fitted), rows.good, value)


def describe_inputs(
    source: sources.Source, dropped: Sequence[str] = ()
) -> dict[str, Any]:
    """The size of embeddings, see `data.describe.facts`."""
    del dropped
    return {"kind": "pairs", "values": source.record["values"]}


def inputs_text(inputs: Mapping[str, Any], rows: int) -> list[str]:
    """The same as one line of text."""
    del rows
    return [f"Inputs: pairs of embeddings, {inputs['values']} values each"]
