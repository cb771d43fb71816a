"""Synthetic runs that are quick to draw."""

import json

from dirjax import report
from tests.fake_runs import write_run


def small(folder, **kwargs):
    """Writes a run with few test rows; returns its directory."""
    return write_run(folder, examples=400, **kwargs)


def run(folder, method, seed=0, shrink=0.25, **config):
    """Writes and reads a run with few test rows."""
    return report.read_run(
        small(folder, method=method, seed=seed, shrink=shrink, **config)
    )


def change(folder, name, edit):
    """Applies `edit` to a JSON file of a run."""
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))
