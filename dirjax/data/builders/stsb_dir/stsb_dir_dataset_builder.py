"""STS-B-DIR for TensorFlow Datasets; see README.md, and `dirjax.data.readers.text`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from dirjax.data import catalog, labelling
from dirjax.data.builders import manual
from dirjax.data.formats import table_files
from dirjax.data.readers import pairs, text
from dirjax.data.readers import table as table_lib

_GET = catalog.ELSEWHERE["stsb_dir"][1]
_SENTENCES, _SCORE = ("sentence1", "sentence2"), "score"


class Builder(tfds.core.GeneratorBasedBuilder):
    """STS-B-DIR: pairs of sentences with their similarity, and the published split.

    Features: `sentence1` and `sentence2`, as they are; `score`, 0 to 5; `row`, the
    position in the file of its split, from 0, which is also the key.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "The three files as they are.",
        "1.1.0": "Scores in double precision, as a reader of the files has them.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _GET

    def _info(self) -> Any:
        sentences = {name: tfds.features.Text() for name in _SENTENCES}
        # As bytes, since records hold numbers in single precision only.
        score = tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {**sentences, _SCORE: score, "row": np.int64}
            ),
            homepage="https://github.com/YyzHarry/imbalanced-regression",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = text.split_folder(manual.folder("STS-B-DIR", _GET, dl_manager))
        return {
            split: self._generate_examples(folder / f"{pairs.PARTS[split]}.tsv")
            for split in labelling.SPLITS
        }

    def _generate_examples(self, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        table = table_files.read(file, bare_tabs=True)
        for name in (*_SENTENCES, _SCORE):
            table.require(name, f"STS-B-DIR has it, and {file}")
        rows = text.Rows([table], file.parent)
        score, _ = table_lib.stated_numbers(
            _SCORE, table.cells[_SCORE], rows, field="label"
        )
        sides = {name: table.cells[name].to_pylist() for name in _SENTENCES}
        for row in range(len(score)):
            words = {name: sides[name][row] or "" for name in _SENTENCES}
            yield row, {**words, _SCORE: score[row], "row": row}
