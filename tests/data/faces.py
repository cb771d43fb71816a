"""A small folder of faces in the layout of AgeDB."""

import numpy as np

from dirjax import data
from dirjax.config import validation
from tests import own_data, runs

ROWS = 60

TINY = {
    "data__image_size": 8,
    "data__augment__crop": 1,
    "data__batch_size": 8,
    "stage__main__steps": 2,
    "model__name": "small_resnet",
    "model__encoder": {"width": 4, "stage_sizes": (1,), "stem": "small"},
    "log__every": 1,
}


def ages():
    return np.arange(ROWS) % 7 + 20


def name_of(row):
    """A path as in AgeDB, with a trailing blank in the name and a non-Latin letter."""
    return f"AgeDB/{row}_Ann\u0430 Other _{ages()[row]}_f.jpg"


def lines(paths=None):
    """The rows of the CSV, with columns in the original order."""
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    paths = paths or [name_of(i) for i in range(ROWS)]
    return [f"{a},{p},{s}" for a, p, s in zip(ages(), paths, parts, strict=True)]


def picture(row, size=(10, 12)):
    """A JPEG of one colour, which identifies the row."""
    return own_data.to_image(np.full((*size, 3), 4 * row, np.uint8), "JPEG")


def write(folder, rows, table="agedb.csv", header="age,path,split", pictures=None):
    own_data.write(folder, table, own_data.table(rows, header))
    for i in range(ROWS) if pictures is None else pictures:
        own_data.write(folder, name_of(i), picture(i))
    return folder


def config(path, name="agedb_dir", argument="vanilla", **fields):
    return runs.config(name, argument, data__path=str(path), **TINY | fields)


def load(path, *args, **fields) -> data.Source:
    made = config(path, *args, **fields)
    validation.validate(made)
    return data.from_config(made["data"])


NOISE = np.random.default_rng(0).integers(0, 256, (37, 29, 3), np.uint8)
