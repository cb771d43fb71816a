"""Rows of published tables: every one builds, and its numbers are published."""

import importlib
import json
import pathlib
import re

import numpy as np
import pytest

from dirjax.config import frozen, validation
from dirjax.configs.recipes import groups
from dirjax.report import published
from tests import depth_folder, own_data, runs

pytestmark = pytest.mark.matrix

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "configs" / "recipes"
NAMES = sorted(f.stem for f in FOLDER.glob("*_*.py") if f.stem != "__init__")
SHOTS = ("all", "many", "median", "few")
# Metrics of a table, in the order of its columns.
METRICS = {
    "agedb_dir": ("mae", "gm"),
    "imdb_wiki_dir": ("mae", "gm"),
    "nyud2_dir": ("rmse", "delta1"),
    "stsb_dir": ("mse", "pearson"),
}
# Where the papers call a row otherwise than its preset; or leave out what it is of.
CALLED = {"inv_lds_fds": "INV+LDS+FDS", "lds": "INV+LDS", "lds_fds": "LDS+FDS"}
# They resample images, ours features: a method of another name.
CALLED |= {"smoter": "SMOTER", "smogn": "SMOGN", "smogn_lds_fds": "SMOGN+LDS+FDS"}
LINE = re.compile(r"^    (\w+)((?: +[\d.]+){8})$", re.MULTILINE)


def recipe(name):
    return importlib.import_module(f"dirjax.configs.recipes.{name}")


ROWS = [(name, row) for name in NAMES for row in recipe(name).ROWS]


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_row_is_a_config(name, row):
    config = frozen.plain(recipe(name).get_config(row))
    config["data"]["path"] = config["data"]["path"] or "folder"
    validation.validate(config)
    assert config["model"]["name"] in published.BACKBONES
    with pytest.raises(ValueError, match="unknown row"):
        recipe(name).get_config(f"{row}x")


def printed(text):
    """Numbers as they stand, without the zeros at their end."""
    return [float(n) for n in text.split()]


# Without numbers: those of their source are lost.
LOST = {"group_dir_resnet18"} | {n for n in NAMES if n.startswith("frobenius")}
# Rows that are not in the tables.
MORE = set(groups.CRITERIA) - {"group_dir"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - LOST))
def test_numbers_of_the_docstring_are_published(name):
    module = recipe(name)
    lines = dict(LINE.findall(module.__doc__))
    assert set(lines) == set(module.ROWS) - MORE
    for row, text in lines.items():
        config = frozen.plain(module.get_config(row))
        dataset = config["data"]["name"]
        method = CALLED.get(row) or published.METHODS[config["method"]]
        found = [
            record
            for record in published.records()
            if record.dataset == published.DATASETS[dataset]
            and record.method in (method, method.replace("SQINV+LDS+FDS", "LDS+FDS"))
        ]
        percent = {"pearson": 100.0}
        tables = [
            [
                round(float(values.get(s, "nan")) * percent.get(metric, 1.0), 4)
                for metric in METRICS[dataset]
                for values in (record.values.get(metric, {}),)
                for s in SHOTS
            ]
            for record in found
        ]
        assert printed(text) in tables, (name, row, tables)
        ssir = config["objective"].get("ssir")
        if ssir:
            settings = {"eps": ssir["epsilon"], "lambda": ssir["lam"]}
            key = (published.DATASETS[dataset], method)
            main = published.MAIN.get(key)
            assert main is None or main == settings


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("group_dir")])
def test_group_dir_trains_as_its_supplementary_says(name):
    """S000, 1.1: Adam, decay 1e-4, batches of 128, temperature 2.5, 300 epochs."""
    for row in groups.CRITERIA:
        config = frozen.plain(recipe(name).get_config(row))
        contrast, main = (config["stage"][s] for s in config["stages"])
        assert config["data"]["batch_size"] == 128
        assert (contrast["epochs"], main["epochs"]) == (300.0, 90.0)
        (term,) = contrast["objective"]["terms"].values()
        assert term["temperature"] == 2.5
        for stage in (contrast, main):
            names = ("optimizer", "momentum", "weight_decay", "decay")
            assert [stage[n] for n in names] == ["adam", 0.9, 1e-4, "all"]
            assert stage["learning_rate"] in groups.RATES[config["data"]["name"]]
        assert config["method"] == row
        small = name.endswith("resnet18")
        assert (config["model"]["name"] == "resnet18") == small


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("frobenius")])
def test_norms_are_trained_as_their_appendix_says(name):
    """S004, 1.1: rates of 1e-3 and 5e-5, weight decay; controls as long as models."""
    trained = {}
    for row in recipe(name).ROWS:
        config = frozen.plain(recipe(name).get_config(row))
        stages = list(config["stage"].values())
        for stage, rate in zip(stages, (1e-3, 5e-5), strict=False):
            assert stage["learning_rate"] == rate
            assert (stage["weight_decay"], stage["decay"]) == (1e-4, "all")
        assert config["method"] == row
        assert config["model"]["label_scaling"] == "deviation"
        trained[row] = sum(stage["epochs"] for stage in stages)
    whole = trained["vanilla"]
    assert whole == (195.0 if name.endswith("stsb") else 100.0)
    for row in set(trained) - {"vanilla", "frobenius_order"}:
        assert trained[row] == pytest.approx(0.8 * whole)


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """What the config of each data set needs to read a tiny one."""
    root = tmp_path_factory.mktemp("data")
    rows = [f"{20 + i % 7},{i}.jpg,{'train' if i < 12 else 'val'}" for i in range(16)]
    rows += [row.replace("val", "test") for row in rows[12:]]
    for table in ("agedb.csv", "imdb_wiki.csv"):
        own_data.write(root, table, own_data.table(rows, "age,path,split"))
    for i in range(16):
        pixels = np.full((10, 12, 3), 9 * i, np.uint8)
        own_data.write(root, f"{i}.jpg", own_data.to_image(pixels, "JPEG"))
    faces = {"data.path": str(root), "data.image_size": 32, "data.batch_size": 8}
    own_data.write_sentences(root / "sentences")
    depth = depth_folder.fields(depth_folder.make(root))
    return {
        "agedb_dir": faces | {"data.many": 1, "data.few": 1},
        "imdb_wiki_dir": faces | {"data.many": 1, "data.few": 1},
        "nyud2_dir": {k.replace("__", "."): v for k, v in depth.items()}
        | {"data.batch_size": 4},
        "stsb_dir": {
            "data.path": str(root / "sentences"),
            "data.batch_size": 8,
            "data.text.vectors": "glove.txt",
            "data.text.dim": 3,
        },
    }


def form(name, row):
    """What decides the program of a row: its config, without the numbers."""
    config = recipe(name).get_config(row)
    record = {k: v for k, v in frozen.plain(config).items() if k != "project"}
    kinds = {
        "model": record["model"],
        "objective": record["objective"],
        "data": config.data.kind,
        "stages": {
            n: {k: v for k, v in record["stage"][n].items() if k != "steps"}
            for n in record["stages"]
        },
    }
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", "#", json.dumps(kinds, sort_keys=True))


# Rows that differ in numbers alone have one program, which is traced once.
FORMS = {form(name, row): (name, row) for name, row in ROWS}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "row"), FORMS.values())
def test_a_step_of_the_published_size_has_shapes(name, row, fields):
    config = recipe(name).get_config(row)
    config.update_from_flattened_dict(fields[config.data.name])
    pieces, programs = runs.built(frozen.plain(config))
    assert len(programs) == len(config.stages)
    for program in programs:
        runs.trace(pieces, program)
