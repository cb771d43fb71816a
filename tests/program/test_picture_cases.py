"""Pictures as people have them train to the right result: floats and ink."""

import numpy as np
import pytest
from PIL import Image

from tests import own_data, runs

KINDS = {
    "float": ("tif", np.float32),
    "ink": ("png", lambda g: np.dstack([*[0 * g] * 3, 255 * g]).astype(np.uint8)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_brightness_is_learnt(kind, tmp_path):
    rng = np.random.default_rng(0)
    tone = np.clip(rng.gamma(2, 0.12, 400), 0.02, 0.98)
    grey = np.clip(tone[:, None, None] + 0.01 * rng.normal(size=(400, 24, 24)), 0, 1)
    ending, make = KINDS[kind]
    for i, g in enumerate(grey):
        Image.fromarray(make(g)).save(tmp_path / f"{i}.{ending}")
    rows = [f"{i}.{ending},{100 * t:.2f}" for i, t in enumerate(tone)]
    own_data.write(tmp_path, "labels.csv", own_data.table(rows, "path,label"))
    # What a Mac leaves.
    own_data.write(tmp_path, "._labels.csv", rng.bytes(200))
    fields = {"stage__main__steps": 250, "data__image_size": 24}
    fields |= {"model__encoder": {"width": 16, "stage_sizes": (1,)}}
    made = own_data.config(tmp_path, "images", **fields)
    result = runs.run(made, tmp_path / "run")
    # Of labels from 2 to 98; a model that sees two levels has 9.9.
    assert result["test"]["mae"]["all"] < 0.8
