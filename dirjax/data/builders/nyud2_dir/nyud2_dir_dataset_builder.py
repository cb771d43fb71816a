"""NYUD2-DIR for TensorFlow Datasets; see README.md, and `dirjax.data.readers.nyud2`."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from dirjax.data import catalog
from dirjax.data.builders import manual
from dirjax.data.formats import decoding
from dirjax.data.readers import _nyud2_files
from dirjax.errors import InputError

_GET = catalog.ELSEWHERE["nyud2_dir"][1]
# Metres of one step of the depth images, which have 8 bits in training, 16 in the test.
_METRES = {"train": 10.0 / 255.0, "test": 0.001}
# The crop that the mask of tested pixels belongs to.
CROP = (228, 304)


class Builder(tfds.core.GeneratorBasedBuilder):
    """NYUD2-DIR: indoor images with the depth of each pixel, and the published split.

    Features: `image`, the file as it is; `depth` `[height, width]` in metres, at the
    size of the image; `tested` `[228, 304]`, which pixels of the centre crop of the
    scaled image are tested, `[0, 0]` in training; `statistics`, whether the row is in
    the published subset for feature statistics; `row`, the position in the list of its
    split, from 0, which is also the key.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "The lists, images, depth and mask as they are."
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _GET

    def _info(self) -> Any:
        def maps(dtype: Any) -> Any:
            return tfds.features.Tensor(
                shape=(None, None), dtype=dtype, encoding="zlib"
            )

        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "depth": maps(np.float32),
                    "tested": maps(np.bool_),
                    "statistics": np.bool_,
                    "row": np.int64,
                }
            ),
            supervised_keys=("image", "depth"),
            homepage="https://github.com/YyzHarry/imbalanced-regression",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = manual.folder("NYUD2-DIR", _GET, dl_manager)
        lists = {
            split: _nyud2_files.paths_of(folder / f"nyu2_{split}.csv", folder)
            for split in ("train", "test")
        }
        subset = _nyud2_files.paths_of(folder / "nyu2_train_FDS_subset.csv", folder)
        shape = (len(lists["test"]), *CROP)
        mask = _nyud2_files.read_mask(folder / "test_balanced_mask.npy", shape)
        chosen = {picture for picture, _ in subset}
        return {
            split: self._generate_examples(folder, split, paths, chosen, mask)
            for split, paths in lists.items()
        }

    def _generate_examples(
        self,
        folder: pathlib.Path,
        split: str,
        paths: list[tuple[str, str]],
        chosen: set[str],
        mask: np.ndarray,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, (picture, depth) in enumerate(paths):
            try:
                content, encoded = ((folder / p).read_bytes() for p in (picture, depth))
                decoding.opened(content)
                codes = np.asarray(decoding.opened(encoded))
            except (OSError, decoding.Unreadable) as error:
                raise InputError(
                    f"images and depth maps must be readable, those of row {row + 1} "
                    f"of {folder}/nyu2_{split}.csv are not: {error}. Fetch them again."
                ) from error
            yield (
                row,
                {
                    "image": content,
                    "depth": (codes * _METRES[split]).astype(np.float32),
                    "tested": mask[row] if split == "test" else np.zeros((0, 0), bool),
                    "statistics": split == "train" and picture in chosen,
                    "row": row,
                },
            )
