"""A stage that trains the head on resampled features."""

import chex
import jax
import numpy as np
import pytest

from dirjax import describe, resampling
from dirjax.data import resampled
from dirjax.errors import InputError
from dirjax.evals import corrected
from dirjax.evals.predictor import Predictor
from dirjax.training import overview
from dirjax.training import stage_program as programs_lib
from dirjax.training.batches import batches
from dirjax.training.build import build
from tests import own_data, runs
from tests.program.test_resume import assert_resumes

FIELDS = {"data__limit": 400, "stage__head__resample__side": "high"}


@pytest.fixture(scope="module")
def built():
    return runs.built(runs.tiny("rrt_smogn,smoke", **FIELDS))


def test_features_are_those_of_the_encoder_and_resampled_as_arrays_are(built):
    pieces, (_, head) = built
    train, spec = pieces.source.splits["train"], pieces.source.spec
    state = programs_lib.begin(pieces, head, None)
    rows = programs_lib.training_rows(pieces, head, state)
    network = pieces.network
    params, model_state = jax.device_get(state.eval_model)
    inputs = network.prepare(train.inputs, model_state)
    features, _ = network.encode(params, model_state, inputs, train=False)
    options = {k: v for k, v in head.stage.resample.items() if v is not None}
    assert options.pop("method") == "smogn"
    want = resampling.smogn(np.asarray(features, float), train.label, **options)
    # A float32 product may change which neighbour is nearest; originals do not move.
    kept = ~want.synthetic
    np.testing.assert_allclose(rows.inputs[kept], want.X[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows.label[kept], train.label[want.seed[kept]])
    made = rows.label[want.synthetic]
    assert len(made) > 30
    assert made.min() > np.median(train.label)
    np.testing.assert_array_equal(rows.bin, spec.bins.index(rows.label))
    # The head sees what the network makes of inputs.
    x = rows.inputs[:3]
    assert head.network.prepare(x, model_state) is x
    assert head.network.encode(params, model_state, x, train=False)[0] is x


def test_how_many_rows_there_are_is_known_before_features(built):
    pieces, (main, head) = built
    train, bins = pieces.source.splits["train"], pieces.source.spec.bins
    fields, rng = head.stage.resample, np.random.default_rng(0)
    x = rng.normal(size=(len(train.label), 3)).astype(np.float32)
    found = resampled.of_features(fields, x, pieces.source)
    before = resampled.expected(fields, pieces.source)
    assert len(found.label) == len(before.label)
    counts = [np.bincount(s.bin, minlength=bins.num) for s in (found, before)]
    upto = np.cumsum(counts[0]) - np.cumsum(counts[1])
    assert np.abs(upto).max() < 0.1 * len(found.label)
    # The last stage is what a correction starts from, in the bins of the file.
    share = len(train.label) / len(before.label)
    np.testing.assert_allclose(pieces.spec.weights, counts[1] * share)
    np.testing.assert_array_equal(pieces.spec.counts, pieces.source.spec.counts)
    assert pieces.learnt(main.stage) is pieces.spec
    np.testing.assert_array_equal(pieces.learnt(head.stage).counts, counts[1])


def test_the_overview_says_what_becomes_of_few_shot_rows(built):
    pieces, programs = built
    source, head = pieces.source, programs[1].stage
    rows = pieces.expected["head"]
    want = resampled.stage_notes("head", head.resample, rows, source)
    assert f"note: {want[0]}\n" in overview.overview(pieces, programs)
    noted = describe._with_stages(source, pieces.config)
    assert noted.notes == (*source.notes, *want)


def test_weights_of_the_stage_are_those_of_resampled_labels():
    pieces, _ = runs.built(runs.tiny("rrt_smogn_lds_fds,smoke", **FIELDS))
    _, head = pieces.plan.stages
    spec = pieces.learnt(head)
    want = spec.counts * pieces.objective(head).weighting(spec, np.ones(spec.bins.num))
    found = pieces.spec.weights
    np.testing.assert_allclose(found / found.sum(), want / want.sum(), rtol=1e-6)


def test_weights_of_rows_and_bins_of_a_support(tmp_path):
    """As of a table that holds the resampled rows."""
    rng = np.random.default_rng(0)
    label = np.r_[rng.normal(10, 1, 200), rng.uniform(20, 40, 40)].round(3)
    weight = np.where(label > 20, 3.0, 1.0)
    split = np.where(np.arange(240) % 4, "train", "val")
    lines = [
        f"{x:.3f},{y},{w},{s}"
        for x, y, w, s in zip(rng.normal(size=240), label, weight, split, strict=True)
    ]
    file = own_data.write(tmp_path, "w.csv", own_data.table(lines, "x,y,w,split"))
    fields = {"data__weight": "w", "data__label_range": (5.0, 45.0)}
    fields |= {"data__bin_width": 5.0, "stage__head__resample__side": "high"}
    made = own_data.config(file, argument="rrt_smogn,smoke", **fields)
    made["support"] = {"num": 4, "spacing": "equal"}
    made["model"]["head"] = "histogram"
    made["model"]["head_options"] = {"decode": "median", "kernel": 1}
    pieces = build(made)
    rows, spec = pieces.expected["head"], pieces.spec
    total = spec.counts.sum()
    assert (rows.label > 20).sum() > 50
    held = np.bincount(rows.bin, rows.weight, minlength=spec.bins.num)
    np.testing.assert_allclose(spec.weights, total * held / held.sum(), rtol=1e-5)
    place = np.searchsorted(spec.support.edges, rows.label, side="right") - 1
    held = np.bincount(place, rows.weight, minlength=4)
    np.testing.assert_allclose(
        spec.support.weights, total * held / held.sum(), rtol=1e-5
    )
    np.testing.assert_allclose(rows.weight.mean(), 1, rtol=1e-6)


def test_rows_are_drawn_by_the_resampled_labels():
    made = runs.tiny("rrt_smogn,smoke", **FIELDS, stage__head__sampling="inverse")
    made["stage"]["head"]["steps"] = 200
    pieces = build(made)
    _, head = pieces.plan.stages
    rows = programs_lib.example_rows(pieces, head)
    read = batches(pieces, rows, head.start, head.stop)
    found = [np.asarray(batch["bin"][:count]).ravel() for _, count, batch in read]
    drawn = np.bincount(np.concatenate(found), minlength=pieces.spec.bins.num)
    there = pieces.learnt(head).counts > 0
    # Each bin as often; the correction knows.
    share = drawn[there] / drawn.sum()
    np.testing.assert_allclose(share, 1 / there.sum(), atol=0.008)
    np.testing.assert_allclose(
        pieces.spec.weights[there] / pieces.spec.weights.sum(), 1 / there.sum()
    )


@pytest.mark.parametrize(
    ("method", "fields", "said"),
    [
        ("rrt_smogn", {"stage__head__encoder_mode": "train"}, "encoder_mode=eval"),
        ("rrt_smogn", {"stage__head__trainable": ()}, "trainable="),
        ("rrt_smogn", {"model__members": 2}, "is for one network"),
        ("rrt_smogn,ssir", {}, "has no inputs to move"),
        ("rrt_smogn", {"stage__head__resample__method": "smote"}, "one of smoter"),
        (
            "rrt_smogn",
            {"stage__head__resample__threshold": 2.0},
            r"config\.stage\.head\.resample: ",
        ),
    ],
)
def test_what_does_not_fit_is_refused(method, fields, said):
    with pytest.raises(InputError, match=said):
        runs.built(runs.tiny(f"{method},smoke", **fields))


def test_maps_are_refused():
    with pytest.raises(InputError, match="has one per pixel"):
        runs.built(runs.config("synthetic_depth", "rrt_smogn,smoke"))


@pytest.mark.slow
def test_images_end_to_end_and_the_encoder_stays(tmp_path, monkeypatch):
    begun, begin = [], programs_lib.begin

    def kept(*arguments):
        state = begin(*arguments)
        begun.append(jax.device_get(state.params["model"]["encoder"]))
        return state

    monkeypatch.setattr(programs_lib, "begin", kept)
    fields = {"data__limit": 400, "model__encoder__width": 4}
    made = runs.config("mnist5k", "rrt_smogn,rotation,smoke", **fields)
    result = runs.run(made, tmp_path)
    assert result["test"]["mae"]["all"] > 0
    params, _ = Predictor(tmp_path).state
    # The average of equal parameters is rounded.
    chex.assert_trees_all_close(params["encoder"], begun[1], rtol=1e-5)
    assert np.ptp(corrected.spec_of(tmp_path).weights) > 0


@pytest.mark.slow
def test_a_stopped_run_makes_the_same_rows(tmp_path, monkeypatch):
    made = runs.tiny("rrt_smogn,smoke", **FIELDS, train__chunk=1)
    assert_resumes(made, 5, tmp_path, monkeypatch)


@pytest.mark.parametrize("method", ["bmc", "bni", "vanilla"])
def test_what_a_correction_starts_from(tmp_path, method):
    """Under bmc the labels are balanced, whatever rows weigh and how they are drawn."""
    rng = np.random.default_rng(0)
    label = np.repeat([0.5, 1.5, 2.5], [90, 40, 30])
    weight = rng.uniform(0.5, 3, 160) * (1 + label)
    split = np.where(np.arange(160) % 5, "train", "val")
    lines = [
        f"{x:.3f},{y},{w},{s}"
        for x, y, w, s in zip(rng.normal(size=160), label, weight, split, strict=True)
    ]
    file = own_data.write(tmp_path, "w.csv", own_data.table(lines, "x,y,w,split"))
    fields = {"data__weight": "w", "data__bin_width": 1.0}
    fields |= {"stage__main__sampling": "inverse"}
    pieces = build(own_data.config(file, argument=f"{method},smoke", **fields))
    spec, train = pieces.spec, pieces.source.training
    held = np.bincount(train.bin, train.weight, minlength=spec.bins.num) / spec.counts
    # Drawn inversely to their number, bins differ by the mean weight of their rows.
    want = {"bmc": np.ones(3), "vanilla": held, "bni": held / spec.counts}[method]
    found = spec.weights / spec.weights.sum()
    np.testing.assert_allclose(found, want / want.sum(), rtol=1e-5)
