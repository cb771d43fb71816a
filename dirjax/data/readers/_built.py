"""What dirjax's own builders made of STS-B-DIR and NYUD2-DIR, as the files have it.

Rows, splits, labels and inputs are those that the readers `text` and `nyud2` give for
the folder that was built from, in the order of its files, so a benchmark's config takes
either form. AgeDB-DIR and IMDB-WIKI-DIR are images with a label, see `tfds`.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dirjax.data import column_types, label_rules, row_checks, sources
from dirjax.data.formats import decoding, text_columns
from dirjax.data.readers import _nyud2_files, nyud2, pairs, text
from dirjax.errors import InputError

STSB, NYUD2 = "stsb_dir", "nyud2_dir"
# Builder -> the fields of `config.data` that say how it is read, and the config.
FIELDS = {STSB: "text", NYUD2: "depth"}
_CONFIG = "configs/{0}.py --config.data.kind=tfds"
# Examples that are scaled at a time.
_BLOCK = 256


def check(builder: str, given: Mapping[str, Any], input: str) -> None:
    """Checks that a config reads a data set as what it is, and not as any table.

    Args:
      builder: name of the data set's builder.
      given: field of `FIELDS` -> its value, None where the config has none.
      input: `config.data.input`, which no builder has.

    Raises:
      InputError: saying which config reads it.
    """
    field = FIELDS.get(builder)
    for name, value in given.items():
        if value is not None and name != field:
            own = next(b for b, f in FIELDS.items() if f == name)
            raise InputError(
                f"a config with data.{name} reads {own} of dirjax's own builders, "
                f"{builder!r} is another data set. Use configs/tfds.py for it."
            )
    if field and given[field] is None:
        raise InputError(
            f"{builder} is not a table of scalars. Read it with "
            f"{_CONFIG.format(builder)}, without the option embeddings."
        )
    if field and input:
        raise InputError(
            f"{builder} of TensorFlow Datasets has no file {input!r} (data.input). "
            "Leave out the option that names it, or read the file itself: "
            "--config.data.kind=nyud2."
        )


def _examples(builder: Any, split: str) -> Iterator[dict[str, Any]]:
    """The examples of a split, in the order of its shards, with images encoded."""
    import tensorflow_datasets as tfds

    features: Any = builder.info.features
    skip = {
        name: tfds.decode.SkipDecoding()
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Image)
    }
    data = builder.as_dataset(split=split, decoders=skip, shuffle_files=False)
    yield from tfds.as_numpy(data)


def sentences(
    builder: Any,
    name: str,
    rules: label_rules.Rules,
    *,
    fields: Mapping[str, Any],
    drop_leaks: bool,
) -> sources.Source:
    """STS-B-DIR; see `text.load`.

    Args:
      builder: prepared.
      name: of the data set.
      rules: see `text.load`.
      fields: those of `data.text`; `vectors` is relative to the data_dir.
      drop_leaks: see `text.load`.

    Raises:
      InputError: as `text.load`.
    """
    text.check_text(fields)
    root = pathlib.Path(builder.data_dir)
    vectors = text.vectors_in(root.parents[1], fields["vectors"])
    tables = [_table(builder, split, root) for split in pairs.PARTS]
    for table in tables:
        for column in fields["columns"]:
            table.require(column, "data.text.columns")
        table.require(rules.label, "data.label")
    return text.from_tables(
        name,
        tables,
        text.Rows(tables, root, rules.on_bad),
        vectors,
        rules,
        text=fields,
        wishes=column_types.Wishes(),
        drop_leaks=drop_leaks,
    )


def _table(builder: Any, split: str, root: pathlib.Path) -> text_columns.Table:
    """A split as the table that its file was."""
    import pyarrow as pa

    examples = sorted(_examples(builder, split), key=lambda example: example["row"])
    cells = {
        column: pa.array(
            [x.decode() if isinstance(x, bytes) else repr(float(x)) for x in values],
            pa.string(),
        )
        for column in builder.info.features
        if column != "row"
        for values in [[example[column] for example in examples]]
    }
    number = np.array([example["row"] for example in examples], np.int64)
    return text_columns.Table(root / split, cells, number)


def maps(
    builder: Any,
    name: str,
    rules: label_rules.Rules,
    *,
    image_size: int,
    fields: Mapping[str, Any],
) -> sources.Source:
    """NYUD2-DIR; see `nyud2.source`.

    Args:
      builder: prepared.
      name: of the data set.
      rules: see `nyud2.source`.
      image_size: shorter side of images after scaling, in pixels.
      fields: those of `data.depth`; `test_mask` and `statistics` are those that were
        built, the published ones, or "drawn" or "all", and empty.

    Raises:
      InputError: as `nyud2.source`, or for another mask or subset.
    """
    nyud2.check_label(name, rules)
    mask = fields["test_mask"]
    for field, known in (
        ("test_mask", (_nyud2_files.MASK, _nyud2_files.DRAWN, _nyud2_files.ALL)),
        ("statistics", (_nyud2_files.SUBSET, "")),
    ):
        if fields[field] not in known:
            raise InputError(
                f"data.depth.{field} of a built data set must be one of "
                f"{', '.join(map(repr, known))}, got {fields[field]!r}. Read the files "
                "themselves for another: --config.data.kind=nyud2."
            )
    train, facts = _list(builder, "train", rules, image_size)
    test, tested_facts = _list(builder, "test", rules, image_size)
    rooms = [fact["room"].decode() for fact in facts]
    _nyud2_files.divide(train, test, rooms, rules, fields["val_share"])
    place = np.array([fact["statistics"] for fact in facts])

    def tested(shape: tuple[int, ...]) -> np.ndarray:
        if mask == _nyud2_files.ALL:
            return np.ones(shape, bool)
        found = np.stack([fact["tested"] for fact in tested_facts])
        if found.shape != shape:
            raise InputError(
                f"the mask of tested pixels is {list(found.shape)} (test rows, height, "
                f"width), for data.depth.crop it must be {list(shape)}. Use the "
                "default data.depth.crop, or --config.data.depth.test_mask=drawn."
            )
        return found

    def chosen(rows: np.ndarray, notes: list[str]) -> np.ndarray | None:
        at = place[rows]
        return _nyud2_files.noted(
            np.argsort(at, kind="stable")[np.sum(at < 0) :], int(place.max()) + 1, notes
        )

    return nyud2.of_lists(
        name,
        (train, test),
        rules,
        crop=fields["crop"],
        maps=fields["maps"],
        tested=None if mask == _nyud2_files.DRAWN else tested,
        chosen=chosen if fields["statistics"] else None,
        where=str(builder.data_dir),
    )


def _list(
    builder: Any, split: str, rules: label_rules.Rules, size: int
) -> tuple[_nyud2_files.Pairs, list[dict[str, Any]]]:
    """A split as the list that its file was, and what else is known of its rows."""
    from PIL import Image

    bits = 8 if split == "train" else 16

    def scaled(example: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        codes = Image.fromarray(_nyud2_files.codes_of(example["depth"], bits))
        return _nyud2_files.pair(example["image"], codes, size, bits)

    found: dict[int, Any] = {}
    facts: dict[int, dict[str, Any]] = {}
    examples = _examples(builder, split)
    # Maps at full size do not fit into memory together.
    while block := list(itertools.islice(examples, _BLOCK)):
        for example, made in zip(
            block, decoding.in_threads(block, scaled), strict=True
        ):
            row = int(example["row"])
            found[row] = made
            facts[row] = {k: example[k] for k in ("room", "statistics", "tested")}
    where = f"{builder.data_dir} ({split})"
    rows = row_checks.Rows(np.arange(len(found)), where, rules.on_bad, first=1)

    def read(row: int) -> tuple[np.ndarray, np.ndarray]:
        made = found.pop(row)  # It is read once, into one array of all.
        if isinstance(made, decoding.Unreadable):
            raise made
        return made

    listed = _nyud2_files.Pairs(
        rows,
        np.zeros(len(found), np.int8),
        read,
        rows.place,
        np.arange(len(found)) if split == "test" else np.zeros(0, int),
    )
    return listed, [facts[row] for row in range(len(facts))]
