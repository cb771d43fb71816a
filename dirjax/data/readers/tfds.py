"""Reads TensorFlow Datasets by name: images with a label, or tables of scalars.

Besides `pipeline`, the only module that imports TensorFlow, on demand. Examples are
read once, still encoded, into host memory, since training accesses rows by number. Data
sets of dirjax's own builders (`dirjax.data.builders`) keep the order of their table;
those of sentences and depth maps are read by `_built`.
"""

from __future__ import annotations

import importlib
import math
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    catalog,
    faces,
    feature_columns,
    label_rules,
    labelling,
    readers,
    row_checks,
    sources,
)
from dirjax.data.readers import (
    _built,
    _depth_maps,
    _image_files,
    _typed_tables,
    images,
    nyud2,
    table,
)
from dirjax.data.readers import text as text_lib
from dirjax.data.splits import PARTS
from dirjax.errors import InputError

# Of config.data.path; see `readers`.
PATH = "optional"
# Data set -> the builder of dirjax that makes it.
OWN = {name: benchmark.builder for name, benchmark in faces.KNOWN.items()}
OWN |= {name: name for name in _built.FIELDS}


def _builder(name: str, folder: pathlib.Path | None, download: bool) -> Any:
    """The prepared builder of a data set."""
    import tensorflow_datasets as tfds

    own = OWN.get(name)
    try:
        if own:
            name = own
            # This registers its builder.
            importlib.import_module(
                f"dirjax.data.builders.{name}.{name}_dataset_builder"
            )
        builder = tfds.builder(name, data_dir=folder)
        if download and not own:
            builder.download_and_prepare()
    except InputError:
        raise
    except Exception as error:  # from many packages
        why = [w.rstrip(". ") for w in str(error).strip().splitlines()]
        raise InputError(
            f"TensorFlow Datasets has no {name!r} in {folder or 'its folder'}: "
            f"{why[0] if why else type(error).__name__}. Check data.name and data.path "
            "(its data_dir)."
        ) from error
    if not builder.info.splits:
        if own:
            where = f" --data_dir {shlex.quote(str(folder))}" if folder else ""
            raise InputError(
                f"{name!r} is not in {builder.data_dir} yet. Prepare it with python -m "
                f"dirjax.data build {name} --manual_dir FOLDER{where}, or read the "
                f"folder directly, without data.kind. {catalog.ELSEWHERE[name][1]}."
            )
        raise InputError(
            f"{name!r} is not in {builder.data_dir} yet. Prepare it with "
            "--config.data.download=true."
        )
    return builder


def _read(
    builder: Any, keep: Sequence[str], encoded: Sequence[str]
) -> tuple[dict[str, list[Any]], np.ndarray]:
    """All examples of all splits: feature -> values, and the split of each."""
    import tensorflow_datasets as tfds

    skip: Any = {name: tfds.decode.SkipDecoding() for name in encoded}
    values: dict[str, list[Any]] = {name: [] for name in keep}
    part: list[int] = []
    for split in sorted(builder.info.splits, key=lambda s: PARTS.get(s, 3)):
        if split not in PARTS:
            continue
        data = builder.as_dataset(split=split, decoders=skip, shuffle_files=False)
        for example in tfds.as_numpy(data):
            for name in keep:
                values[name].append(example[name])
            part.append(PARTS[split])
    return values, np.asarray(part, np.int8)


def load(
    name: str,
    folder: pathlib.Path | None,
    rules: label_rules.Rules,
    *,
    input: str = "",
    download: bool = False,
    image_size: int = 64,
    channels: int = 0,
    memory: float = math.inf,
    fit: str = "stretch",
    ground: str = "white",
    pixel_range: tuple[float, float] | None = None,
    view_size: int = 0,
    mean_and_std: tuple[float, float] | None = None,
    weight: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    text: Mapping[str, Any] | None = None,
    drop_leaks: bool = False,
    depth: Mapping[str, Any] | None = None,
) -> sources.Source:
    """Reads a data set of TensorFlow Datasets.

    Args:
      name: as in `tfds.load`, with configuration and version if wanted.
      folder: the `data_dir` of TensorFlow Datasets, or None for its default.
      rules: rules of the label, its bins and the split. Splits other than train,
        validation and test are not read; with train alone, a split is made.
      input: the image feature; empty for the only one, or, without image features, for
        a table of all scalar features.
      download: download and prepare the data set first.
      image_size: for images, see `images.load`.
      channels: see `images.load`.
      memory: see `_image_files.read_all`.
      fit: see `decoding`.
      ground: see `decoding`.
      pixel_range: see `images.load`.
      view_size: see `images.from_arrays`.
      mean_and_std: see `images.from_arrays`.
      weight: feature of training weights, or None.
      numeric: see `feature_columns.typed`.
      categorical: see `feature_columns.typed`.
      drop: see `feature_columns.typed`.
      both: see `table.load`.
      scaling: see `TablePreprocessor.fit`.
      quantiles: see `TablePreprocessor.fit`.
      text: for the sentences of STS-B-DIR, see `text.load`; `vectors` is relative to
        the data_dir.
      drop_leaks: whether training pairs that are tested are left out, see `text.load`.
      depth: for the maps of NYUD2-DIR, see `nyud2.load`.

    Returns:
      The source.

    Raises:
      InputError: if there is no such data set or feature.
    """
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    builder = _builder(name, folder, download)
    _built.check(builder.name, {"text": text, "depth": depth}, input)
    if text is not None:
        return _built.sentences(
            builder, name, rules, fields=text, drop_leaks=drop_leaks
        )
    if depth is not None:
        return _built.maps(builder, name, rules, image_size=image_size, fields=depth)
    known: Any = builder.info.features
    for wanted, field in (
        (rules.label, "data.label"),
        (input, "data.input"),
        (weight, "data.weight"),
    ):
        if wanted and wanted not in known:
            raise InputError(
                f"{name!r} has no feature {wanted!r} ({field}); it has "
                f"{', '.join(known)}. Name one of them."
            )
    picture = _picture(known, input, name)
    facts = [rules.label, *([weight] if weight else [])]
    scalars = [k for k, f in known.items() if f.shape == () and k not in facts]
    keep = [*facts, *([picture] if picture else scalars)]
    benchmark = faces.KNOWN.get(name)
    keep += [faces.ROW] if benchmark else []
    values, part = _read(builder, keep, [picture] if picture else [])
    if not (part == 0).any():
        raise InputError(
            f"{name!r} must have a split train, it has "
            f"{', '.join(builder.info.splits)}. Name another one with "
            "--config.data.name=NAME."
        )

    def numbers(feature: str, what: str) -> np.ndarray:
        what = f"{what} must be one number per example; {feature!r} of {name!r}"
        return _numbers(values[feature], known[feature], what)

    rows = row_checks.Rows(np.arange(len(part)), name, rules.on_bad, first=0)
    if benchmark:
        order = np.argsort(values[faces.ROW])
        values = {k: [v[i] for i in order] for k, v in values.items()}
        part, number = part[order], np.asarray(values[faces.ROW])
        rows = row_checks.Rows(number, benchmark.table, rules.on_bad)
        name, said = benchmark.named(name, builder.info.metadata["table"])
        rows.notes.append(said)
    y = numbers(rules.label, "labels (data.label)")
    if benchmark:
        benchmark.check_labels(y, rows)
    weights = numbers(weight, "weights (data.weight)") if weight else None
    given = None if (part == 0).all() else part
    if not picture:
        columns = {k: _column(values[k]) for k in scalars}
        features = feature_columns.typed(
            columns, rows, numeric=numeric, categorical=categorical, drop=drop
        )
        labelled = labelling.label_rows(y, rows, rules, part=given, weight=weights)
        return _typed_tables.from_features(
            name,
            features,
            labelled,
            named=feature_columns.listed((*numeric, *categorical), scalars),
            both=both,
            scaling=scaling,
            quantiles=quantiles,
        )
    pixels = _image_files.read_all(
        values[picture],
        lambda data: data,
        rows,
        rows.place,
        _image_files.reading_of(image_size, channels, fit, ground, pixel_range),
        memory=memory,
    )
    labelled = labelling.label_rows(y, rows, rules, part=given, weight=weights)
    return images.from_arrays(
        name,
        pixels.array,
        labelled,
        mean_and_std,
        reading=pixels.reading,
        view=view_size,
    )


def _picture(known: Mapping[str, Any], input: str, name: str) -> str:
    """The feature of images: the wanted one, else the only one; empty for a table."""
    import tensorflow_datasets as tfds

    pictures = [k for k, f in known.items() if isinstance(f, tfds.features.Image)]
    if input and input not in pictures:
        raise InputError(
            f"data.input must name an image feature, {input!r} of {name!r} is not one. "
            "Image features: "
            f"{', '.join(pictures) or 'none; leave it out for a table'}."
        )
    if not input and len(pictures) > 1:
        raise InputError(
            f"{name!r} has several image features: {', '.join(pictures)}. Name one "
            "with --config.data.input=NAME."
        )
    return input or (pictures[0] if pictures else "")


def _numbers(values: Sequence[Any], feature: Any, what: str) -> np.ndarray:
    """The values of a feature as `[rows]` float64; `what` begins the error."""
    try:
        return np.asarray(values, np.float64).reshape(len(values))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{what} is {type(feature).__name__} {list(feature.shape)}. Name another "
            "feature."
        ) from error


def _column(values: list[Any]) -> np.ndarray:
    """A scalar feature as numbers or text."""
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    text = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
    return np.asarray(text, np.str_)


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
    label: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads rows to predict from files, by `read_new` of the reader of such files."""
    files = {"images": images, "text": text_lib, "dense": _depth_maps}
    reader: Any = files.get(record["kind"], table)
    return reader.read_new(path, record, on_bad=on_bad, keep=keep, label=label)


def check(data: Mapping[str, Any]) -> None:
    """Checks the fields for depth maps, where a config has them.

    Args:
      data: the fields of `config.data`.

    Raises:
      InputError: naming the first invalid field.
    """
    if "depth" in data:
        nyud2.check(data)
