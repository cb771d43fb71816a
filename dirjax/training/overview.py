"""The overview printed at the start of a run: data, bins, method, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np

from dirjax import labels
from dirjax.augment import options
from dirjax.training import parameters
from dirjax.training.build import Pieces
from dirjax.training.stage_program import StageProgram


def overview(pieces: Pieces, programs: Sequence[StageProgram]) -> str:
    """A few lines on what is about to run.

    Args:
      pieces: the run's data and model.
      programs: one for each stage.
    """
    source, spec, plan = pieces.source, pieces.spec, pieces.plan
    rows = ", ".join(f"{len(s.label):,} {n}" for n, s in source.splits.items())
    found = "".join(f"  {sentence}\n" for sentence in source.notes)
    shots = ", ".join(
        f"{int(np.sum(spec.shots == i))} {name}" for i, name in enumerate(labels.SHOTS)
    )
    stages = ", ".join(
        f"{s.name} {s.steps:,} steps" + (f" of {s.views} views" if s.views > 1 else "")
        for s in plan.stages
    )
    sizes: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(pieces.shapes[0]):
        name = "/".join(parameters.path_name(path).split("/")[:2])
        sizes[name] = sizes.get(name, 0) + leaf.size
    table = "\n".join(f"  {n:<40}{s:>12,}" for n, s in sizes.items())
    notes = "".join(f"{line}\n" for line in _notes(pieces, programs))
    return (
        f"{source.name}: {source.label}; {rows}\n{found}"
        f"bins: {spec.bins.num} ({shots})\n"
        f"method: {pieces.config['method']}; {stages}; batch {plan.batch_size}; "
        f"{jax.device_count()} x {jax.devices()[0].platform}\n{notes}"
        f"parameters:\n{table}\n  {'total':<40}{sum(sizes.values()):>12,}"
    )


def _notes(pieces: Pieces, programs: Sequence[StageProgram]) -> Iterator[str]:
    """Notes on what a user may not expect."""
    config, source = pieces.config, pieces.source
    slow = [s.name for s in pieces.plan.stages if s.optimizer["accumulate"] > 1]
    if slow:
        yield (
            f"note: {', '.join(slow)} accumulates gradients; a pairwise loss still "
            "sees only the pairs within one step"
        )
    changes = config["data"]["augment"]
    if options.augments(**changes):
        yield f"note: training images are augmented: {options.described(changes)}"
    if source.splits["train"].wide is not None:
        changes = config["data"]["augment_dense"]
        said = ", ".join(f"{k} {v}" for k, v in changes.items())
        yield f"note: images and depth maps in training: {said}"
    if pieces.select_split == "test":
        yield (
            "WARNING: the test split selects the checkpoint (select.split=test), so "
            "test metrics are optimistic"
        )
    dtype = config["model"]["dtype"]
    if dtype != "float32" and any(p.objective.precise for p in programs):
        yield f"note: this method trains in float32, not {dtype}"
