"""Data sources: splits in host memory, with bins and shots of the labels.

A reader (`data.readers`) turns a file into arrays, `labelling` checks and splits the
labels, and this module assembles both into splits.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import fingerprints, labelling
from dirjax.data.formats.coded import Coded
from dirjax.data.formats.pictures import Pictures
from dirjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows of one split, with labels per row, per target or, in dense tasks, per pixel.

    Attributes:
      inputs: `[rows, ...]` array (images, uint8 or float32 levels), or a dict of arrays
        (tables), or `pictures.Pictures` for images that are still encoded.
      label: `[rows]`, `[rows, targets]` or `[rows, height, width]` float32, what the
        model learns: the label on the scale of the source; of several targets each is
        standardised, too.
      value: same shape, float32, the label as the file has it.
      bin: same shape, int32, the label's bin.
      weight: `[rows]` float32, 1 unless the data has weights; mean 1 in training.
      index: `[rows]` int32, row number in the file.
      mask: of the label's shape, bool, which labels count; None if all do. The others
        are finite but arbitrary.
      wide: larger arrays `inputs` and `codes` that training reads instead if
        augmentation on the device makes inputs and labels from them.

    Label, value, bin and mask may be `Coded`; they become arrays when rows are read.
    """

    inputs: Any
    label: Any
    value: Any
    bin: Any
    weight: np.ndarray
    index: np.ndarray
    mask: np.ndarray | Coded | None = None
    wide: dict[str, np.ndarray] | None = None

    def real(self, values: np.ndarray | Coded) -> np.ndarray:
        """The label-shaped values that count, `[labels]`."""
        array = np.asarray(values)
        return array.ravel() if self.mask is None else array[np.asarray(self.mask)]


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set, ready for training.

    Attributes:
      name: name of the data set.
      label: name of the label, with its unit if known.
      splits: "train", and "val" and "test" where they exist.
      spec: bins, training counts and shots of the labels the model learns; None with
        several targets, each of which has its own.
      scale: on which the model learns the label; None with several targets.
      record: everything needed to prepare new inputs the same way, plain JSON; its
        entry "encoder" tells the encoder about the inputs.
      notes: sentences on findings and decisions.
      skipped: reason -> number of rows left out.
      constants: arrays in which the model looks inputs up, such as word vectors; they
        are part of its state and not trained.
      statistics: training rows to compute feature statistics on, if there are too many;
        None for all.
      resampled: rows to train on instead of those of the training split, see
        `data.resampled`; None for those. Bins, shots and evaluation are of the split.
      targets: of data with several labels per row, the rows with each of them alone;
        rows without that label are left out. Empty otherwise.
    """

    name: str
    label: str
    splits: dict[str, Split]
    spec: labels.Spec
    scale: labels.Scale
    record: dict[str, Any]
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    statistics: Split | None = None
    resampled: Split | None = None
    targets: tuple[Source, ...] = ()

    def rows(self, split: str) -> Split:
        """The rows of a named split, or of "statistics"."""
        if split == "statistics":
            return self.statistics or self.training
        return self.splits[split]

    @property
    def training(self) -> Split:
        """The rows to train on."""
        return self.resampled or self.splits["train"]

    @property
    def dense(self) -> bool:
        """Whether there is a label for each pixel."""
        return not self.targets and self.splits["train"].label.ndim > 1

    @property
    def edges(self) -> np.ndarray:
        """Edges of the label bins in file units, like predictions."""
        return np.asarray(self.scale.inverse(self.spec.bins.edges))


def row_shapes(inputs: Any) -> dict[str, tuple[int, ...]]:
    """Shape of one row of each array; a single array has the name "inputs"."""
    arrays = inputs if isinstance(inputs, dict) else {"inputs": inputs}
    return {name: tuple(x.shape[1:]) for name, x in arrays.items()}


def refuse_infinite(inputs: Any, file: Any) -> None:
    """Refuses inputs that are not finite, which models may turn into any number.

    Args:
      inputs: array, or dict of arrays, with leading axis rows.
      file: where they come from, for the sentence.

    Raises:
      InputError: naming the first row.
    """
    arrays = inputs if isinstance(inputs, dict) else {"inputs": inputs}
    for name, x in arrays.items():
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            # A sum is finite where all are, and takes no memory.
            if np.isfinite(x.sum(dtype=np.float64)):
                continue
            bad = ~np.isfinite(x.reshape(len(x), -1).sum(axis=1, dtype=np.float64))
            if bad.any():
                raise InputError(
                    f"inputs must be finite, row {int(np.argmax(bad))} of {file} is "
                    f"not (in {name!r}). Fill the values, or have the reader refuse "
                    "such rows."
                )


def _check_reader(
    inputs: Any, labelled: labelling.Labelled, record: Mapping[str, Any]
) -> None:
    """What a reader may get wrong."""
    missing = [name for name in ("kind", "encoder") if name not in record]
    if missing:
        raise InputError(
            f"the record of a source must have kind and encoder, it lacks "
            f"{' and '.join(missing)}. See docs/extending.md."
        )
    arrays = inputs if isinstance(inputs, dict) else {"inputs": inputs}
    rows = len(labelled.label)
    for name, x in arrays.items():
        if len(x) != rows:
            raise InputError(
                f"there must be one row of inputs for each of {rows} labels, {name!r} "
                f"has {len(x)}."
            )
    try:
        json.dumps(record)
    except TypeError as error:
        raise InputError(
            f"the record of a source must be plain JSON: {error}. Convert arrays with "
            "tolist() and numbers with float()."
        ) from error


def _content(splits: Mapping[str, Split]) -> str:
    """A hash of labels and inputs of all splits; of images on disk, of their files."""
    arrays = []
    for rows in splits.values():
        inputs = rows.inputs if isinstance(rows.inputs, dict) else {"": rows.inputs}
        held = [x.digests if isinstance(x, Pictures) else x for x in inputs.values()]
        known = [np.asarray(x) for x in held if x is not None]
        arrays += [np.asarray(rows.value), *known]
    return fingerprints.content(*arrays)


def assemble(
    name: str, inputs: Any, labelled: labelling.Labelled, *, record: Mapping[str, Any]
) -> Source:
    """Assembles arrays into splits.

    Args:
      name: name of the data set.
      inputs: array, dict of arrays with leading axis rows, or `Pictures`.
      labelled: the rows.
      record: record of the inputs; this function adds the entries of the label.
    """
    _check_reader(inputs, labelled, record)
    cut = {}
    for position, split in enumerate(labelling.SPLITS):
        chosen = np.flatnonzero(labelled.part == position)
        if not len(chosen):
            continue
        here = _chosen(inputs, chosen)
        refuse_infinite(here, f"{split} of {labelled.rows.file}")
        cut[split] = _split(here, labelled, chosen)
    rows = labelled.rows
    if rows.skipped:
        said = ", ".join(f"{n} {why}" for why, n in rows.skipped.items())
        rows.notes.append(f"rows left out: {said}")
    shapes = {k: list(v) for k, v in row_shapes(inputs).items()}
    common = {"shapes": shapes, "content": _content(cut), **record}
    whole = {"notes": tuple(rows.notes), "skipped": rows.skipped}

    def source(of: labelling.Labelled, splits: dict[str, Split], **more: Any) -> Source:
        return Source(
            name=name,
            label=of.rules.title,
            splits=splits,
            spec=of.spec,
            scale=of.scale,
            **whole,
            **more,
        )

    if not labelled.targets:
        return source(labelled, cut, record={**_of_label(labelled), **common})
    each = [_of_label(one) for one in labelled.targets]
    several = {"label": labelled.rules.label, "targets": each}
    found = tuple(
        # Rows without this label are no error.
        source(
            one, _alone(cut, one, number), record={**own, "optional": True, **common}
        )
        for number, (one, own) in enumerate(zip(labelled.targets, each, strict=True))
    )
    return source(labelled, cut, record={**several, **common}, targets=found)


def _chosen(inputs: Any, rows: np.ndarray) -> Any:
    """Some rows of inputs."""
    if isinstance(inputs, dict):
        return {k: v[rows] for k, v in inputs.items()}
    return inputs.subset(rows) if isinstance(inputs, Pictures) else inputs[rows]


def _split(inputs: Any, labelled: labelling.Labelled, chosen: np.ndarray) -> Split:
    """A split of chosen rows, with their inputs."""
    return Split(
        inputs=inputs,
        label=labelled.label[chosen].astype(np.float32),
        value=labelled.value[chosen].astype(np.float32),
        bin=labelled.bin[chosen].astype(np.int32),
        weight=labelled.weight[chosen].astype(np.float32),
        index=labelled.rows.number[chosen].astype(np.int32),
        mask=None if labelled.mask is None else labelled.mask[chosen],
    )


def _of_label(labelled: labelling.Labelled) -> dict[str, Any]:
    """The entries of a record about one label."""
    return {
        "label": labelled.rules.label,
        "scale": labelled.scale.to_json(),
        "label_mean": labelled.spec.label_mean,
        "label_std": labelled.spec.label_std,
    }


def _alone(
    splits: Mapping[str, Split], one: labelling.Labelled, number: int
) -> dict[str, Split]:
    """The rows that have the label of a target, with it alone."""
    found = {}
    for position, name in enumerate(labelling.SPLITS):
        if name not in splits:
            continue
        whole, chosen = splits[name], np.flatnonzero(one.part == position)
        inputs = whole.inputs  # not copied, unless a label is missing
        if whole.mask is not None and not (there := whole.mask[:, number]).all():
            inputs, chosen = _chosen(inputs, np.flatnonzero(there)), chosen[there]
        found[name] = dataclasses.replace(_split(inputs, one, chosen), mask=None)
    return found


def require_file(
    path: pathlib.Path,
    what: str = "data.path must be a file,",
    hint: str = "Folders are for configs/images.py.",
) -> None:
    """Checks that a path is not a folder.

    Args:
      path: the file.
      what: the beginning of the message.
      hint: its end.

    Raises:
      InputError: if it is a folder.
    """
    if path.is_dir():
        raise InputError(f"{what} {path} is a folder. {hint}")
