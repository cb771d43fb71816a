"""Synthetic runs that are quick to draw."""

import json

import numpy as np

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


def scaled(folder, factor, **kwargs):
    """Writes a run whose label is in other units; returns its directory."""
    small(folder, **kwargs)

    def bins(content):
        content["edges"] = [edge * factor for edge in content["edges"]]

    def result(content):
        for metric, power in {"mae": 1, "gm": 1, "rmse": 1, "mse": 2}.items():
            shots = content["test"][metric]
            content["test"][metric] = {s: v * factor**power for s, v in shots.items()}

    change(folder, "bins.json", bins)
    change(folder, "result.json", result)
    with np.load(folder / "predictions.npz") as stored:
        arrays = dict(stored)
    for name in ("label", "prediction"):
        arrays[name] = arrays[name].astype(np.float64) * factor
    np.savez(folder / "predictions.npz", **arrays)
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    kept = ("step", "epoch", "stage", "time", "split")
    scale = dict.fromkeys(("loss", "loss/l1", "loss/ranksim"), factor)
    scale |= {f"mae/{shot}": factor for shot in ("all", "many", "median", "few")}
    (folder / "metrics.jsonl").write_text(
        "".join(
            json.dumps(
                {k: v if k in kept else v * scale.get(k, 1) for k, v in e.items()}
            )
            + "\n"
            for e in lines
        )
    )
    return folder


def change(folder, name, edit):
    """Applies `edit` to a JSON file of a run."""
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))
