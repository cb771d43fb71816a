"""Facts of small tables."""

import numpy as np

from dirjax import data
from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.data.describe import facts as facts_lib


def look(config="csv", **fields):
    """The description of the data of a config file."""
    made = config_files.load(f"configs/{config}.py", "vanilla")
    for field, value in fields.items():
        made.data[field] = value
    plain = frozen.plain(made)["data"]
    return facts_lib.describe(data.from_config(plain), plain)


def table(folder, columns, **fields):
    """The description of a table with label y; all rows train without a split."""
    rows = len(columns["y"])
    columns = {"x": np.random.default_rng(0).normal(size=rows)} | columns
    columns = {"split": ["train"] * rows} | columns
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    file = folder / "mine.csv"
    file.write_text("\n".join(lines))
    fields = {"path": str(file), "label": "y", "bin_width": 1.0} | fields
    return look(**fields)


def names(facts):
    return [finding["name"] for finding in facts["findings"]]


def sentence(facts, name):
    (found,) = [f["text"] for f in facts["findings"] if f["name"] == name]
    return found
