"""NYUD2-DIR for TensorFlow Datasets; see README.md, and `dirjax.data.readers.nyud2`."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from dirjax.data import catalog
from dirjax.data.builders import manual
from dirjax.data.formats import decoding
from dirjax.data.readers import _nyud2_files
from dirjax.errors import InputError

_GET = catalog.ELSEWHERE["nyud2_dir"][1]
_BITS = {"train": 8, "test": 16}  # of a pixel of the depth images
# The crop that the mask of tested pixels belongs to.
CROP = (228, 304)


class Builder(tfds.core.GeneratorBasedBuilder):
    """NYUD2-DIR: indoor images with the depth of each pixel, and the published split.

    Features: `image`, the file as it is; `depth` `[height, width]` in metres, at the
    size of the image; `tested` `[228, 304]`, which pixels of the centre crop of the
    scaled image are tested, `[0, 0]` in training; `statistics`, the position of the row
    in the published subset for feature statistics, -1 outside; `room`, of a training
    image, by which validation rows are held out; `row`, the position in the list of its
    split, from 0, which is also the key.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "The lists, images, depth and mask as they are.",
        "1.1.0": "Rooms, and the order of the subset for statistics.",
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
                    "statistics": np.int64,
                    "room": tfds.features.Text(),
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
        subset = _nyud2_files.paths_of(folder / _nyud2_files.SUBSET, folder)
        shape = (len(lists["test"]), *CROP)
        mask = _nyud2_files.read_mask(folder / _nyud2_files.MASK, shape)
        chosen = {picture: at for at, (picture, _) in enumerate(subset)}
        return {
            split: self._generate_examples(folder, split, paths, chosen, mask)
            for split, paths in lists.items()
        }

    def _generate_examples(
        self,
        folder: pathlib.Path,
        split: str,
        paths: list[tuple[str, str]],
        chosen: Mapping[str, int],
        mask: np.ndarray,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, (picture, depth) in enumerate(paths):
            try:
                content, encoded = ((folder / p).read_bytes() for p in (picture, depth))
                opened = decoding.opened(encoded)
                _nyud2_files.check_pair(decoding.opened(content), opened, _BITS[split])
            except (OSError, decoding.Unreadable) as error:
                raise InputError(
                    f"images and depth maps must be readable, those of row {row + 1} "
                    f"of {folder}/nyu2_{split}.csv are not: {error}. Fetch them again."
                ) from error
            yield (
                row,
                {
                    "image": content,
                    "depth": _nyud2_files.metres(np.asarray(opened), _BITS[split]),
                    "tested": mask[row] if split == "test" else np.zeros((0, 0), bool),
                    "statistics": chosen.get(picture, -1) if split == "train" else -1,
                    "room": _nyud2_files.room(picture) if split == "train" else "",
                    "row": row,
                },
            )
