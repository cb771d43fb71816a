"""The overview printed at the start of a run: data, bins, method, parameters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from dirjax import labels
from dirjax.augment import options
from dirjax.data import resampled
from dirjax.training import parameters, stage_program
from dirjax.training.build import Pieces
from dirjax.training.stage_program import StageProgram

# Share of the memory from which on the state of training is worth a warning.
SHORT = 0.5


def overview(pieces: Pieces, programs: Sequence[StageProgram]) -> str:
    """A few lines on what is about to run.

    Args:
      pieces: the run's data and model.
      programs: one for each stage.
    """
    source, plan = pieces.source, pieces.plan
    rows = ", ".join(f"{len(s.label):,} {n}" for n, s in source.splits.items())
    found = "".join(f"  {sentence}\n" for sentence in source.notes)
    bins = "".join(
        f"bins{f' of {p.source.label}' * bool(pieces.targets)}: {_bins(p.spec)}\n"
        for p in pieces.targets or (pieces,)
    )
    stages = ", ".join(
        f"{s.name} {s.steps:,} steps" + (f" of {s.views} views" if s.views > 1 else "")
        for s in plan.stages
    )
    sizes: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(pieces.shapes[0]):
        depth = 3 if pieces.targets and path[0].key == "head" else 2
        name = "/".join(parameters.path_name(path).split("/")[:depth])
        sizes[name] = sizes.get(name, 0) + leaf.size
    for program in programs:
        trained = jax.eval_shape(
            lambda key, p=program: p.objective.init(key, pieces.learnt(p.stage)).params,
            jax.random.key(0),
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(trained):
            sizes[f"objective/{parameters.path_name(path)}"] = leaf.size
    table = "\n".join(f"  {n:<40}{s:>12,}" for n, s in sizes.items())
    notes = "".join(f"{line}\n" for line in _notes(pieces, programs))
    losses = "".join(f"loss of {p.stage.name}: {_loss(p)}\n" for p in programs)
    total = f"{sum(sizes.values()):>12,}"
    if pieces.members > 1:
        total += f", {pieces.members} times: one for each member"
    return (
        f"{source.name}: {source.label}; {rows}\n{found}"
        f"{bins}"
        f"method: {pieces.config['method']}; {stages}; batch {plan.batch_size}; "
        f"{jax.device_count()} x {jax.devices()[0].platform}\n{losses}{notes}"
        f"parameters:\n{table}\n  {'total':<40}{total}\n"
        f"{_memory(pieces, programs)}"
    )


def _bins(spec: labels.Spec) -> str:
    """Number of label bins, and of those of each shot."""
    shots = ", ".join(
        f"{int(np.sum(spec.shots == i))} {name}" for i, name in enumerate(labels.SHOTS)
    )
    return f"{spec.bins.num} ({shots})"


def _bytes(tree: Any) -> int:
    """Bytes of the arrays of a tree, or of their shapes."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _size(count: float) -> str:
    """Bytes in a unit that suits them.

    Example:
      >>> _size(5_300), _size(1.25e9)
      ('5.3 kB', '1.2 GB')
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.2g} GB" if count < 10 else f"{count:,.0f} GB"


def _memory(pieces: Pieces, programs: Sequence[StageProgram]) -> str:
    """Memory of the state and the data, and a warning where it is short.

    Training holds the state, as large as a checkpoint, and gradients; activations,
    which depend on the batch, come on top.
    """
    state = max(_bytes(stage_program.abstract_state(pieces, p)) for p in programs)
    training = state + pieces.members * _bytes(pieces.shapes[0])
    host = sum(_bytes(s.inputs) for s in pieces.source.splits.values())
    said = (
        f"memory: {_size(training)} for parameters, optimizer and gradients, "
        f"{_size(host)} for inputs; a checkpoint takes {_size(state)}"
    )
    there = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    there = there or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if training > SHORT * there:
        said += (
            f"\nWARNING: training needs more than {SHORT:.0%} of the memory of "
            f"{_size(there)}; a smaller "
            "--config.model.encoder.width needs less"
        )
    return said


def _loss(program: StageProgram) -> str:
    """Terms with their weights, and the wrappers around them: `l1 + 0.1 x; in lds`."""
    objective = program.stage.objective
    weights = {n: kwargs.get("weight", 1.0) for n, kwargs in objective["terms"].items()}
    terms = [n if w == 1 else f"{w:g} {n}" for n, w in weights.items()]
    around = f"; in {', '.join(objective['wrappers'])}" if objective["wrappers"] else ""
    return f"{' + '.join(terms)}{around}"


def _notes(pieces: Pieces, programs: Sequence[StageProgram]) -> Iterator[str]:
    """Notes on what a user may not expect."""
    config, source = pieces.config, pieces.source
    slow = [s.name for s in pieces.plan.stages if s.optimizer["accumulate"] > 1]
    if slow:
        yield (
            f"note: {', '.join(slow)} accumulates gradients; a pairwise loss still "
            "sees only the pairs within one step"
        )
    for stage in pieces.plan.stages:
        if stage.resample:
            rows = pieces.expected[stage.name]
            for said in resampled.stage_notes(stage.name, stage.resample, rows, source):
                yield f"note: {said}"
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
    if pieces.targets:
        yield (
            f"note: losses of {len(pieces.targets)} labels are averaged, and so are "
            "validation errors below; both are in deviations of the training labels"
        )
    dtype = config["model"]["dtype"]
    if dtype != "float32" and any(p.objective.precise for p in programs):
        yield f"note: this method trains in float32, not {dtype}"
