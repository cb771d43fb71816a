"""The lines that a run begins with: data, bins, method, parameters."""

from __future__ import annotations

import jax
import numpy as np

from dirjax import augment, labels, stages
from dirjax.run import Run


def overview(run: Run) -> str:
    """What is about to run, in a few lines.

    Args:
      run: the pieces of the run.
    """
    sizes: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(run.params):
        name = "/".join(stages.path_name(path).split("/")[:2])
        sizes[name] = sizes.get(name, 0) + leaf.size
    rows = ", ".join(f"{len(s.label):,} {n}" for n, s in run.source.splits.items())
    found = "".join(f"  {sentence}\n" for sentence in run.source.notes)
    shots = ", ".join(
        f"{int(np.sum(run.spec.shots == i))} {name}"
        for i, name in enumerate(labels.SHOTS)
    )
    pieces = ", ".join(
        f"{s.name} {s.steps:,} steps" + (f" of {s.views} views" if s.views > 1 else "")
        for s in run.plan.stages
    )
    device = jax.devices()[0]
    slow = [s.name for s in run.plan.stages if s.optimizer["accumulate"] > 1]
    note = (
        f"note: {', '.join(slow)} accumulates gradients; a loss over pairs still "
        "sees the pairs of one step only\n"
        if slow
        else ""
    )
    changes = run.config["data"]["augment"]
    if augment.augments(**changes):
        note += f"note: training images are augmented: {augment.described(changes)}\n"
    if run.source.splits["train"].wide is not None:
        changes = run.config["data"]["augment_dense"]
        said = ", ".join(f"{k} {v}" for k, v in changes.items())
        note += f"note: pictures and depth in training: {said}\n"
    if run.select_split == "test":
        note += (
            "WARNING: the test split selects the result (select.split=test), so test "
            "metrics are better than on new data\n"
        )
    if run.config["model"]["dtype"] != "float32" and any(
        run.objective(s).precise for s in run.plan.stages
    ):
        note += (
            f"note: this method trains in float32, not {run.config['model']['dtype']}\n"
        )
    parameters = "\n".join(f"  {n:<40}{s:>12,}" for n, s in sizes.items())
    return (
        f"{run.source.name}: {run.source.label}; {rows}\n{found}"
        f"bins: {run.spec.bins.num} ({shots})\n"
        f"method: {run.config['method']}; {pieces}; batch {run.plan.batch_size}; "
        f"{jax.device_count()} x {device.platform}\n{note}"
        f"parameters:\n{parameters}\n  {'total':<40}{sum(sizes.values()):>12,}"
    )
