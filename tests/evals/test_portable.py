"""A run as StableHLO answers as `dirjax.predict` does."""

import json

import jax
import numpy as np
import pytest

from dirjax import errors
from dirjax.data.preprocess import TablePreprocessor
from dirjax.evals import portable
from dirjax.interface.model import Model
from tests import own_data, runs
from tests.program.answers import COLUMNS, COUNT

FIELDS = {
    "data__label": "y",
    "data__batch_size": 32,
    "model__encoder": {"width": 8, "depth": 1},
    "stage__main__steps": 6,
}


def exported(folder):
    blob = bytearray((folder / "model.stablehlo").read_bytes())
    return jax.export.deserialize(blob), json.loads((folder / "model.json").read_text())


@pytest.mark.parametrize(
    ("method", "scale"),
    [
        ("vanilla", "linear"),
        pytest.param("histogram", "log", marks=pytest.mark.slow),
        pytest.param("vanilla", "log", marks=pytest.mark.slow),
        pytest.param("gaussian", "linear", marks=pytest.mark.slow),
    ],
)
def test_tables(on_a_table, tmp_path, method, scale):
    run = on_a_table / "run"
    if (method, scale) != ("vanilla", "linear"):
        run = tmp_path / "run"
        fields = {**FIELDS, "data__label_scale": scale}
        file = on_a_table / "mine.csv"
        runs.run(own_data.config(file, argument=f"{method},smoke", **fields), run)
    files = portable.write(run, tmp_path / "out")
    assert [f.name for f in files] == [
        *("model.stablehlo", "model.json", "model.safetensors")
    ]
    found, about = exported(tmp_path / "out")
    assert found.platforms == ("cpu", "tpu", "cuda")
    text = {c: [v or "" for v in map(own, COLUMNS[c])] for c in about["categorical"]}
    inputs = {
        "numeric": np.array([COLUMNS[c] for c in about["numeric"]], np.float32).T,
        "categorical": np.array(
            [
                [known.index(v) + 1 if v in known else 0 for v in text[c]]
                for c, known in about["categorical"].items()
            ],
            np.int32,
        ).T,
    }
    train = np.array(about["bins"]["train"])
    ratio = (-np.log(len(train)) - np.log(train)).astype(np.float32)
    model = Model(run)
    given = {k: v for k, v in COLUMNS.items() if k != "split"}
    for tau in (0.0, 0.5, 1.0):
        after = found.call(inputs, ratio, np.float32(tau))
        prior = {"prior": "uniform", "tau": tau} if tau else {}
        want = model.predict(given, **prior)
        np.testing.assert_allclose(after["prediction"], want, rtol=2e-3)
        np.testing.assert_allclose(after["probabilities"].sum(axis=1), 1, rtol=1e-4)
    # A batch of any size.
    few = {k: v[: COUNT // 3] for k, v in inputs.items()}
    some = found.call(few, ratio, np.float32(1.0))["prediction"]
    np.testing.assert_allclose(some, after["prediction"][: COUNT // 3], rtol=1e-5)


def own(value):
    return value if value is None else str(value)


@pytest.mark.slow
def test_maps_and_images(tmp_path):
    for made, name in ((runs.tiny_depth("vanilla"), "m"), (runs.tiny_images(), "i")):
        runs.run(made, tmp_path / name)
        portable.write(tmp_path / name, tmp_path / f"{name}-out", ("cpu",))
        found, about = exported(tmp_path / f"{name}-out")
        shape = about["inputs"]["inputs"]
        x = np.zeros((3, *shape[1:]), np.uint8)
        more = ()
        if "bins" in about:
            train = np.array(about["bins"]["train"], np.float32)
            more = (np.zeros_like(train), np.float32(0))
        got = found.call(x, *more)["prediction"]
        np.testing.assert_allclose(got, Model(tmp_path / name).predict(x), rtol=1e-4)


def test_refused(tmp_path):
    with pytest.raises(errors.InputError, match="--platforms must be of cpu"):
        portable.write(tmp_path, tmp_path / "out", ("phone",))


def test_columns_that_single_precision_rounds_are_named():
    """Seconds of one hour of 2023 are 128 apart; years and small numbers are exact."""
    some = np.linspace(0, 1, 50)
    columns = {
        "seconds": 1.7e9 + 3600 * some,
        "year": np.repeat([2019.0, 2020.0], 25),
        "tiny": 1e-9 * some,
        "gap": np.full(50, np.nan),
    }
    fitted = TablePreprocessor.fit(columns, numeric=tuple(columns), categorical=())
    shapes, _, about = portable.inputs_of({"kind": "table", "table": fitted.to_json()})
    assert shapes["numeric"] == ((None, 4), "float32")
    assert about["rounded"] == {"seconds": 128.0}


@pytest.mark.parametrize("deep", [False, True])
def test_pixels_of_more_than_8_bits_are_levels_without_rounding(deep):
    scale = {"ranges": {"whole": [0.0, 4095.0]}, "window": False} if deep else None
    record = {"kind": "images", "shapes": {"inputs": (8, 8, 1)}, "pixel_scale": scale}
    made, _, about = portable.inputs_of(record)
    assert made == ((None, 8, 8, 1), "float32" if deep else "uint8")
    assert about.get("pixels") == scale


def test_the_folder_is_checked_before_the_work(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(errors.InputError, match="--output must be a writable folder"):
        portable.write(tmp_path, tmp_path / "out")
    with pytest.raises(errors.InputError, match="no readable config"):
        portable.write(tmp_path / "none", tmp_path / "new")
    assert not (tmp_path / "new").exists()
