"""The published split of AgeDB: counts and weights of the paper."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from dirjax import data, labels, metrics
from dirjax.data import faces, label_rules, labelling, row_checks
from dirjax.data.formats import table_files, text_columns
from dirjax.data.readers import table as table_lib
from dirjax.labels import weights
from dirjax.training import batches as batches_lib
from dirjax.training.build import build
from tests import own_data
from tests.data.faces import config, picture
from tests.labels.golden import SCHEMES, cases, kernel_options


@pytest.fixture(scope="module")
def published(data_dir):
    """Labels and split of AgeDB-DIR, by its config."""
    file = data_dir / "agedb-dir" / "agedb.csv.gz"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    rules = data_rules(config(file.parent))
    table = table_files.read(file)
    rows = row_checks.Rows(table.number, file)
    names = (rules.label,)
    y, part, *_ = table_lib.row_facts(table, rows, names, split="split", weight=None)
    return table, labelling.label_rows(y, rows, rules, part=part)


def data_rules(made):
    names = {f.name for f in dataclasses.fields(label_rules.Rules)}
    chosen = {k: v for k, v in made["data"].items() if k in names}
    return label_rules.Rules(**{**chosen, "shot_lists": None})


@pytest.mark.data
def test_counts_of_the_paper(published):
    table, labelled = published
    assert faces.AGEDB.identify("agedb_dir", table.file, labelled.rows) == "agedb_dir"
    assert "Yang et al." in labelled.rows.notes[-1]
    spec = labelled.spec
    bins = spec.bins.index(labelled.label)
    parts = [bins[labelled.part == p] for p in range(3)]
    assert [len(p) for p in parts] == [12208, 2140, 2140]
    assert spec.bins.num == 121
    shots = np.bincount(spec.shots[spec.counts > 0], minlength=3)
    assert shots.tolist() == [51, 16, 33]
    rows = [np.bincount(spec.shots[p], minlength=3).tolist() for p in parts]
    assert rows[0] == [11154, 851, 203]
    assert rows[2] == [1530, 448, 162]
    # Section 1.3: 20 has 101 images, 85 has 20 and 83 has 19.
    assert spec.counts[[20, 85, 83]].tolist() == [101, 20, 19]
    assert [labels.SHOTS[spec.shots[a]] for a in (20, 85, 83)] == list(labels.SHOTS)
    # MAE = 0.7150 many + 0.2093 median + 0.0757 few, with any errors.
    rng = np.random.default_rng(0)
    test = parts[2].astype(np.float64)
    error = rng.exponential(5, len(test))
    means = metrics.means(error, spec.shots[parts[2]])
    shares = {"many": 0.7150, "median": 0.2093, "few": 0.0757}
    together = sum(share * means[shot] for shot, share in shares.items())
    assert means["all"] == pytest.approx(together, rel=1e-4)


def slow_weights(train, scheme, kernel=None):
    """Weights of section 1.5, by loops in float64."""
    counts = [0.0] * 121
    for age in train:
        counts[min(int(age), 120)] += 1
    if scheme == "inverse":
        values = [min(max(c, 5.0), 1000.0) for c in counts]
    else:
        values = [c**0.5 for c in counts]
    if kernel is not None:
        half = len(kernel) // 2
        smooth = []
        for i in range(121):
            total = 0.0
            for k, tap in enumerate(kernel):
                if 0 <= i + k - half < 121:
                    total += tap * values[i + k - half]
            smooth.append(total)
        values = smooth
    each = np.array([1.0 / values[min(int(age), 120)] for age in train])
    return each / each.mean()


@pytest.mark.data
@pytest.mark.parametrize("scheme", ["inverse", "sqrt_inverse"])
@pytest.mark.parametrize("smoothed", [False, True])
def test_weights_of_the_paper(published, scheme, smoothed):
    _, labelled = published
    train = labelled.value[labelled.train]
    options, kernel = {}, None
    if smoothed:
        options = {"kernel": "gaussian", "size": 5, "sigma": 2.0}
        kernel = scipy.ndimage.gaussian_filter1d([0.0, 0, 1, 0, 0], sigma=2)
        kernel = kernel / kernel.max()
    by_bin = weights.bin_weights(labelled.spec.counts, scheme, **options)
    found = by_bin[labelled.spec.bins.index(train)]
    np.testing.assert_allclose(
        found / found.mean(), slow_weights(train, scheme, kernel), rtol=1e-9
    )
    # Those of the published code, recorded on these very labels.
    compared = 0
    for case in [c.values[0] for c in cases("agedb_weights")]:
        if SCHEMES[int(case["p.reweight"])] != scheme or case["p.max_target"] != 121:
            continue
        if kernel_options(case) == options and len(case["in.labels"]) == len(train):
            compared += 1
            np.testing.assert_array_equal(case["in.labels"], np.sort(train))
            given = {**options, "truncate": True}
            found = weights.sample_weights(
                case["in.labels"], labelled.spec.bins, scheme, **given
            )
            np.testing.assert_allclose(found, case["out.weights"], rtol=1e-6)
    assert compared


@pytest.mark.data
def test_a_slice_of_the_real_tree(published, tmp_path):
    """Files at the paths that the CSV names, decoded and trained on."""
    table, labelled = published
    chosen = np.concatenate(
        [
            np.flatnonzero(labelled.part == p)[:: 900 if p == 0 else 300]
            for p in range(3)
        ]
    )
    assert 20 <= len(chosen) <= 60
    paths, rows = text_columns.words(table.cells["path"]), []
    for i in chosen:
        split = labelling.SPLITS[labelled.part[i]]
        rows.append(f"{labelled.value[i]:.0f},{paths[i]},{split}")
        own_data.write(tmp_path, str(paths[i]), picture(int(labelled.value[i]) % 60))
    own_data.write(tmp_path, "agedb.csv", own_data.table(rows, "age,path,split"))
    made = config(tmp_path, data__on_bad="error")
    source = data.from_config(made["data"])
    for part in source.splits.values():
        want = 4 * (part.value.astype(int) % 60)
        np.testing.assert_allclose(part.inputs[:, 4, 4, 0], want, atol=1)
    run = build(made)
    _, _, batch = next(batches_lib.batches(run, run.source.training, 0, 1))
    assert batch["inputs"].shape == (1, 8, 8, 8, 3)
    assert run.source.name.startswith("agedb_dir@")
