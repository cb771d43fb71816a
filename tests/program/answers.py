"""New rows for runs on tables, and their predictions."""

import csv
import pathlib

import numpy as np

from dirjax import predict
from tests import own_data

RNG = np.random.default_rng(0)
COUNT = 150
PARTS = [("train", "train", "train", "val", "test")[i % 5] for i in range(COUNT)]
# Missing values in all splits, and a colour that is not in the training split.
NORMAL = RNG.normal(size=COUNT).round(4).tolist()
X = [None if i % 7 == 3 else v for i, v in enumerate(NORMAL)]
COLOR = [
    None if i % 11 == 2 else "violet" if i % 20 == 4 else "rgb"[i % 3]
    for i in range(COUNT)
]
Y = [round(float(np.exp(v)), 4) for v in RNG.normal(size=COUNT)]
OK = [i % 4 == 0 for i in range(COUNT)]
COLUMNS = {"x": X, "color": COLOR, "ok": OK, "y": Y, "split": PARTS}


def to_csv(columns, order=None) -> str:
    """A CSV file of columns, or of the rows `order` of them."""
    rows = list(zip(*columns.values(), strict=True))
    cells = [
        ",".join("" if cell is None else str(cell) for cell in rows[i])
        for i in (range(len(rows)) if order is None else order)
    ]
    return own_data.table(cells, ",".join(columns))


def answers(workdir, path, **options) -> dict[str, list[str]]:
    """Columns of the predicted file, which is deleted."""
    output = pathlib.Path(path).parent / "answers.csv"
    predict.predict(workdir, path, output, **options)
    with output.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    output.unlink()
    return {name: [row[name] for row in rows] for name in rows[0]}


def predictions(workdir, path, **options) -> np.ndarray:
    return np.array(answers(workdir, path, **options)["prediction"], np.float64)


def evaluated(workdir) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers, labels and predictions of the test split."""
    with np.load(workdir / "predictions.npz") as stored:
        return tuple(stored[k] for k in ("index", "label", "prediction"))


def assert_as_evaluated(workdir, path, **options) -> None:
    index, _, prediction = evaluated(workdir)
    assert len(index) > 5
    assert len(np.unique(prediction)) > 5
    found = predictions(workdir, path, **options)[index]
    np.testing.assert_allclose(found, prediction, rtol=1e-5)


HEADER = "x,color,ok\n"
