"""AgeDB-DIR and IMDB-WIKI-DIR: ages of faces, in the benchmark's folder layout.

A folder holds the official CSV (columns age, path and split, by name, in UTF-8) and the
images that it names. Training reads this folder like any other table of images
(`images.load`). This module adds the special cases: identifying the split file, images
whose names were changed by unpacking, and messages that say what to get from whom. The
builders for TensorFlow Datasets (`dirjax.data.builders`) read the same folder with the
same code. Data sets prepared with them come back in the order of the CSV, so both forms
give the same batches.

Paths hold names of public persons. They are never printed: messages identify images by
  row.

Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021.
https://arxiv.org/abs/2102.09554

Split files are identified by git's checksum of their content (`git hash-object`), with
Unix line ends. An unknown table changes the data set's name, to `agedb_dir@1a2b3c4d`
for example, so no report compares its numbers with others.

**Deviations** from the published pipeline: camera orientation (EXIF) is applied. Ages
above 120 share one bin in the published weights and in these; here that bin also
determines their shot. The second protocol (see `configs/agedb_dir.py`) crops images to
their central square before random crops; published code crops from the whole image,
which is the same for square images.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from dirjax.data import row_checks
from dirjax.data.formats import text_columns, text_files
from dirjax.errors import InputError

# Most rows or names in a message.
_FEW = 10
# Feature of our TFDS builders: position of an example in its table.
ROW = "row"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One of the two benchmarks.

    Attributes:
      builder: its name in TensorFlow Datasets.
      title: its name in papers.
      table: name of the CSV.
      known: git's checksum of a CSV -> its short name, empty for the one that papers
        use, and a description.
      get: what to download, from whom, and where to put it.
      numbered: whether file names begin with a unique number.
      top: last age with its own bin.
    """

    builder: str
    title: str
    table: str
    known: Mapping[str, tuple[str, str]]
    get: str
    numbered: bool = False
    top: int = 120

    def find(self, path: pathlib.Path) -> pathlib.Path:
        """Finds the CSV: the file itself, or the one in a folder, plain or gzip.

        Raises:
          InputError: saying what to get, if there is none.
        """
        if path.is_file():
            return path
        for name in (self.table, f"{self.table}.gz"):
            if (path / name).is_file():
                return path / name
        raise InputError(f"{path} must hold {self.table}, it does not. {self.get}.")

    def check_columns(self, table: text_columns.Table, *names: str) -> None:
        """Checks that a table has the given columns.

        Raises:
          InputError: saying what to get.
        """
        for name in names:
            if name not in table.cells:
                raise InputError(
                    f"{table.file} must have the columns {', '.join(names)}, it has "
                    f"{', '.join(table.cells)}. {self.get}."
                )

    def check_labels(self, ages: np.ndarray, rows: row_checks.Rows) -> None:
        """Refuses negative ages, and notes how many ages share the last bin."""
        rows.refuse(
            "negative age",
            ages < 0,
            lambda i: f"ages must be at least 0, {rows.place(i)} has {ages[i]:g}",
        )
        above = int(np.sum(ages[rows.good] >= self.top + 1))
        if above:
            rows.notes.append(
                f"{above:,} ages lie above {self.top} and share the last bin; labels, "
                "losses and metrics use the exact ages"
            )

    def resolve(
        self, folder: pathlib.Path, paths: Sequence[str], rows: row_checks.Rows
    ) -> list[str]:
        """Paths of images as they are on disk.

        If unpacking changed letters of names, an image is found by the number at the
        start of its name.

        Args:
          folder: what paths are relative to.
          paths: paths in the table.
          rows: rows of the table; those without a file are refused.

        Raises:
          InputError: with the first missing files and their number, unless bad rows are
            skipped.
        """
        wanted = [name.rpartition("/") for name in paths]
        listed = {top: _listed(folder / top) for top in {w[0] for w in wanted}}
        found, missing, renamed = list(paths), np.zeros(len(paths), bool), 0
        numbers = {top: _by_number(names) for top, names in listed.items()}
        for i, (top, _, name) in enumerate(wanted):
            if name in listed[top] or not name:
                continue
            number = self.numbered and _NUMBER.match(name)
            other = numbers[top].get(number.group()) if number else None
            missing[i] = not other
            if other:
                found[i], renamed = f"{top}/{other}", renamed + 1
        if renamed:
            rows.notes.append(
                f"{renamed} images have different letters in their names than in "
                f"{self.table} and were found by the number at the start"
            )
        if missing[rows.good].all():
            raise InputError(
                f"{folder} must hold the images that {rows.file} names, none of "
                f"{len(paths):,} exists. {self.get}."
            )
        lost = np.flatnonzero(missing & rows.good)
        first = ", ".join(str(rows.number[i] + rows.first) for i in lost[:_FEW])
        rows.refuse(
            "missing image",
            missing,
            lambda i: (
                f"{folder} must hold the images that {rows.file} names, {len(lost):,} "
                f"are missing: those of rows {first}{' and more' * (len(lost) > _FEW)}"
            ),
        )
        return found

    def identify(self, name: str, file: pathlib.Path, rows: row_checks.Rows) -> str:
        """Name of the data set, which marks another split; see `named`."""
        name, said = self.named(name, checksum(file))
        rows.notes.append(said)
        return name

    def named(self, name: str, blob: str) -> tuple[str, str]:
        """Name of a data set with this split file, and a note on the file.

        Args:
          name: as in the config.
          blob: from `checksum`.
        """
        short, what = self.known.get(blob, (blob[:8], "an unknown split file"))
        if not short:
            return name, f"{self.table} is {what}"
        return f"{name}@{short}", (
            f"{self.table} is {what} (git blob {blob}): results get the name "
            f"{name}@{short} and are not comparable with published ones"
        )


_NUMBER = re.compile(r"\d+_")


def _by_number(names: set[str]) -> dict[str, str]:
    """`7_` -> the one file whose name begins with it."""
    found = [(m.group(), name) for name in names if (m := _NUMBER.match(name))]
    often = collections.Counter(number for number, _ in found)
    return {number: name for number, name in found if often[number] == 1}


def _listed(folder: pathlib.Path) -> set[str]:
    """Names in a folder; none if it does not exist."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def checksum(file: pathlib.Path) -> str:
    """Git's checksum of a file, plain or gzip, with Unix line ends."""
    with text_files.unpacked(file) as stream:
        content = stream.read().replace(b"\r\n", b"\n")
    # Not for security: it is the checksum by which git identifies files.
    return hashlib.sha1(
        b"blob %d\0" % len(content) + content, usedforsecurity=False
    ).hexdigest()


_REPOSITORY = "github.com/YyzHarry/imbalanced-regression"
AGEDB = Benchmark(
    builder="agedb_dir",
    title="AgeDB-DIR",
    table="agedb.csv",
    known={
        "78abfdb939ff5cf68672cf11ee9b84a0eb9e990a": (
            "",
            "the split file of Yang et al. (RankSim, ConR and Rank-N-Contrast have it, "
            "too)",
        ),
        "4f84b36c962d86f2b9abd537f3b93a1462fd945d": (
            "vir",
            "the split file of VIR (Wang and Wang 2023), with other test images",
        ),
    },
    get=(
        f"Take agedb.csv from agedb-dir/data of {_REPOSITORY}; ask the authors of "
        "AgeDB (Moschoglou et al. 2017, Imperial College London, research use only) "
        "for AgeDB.zip and its password, and unpack it beside the CSV: "
        "FOLDER/agedb.csv and FOLDER/AgeDB/*.jpg, 16,488 images"
    ),
    numbered=True,
)
IMDB_WIKI = Benchmark(
    builder="imdb_wiki_dir",
    title="IMDB-WIKI-DIR",
    table="imdb_wiki.csv",
    known={
        "c1512e3da0de9076a0793b982c9a74cd872c0d8b": (
            "",
            "the split file of Yang et al.",
        ),
    },
    get=(
        f"Take imdb_wiki.csv from imdb-wiki-dir/data of {_REPOSITORY}, and the faces "
        "imdb_crop.tar (7 GB) and wiki_crop.tar (1 GB) of IMDB-WIKI (Rothe et al. "
        "2018, ETH Zurich, research use only), unpacked beside the CSV: "
        "FOLDER/imdb_wiki.csv, FOLDER/imdb_crop/00 to 99 and FOLDER/wiki_crop/00 to 99"
    ),
)
# Data sets by name; `_p2` is the second protocol, which has different results.
SECOND = "_p2"
KNOWN = {
    f"{b.builder}{protocol}": b for b in (AGEDB, IMDB_WIKI) for protocol in ("", SECOND)
}
