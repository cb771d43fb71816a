"""What a run knows before it is trained."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import optimizers
from dirjax.errors import InputError
from dirjax.evals import corrected, frontier
from dirjax.training.batches import batches
from dirjax.training.build import build
from dirjax.training.results import bins
from dirjax.training.stage_program import (
    abstract_state,
    compiled_steps,
    example_rows,
    init_state,
    seeds,
)
from dirjax.workdir import run_files
from tests import own_data, runs


@pytest.mark.parametrize(
    "method", ["vanilla", "sqinv", "rrt", "sqinv_histogram", "sqrt_sampling"]
)
def test_correction_starts_from_the_weights_of_training(method, tmp_path):
    """Those of the last stage; a finished run knows them from its files."""
    made = runs.tiny(f"{method},smoke")
    pieces = build(made)
    spec, source = pieces.spec, pieces.source
    held = spec.counts if spec.weights is None else spec.weights
    np.testing.assert_allclose(held.sum(), spec.counts.sum())
    # Square roots leave square roots.
    power = 1.0 if method == "vanilla" else 0.5
    some = spec.counts > 0
    ratio = held[some] / spec.counts[some] ** power
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)

    val = source.splits["val"]
    rows = frontier.Rows(val.value, val.value, val.bin)
    prior = {**made["prior"], "taps": 1}
    model = frontier.correction(prior, rows, spec, source.scale, own="median")
    full = np.maximum(held, 0.5)
    np.testing.assert_allclose(model.prior.train, full / full.sum())

    run_files.write_start(
        tmp_path,
        config=json.loads(json.dumps(made)),
        data=source.record,
        bins=bins(source, spec),
    )
    again = corrected.spec_of(tmp_path)
    np.testing.assert_array_equal(again.weights, spec.weights)
    if method == "sqinv_histogram":
        np.testing.assert_array_equal(again.support.weights, spec.support.weights)


def test_sampling_of_a_stage():
    """Rare rows come more often in the stage that asks for it, and in no other."""
    made = runs.tiny("rrt_sampling,smoke")
    pieces = build(made)
    main, head = pieces.plan.stages
    train = pieces.source.splits["train"]
    per_epoch = len(train.label) // pieces.plan.batch_size

    def rows(stage):
        read = batches(pieces, train, stage.start, stage.stop)
        return np.concatenate([np.asarray(b["index"][:n]).ravel() for _, n, b in read])

    assert (main.sampling, head.sampling) == ("none", "inverse")
    once = rows(main)
    assert per_epoch >= main.steps
    assert len(set(once.tolist())) == len(once)
    again = rows(head)
    assert len(set(again.tolist())) < len(again)


def test_sampling_of_pixels_is_refused():
    made = runs.config("synthetic_depth", "balanced_sampling,smoke")
    with pytest.raises(InputError, match=r"stage\.main\.sampling draws rows by their"):
        build(made)


@pytest.mark.parametrize("argument", ["ssir,smoke", "vanilla,smoke"])
@pytest.mark.parametrize("members", [1, 2])
def test_runs_that_differ_in_their_seeds_share_programs(argument, members):
    """Otherwise each seed of a study compiles anew."""
    texts = []
    for seed in (0, 5):
        made = runs.tiny(argument, seed=seed, model__members=members)
        pieces, (program,) = runs.built(made)
        state, of = abstract_state(pieces, program), seeds(pieces)
        rows = example_rows(pieces, program.stage)
        _, _, batch = next(batches(pieces, rows, 0, 1))
        begun = jax.jit(functools.partial(init_state, pieces, program, None))
        steps = compiled_steps(pieces, program)
        texts.append(
            (
                begun.lower(of).as_text(),
                steps.lower(state, batch, np.int32(1), of).as_text(),
            )
        )
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("unit", "small"), [("", False), ("e-6", True)])
def test_labels_in_a_small_unit_are_told_to_the_optimiser(tmp_path, unit, small):
    rows = [f"{i / 7:.3f},{'rgb'[i % 3]},{i % 10}{unit}" for i in range(60)]
    file = own_data.write(tmp_path, "mine.csv", own_data.table(rows))
    _, (program,) = runs.built(own_data.config(file))
    state = program.tx.init(jax.tree.map(jnp.zeros_like, {"model": jnp.ones(2)}))
    of_first = [x for x in jax.tree.leaves(state, is_leaf=is_first) if is_first(x)]
    assert bool(of_first) == small


def is_first(x):
    return isinstance(x, optimizers.InFirstState)
