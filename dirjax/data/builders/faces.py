"""What the builders of AgeDB-DIR and IMDB-WIKI-DIR share; see `dirjax.data.faces`."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from dirjax.data import faces, label_rules, labelling, row_checks
from dirjax.data.builders import manual
from dirjax.data.formats import decoding, table_files, text_columns
from dirjax.data.readers import table as table_lib
from dirjax.errors import InputError


class FacesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Examples of a CSV with age, path and split, and of the images beside it.

    Features: `image`, the file as it is; `age` in years; `row`, the position below the
    header of the CSV, from 0, which is also the key.

    Attributes:
      BENCHMARK: which of the sets.
    """

    BENCHMARK: faces.Benchmark
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "The CSV and the images as they are."
    }

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "age": np.float32,
                    faces.ROW: np.int64,
                }
            ),
            supervised_keys=("image", "age"),
            homepage="https://github.com/YyzHarry/imbalanced-regression",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        benchmark = self.BENCHMARK
        file = benchmark.find(manual.folder(benchmark.title, benchmark.get, dl_manager))
        table = table_files.read(file)
        benchmark.check_columns(table, "path", "age", labelling.SPLIT)
        rows = row_checks.Rows(table.number, file)
        rules = label_rules.Rules("age")
        ages, part, *_ = table_lib.row_facts(
            table, rows, (rules.label,), split=labelling.SPLIT, weight=None
        )
        label_rules.check_labels(ages, rows, rules)
        benchmark.check_labels(ages, rows)
        paths = text_columns.words(table.cells["path"]).tolist()
        paths = benchmark.resolve(file.parent, paths, rows)
        metadata: Any = self.info.metadata
        metadata["table"] = faces.checksum(file)
        return {
            split: self._generate_examples(
                file.parent, paths, ages, rows, np.flatnonzero(part == position)
            )
            for position, split in enumerate(labelling.SPLITS)
            if (part == position).any()
        }

    def _generate_examples(
        self,
        folder: pathlib.Path,
        paths: list[str],
        ages: np.ndarray,
        rows: row_checks.Rows,
        chosen: np.ndarray,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in chosen.tolist():
            content = (folder / paths[i]).read_bytes()
            try:
                decoding.opened(content)
            except decoding.Unreadable as error:
                raise InputError(
                    f"images must be readable, that of {rows.place(i)} is not: "
                    f"{error}. Fix it, or leave its row out of the CSV."
                ) from error
            number = int(rows.number[i])
            yield number, {"image": content, "age": ages[i], faces.ROW: number}
