"""Pairs of embeddings: bins in float32, fixed shots, leaks, and sentences on files."""

import hashlib

import numpy as np
import pytest

from dirjax import data
from dirjax import describe as command
from dirjax.data import catalog
from dirjax.data.describe import facts as facts_lib
from dirjax.data.readers import pairs
from dirjax.errors import InputError
from tests import own_data, runs

NAME = "minilm_l6_v2_embeddings.npz"


@pytest.fixture
def load(tmp_path):
    """Writes a file and loads it; `fields` are those of `config.data`."""

    def loading(arrays=None, **fields):
        content = own_data.pairs() if arrays is None else arrays
        own_data.write(tmp_path, NAME, own_data.to_npz(**content))
        fields = {"path": str(tmp_path)} | fields
        fields = {f"data__{field}": value for field, value in fields.items()}
        made = runs.config("stsb_dir", "vanilla,embeddings", **fields)
        return data.from_config(made["data"])

    return loading


def changed(key, row, value, **more):
    """The arrays with one row anew."""
    arrays = own_data.pairs(**more)
    arrays[key] = arrays[key].copy()
    arrays[key][row] = value
    return arrays


class TestLabels:
    def test_tenths_lie_in_the_bins_they_are_written_as(self, load):
        """Score k / 10 is the lower edge of bin k, also as a float32; 5 is in bin 49.

        Widened to float64, a good part of them falls below their edge.
        """
        tenths = np.arange(51)
        scores = (tenths / 10).astype(np.float32)
        source = load(own_data.pairs(sizes=(51, 51, 51)) | {
            f"{part}_new_score": scores for part in ("train", "dev", "test")
        })  # fmt: skip
        assert source.spec.bins.edges.dtype == np.float32
        for split in source.splits.values():
            np.testing.assert_array_equal(split.bin, np.minimum(tenths, 49))
            np.testing.assert_array_equal(split.value, scores)
        assert source.spec.counts.tolist() == [1] * 49 + [2]
        assert (scores.astype(np.float64) < tenths / 10).sum() > 10

    def test_values_next_to_an_edge(self, load):
        edge = np.float32(1.4)
        below, above = np.nextafter(edge, np.float32([0, 2]))
        scores = own_data.pairs()["train_new_score"]
        scores[:3] = below, edge, above
        assert load(own_data.pairs(train_new_score=scores)).splits["train"].bin[
            :3
        ].tolist() == [13, 14, 14]

    def test_wider_types_and_columns_of_scores(self, load):
        scores = own_data.pairs()["dev_new_score"]
        texts = np.array([str(s) for s in scores], np.float64)
        got = load(own_data.pairs(dev_new_score=texts[:, None])).splits["val"]
        want = load().splits["val"]
        np.testing.assert_array_equal(got.bin, want.bin)
        np.testing.assert_array_equal(got.value, want.value)

    def test_shots_are_those_of_the_benchmark_whatever_the_counts(self, load):
        shots = load().spec.shots
        assert np.bincount(shots).tolist() == [22, 7, 21]
        assert np.flatnonzero(shots == 1).tolist() == [2, 4, 6, 8, 27, 35, 37]
        # All odd bins but those and the last are few.
        odd = sorted(set(range(1, 48, 2)) - {27, 35, 37})
        assert np.flatnonzero(shots == 2).tolist() == odd


class TestInputs:
    @pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
    def test_both_are_standardised_by_the_training_rows(self, load, kind):
        arrays = {
            k: v if k.endswith("score") else v.astype(kind)
            for k, v in own_data.pairs().items()
        }
        source = load(arrays)
        both = np.concatenate([arrays["train_new_1"], arrays["train_new_2"]])
        both = both.astype(np.float64)
        for name, part in pairs.PARTS.items():
            split = source.splits[name]
            assert split.inputs.shape == (len(split.label), 2, 6)
            assert split.inputs.dtype == np.float32
            np.testing.assert_array_equal(split.index, np.arange(len(split.label)))
            for side in (0, 1):
                x = arrays[f"{part}_{side + 1}"].astype(np.float64)
                want = (x - both.mean(axis=0)) / both.std(axis=0)
                np.testing.assert_allclose(split.inputs[:, side], want, atol=1e-5)

    def test_a_value_that_never_changes(self, load):
        arrays = {
            k: v if k.endswith("score") else np.where(np.arange(6) == 2, v[0, 2] * 0, v)
            for k, v in own_data.pairs().items()
        }
        inputs = load(arrays).splits["test"].inputs
        assert not inputs[:, :, 2].any()
        assert np.isfinite(inputs).all()

    def test_the_file_itself(self, load, tmp_path):
        load()
        file = tmp_path / NAME
        file.rename(tmp_path / "mine.npz")
        with pytest.raises(InputError, match=f"must hold '{NAME}' .data.input"):
            data.from_config(
                runs.config("stsb_dir", "vanilla,embeddings", data__path=str(tmp_path))[
                    "data"
                ]
            )
        got = load(path=str(tmp_path / "mine.npz")).splits["train"]
        np.testing.assert_array_equal(got.inputs, load().splits["train"].inputs)


class TestLeaks:
    @pytest.fixture
    def leaking(self):
        """Row 5 of test and, the other way round, row 7 of dev stand in train."""
        arrays = own_data.pairs()
        for part, at, swap in (("test", 5, False), ("dev", 7, True)):
            for side in (1, 2):
                other = 3 - side if swap else side
                arrays[f"{part}_new_{other}"][at] = arrays[f"train_new_{side}"][at]
        return arrays

    def test_they_are_counted(self, load, leaking):
        source = load(leaking)
        said = "1 val and 1 test pairs are also in train, in either order"
        assert f"{said}; --config.data.drop_leaks=True leaves" in own_data.notes(source)
        assert len(source.splits["train"].label) == 72
        assert "also in train" not in own_data.notes(load())

    def test_and_left_out_on_demand(self, load, leaking):
        source = load(leaking, drop_leaks=True)
        assert "2 training pairs are left out" in own_data.notes(source)
        train = source.splits["train"].index.tolist()
        assert train == [i for i in range(72) if i not in (5, 7)]
        assert [len(source.splits[s].label) for s in ("val", "test")] == [24, 24]

    def test_order_does_not_count(self):
        u, v, w = np.eye(3)
        x = np.stack([[u, v], [v, u], [u, u], [u, w], [v, u]])
        one, two, three, four, five = pairs.unordered(x)
        assert one == two == five
        assert len({one, three, four}) == 3


class TestWhoseSplit:
    def test_of_small_files(self, load):
        assert "neither of the two published ones" in own_data.notes(load())

    def test_known_ones_are_told_by_their_scores(self, load, monkeypatch):
        arrays = own_data.pairs()
        scores = [arrays[f"{p}_new_score"] for p in ("train", "dev", "test")]
        content = np.concatenate(scores).astype("<f4").tobytes()
        known = {hashlib.sha256(content).hexdigest(): "that of somebody"}
        monkeypatch.setattr(pairs, "_KNOWN", known)
        assert "that of somebody" in own_data.notes(load())
        arrays["test_new_score"][3] = 2.5
        assert "that of somebody" not in own_data.notes(load(arrays))


def without(key):
    return {k: v for k, v in own_data.pairs().items() if k != key}


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            (without("dev_new_2"), r"no array 'dev_new_2'; it has train_new_1, .*_2"),
            (without("test_new_score"), r"no array 'test_new_score'; it has"),
            (
                own_data.pairs(train_new_1=np.zeros((72, 5))),
                r"train_new_1 float64 \[72, 5\], train_new_2 float16 \[72, 6\]",
            ),
            (
                own_data.pairs(test_new_2=np.zeros((24, 6, 1))),
                r"one shape, .* \[24, 6, 1\]",
            ),
            (own_data.pairs(dev_new_1=np.full((24, 6), "a")), r"dev_new_1 <U1"),
            (
                own_data.pairs(dev_new_1=np.ones((24, 4)), dev_new_2=np.ones((24, 4))),
                r"the same size, .* has train_new 6, dev_new 4, test_new 6",
            ),
            (
                own_data.pairs(dev_new_score=np.ones(23)),
                r"'dev_new_score' .* each of 24 pairs, .* float64 \[23\]",
            ),
            (
                changed("dev_new_score", 3, 5.2),
                r"data\.label_range 0 to 5, row 3 of dev_new in .*npz has 5\.2 in",
            ),
            (
                changed("train_new_score", 9, -0.1),
                r"0 to 5, row 9 of train_new in .* has -0\.1 in 'score'",
            ),
            (
                changed("train_new_score", 1, np.nan),
                r"finite, row 1 of train_new in .* has nan in 'score'",
            ),
            (
                changed("test_new_2", (4, 1), np.inf),
                r"finite, row 4 of test_new in .* has inf in the second of the pair",
            ),
            (
                changed("train_new_1", 8, np.nan),
                r"row 8 of train_new in .* has nan in the first of the pair",
            ),
        ],
    )
    def test_a_sentence(self, load, arrays, said):
        with pytest.raises(InputError, match=said):
            load(arrays)

    def test_bad_rows_are_skipped(self, load):
        arrays = changed("test_new_2", (4, 1), np.inf)
        arrays["train_new_score"][[7, 9]] = 5.5, np.nan
        source = load(arrays, on_bad="skip")
        assert source.skipped == {
            "embedding not finite": 1,
            "no label": 1,
            "label outside": 1,
        }
        assert 4 not in source.splits["test"].index
        assert len(source.splits["train"].label) == 70
        assert np.isfinite(source.splits["test"].inputs).all()
        # What is standardised is not spoilt by rows that are left out.
        assert abs(source.splits["train"].inputs.mean()) < 1e-6

    def test_no_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DIRJAX_DATA", str(tmp_path))
        said = (
            r"sts-b-dir does not exist.*-regression.*glove\.840B.*train_new_1.*DIRJAX_D"
        )
        with pytest.raises(InputError, match=said):
            catalog.locate("stsb_dir", None)
        (tmp_path / "sts-b-dir").mkdir()
        assert catalog.locate("stsb_dir", None) == tmp_path / "sts-b-dir"


def test_describe(load):
    source = load()
    fields = runs.config("stsb_dir", "vanilla,embeddings")["data"]
    facts = facts_lib.describe(source, fields)
    assert facts["inputs"] == {"kind": "pairs", "values": 6}
    shown = command.text(facts)
    assert "Inputs: pairs of embeddings, 6 values each" in shown
    assert "22 many, 7 median, 21 few (by data.shot_lists)" in shown


@pytest.mark.data
def test_real_file(data_dir):
    """Counts of the benchmark, and rows that stand in two of its splits."""
    folder = data_dir / "sts-b-dir"
    if not (folder / NAME).is_file():
        pytest.skip(f"needs {folder / NAME}")
    fields = {"data__path": str(folder)}
    made = runs.config("stsb_dir", "vanilla,embeddings", **fields)
    source = data.from_config(made["data"])
    shares = facts_lib.shares(source)
    assert shares["train"] == {"rows": 5249, "many": 4510, "median": 538, "few": 201}
    assert shares["test"] == {"rows": 1000, "many": 756, "median": 170, "few": 74}
    assert shares["val"]["rows"] == 1000
    counts = source.spec.counts
    assert (counts.max(), counts.argmax(), counts.min()) == (428, 0, 1)
    assert source.splits["train"].inputs.shape == (5249, 2, 384)
    for name in ("val", "test"):
        quarter = np.minimum((source.splits[name].value * 4).astype(int), 19)
        assert set(np.bincount(quarter)) == {50}
    notes = own_data.notes(source)
    assert "the split is that of Yang et al. 2021" in notes
    assert "11 val and 19 test pairs are also in train" in notes
    twins = facts_lib.duplicates(source)
    assert [sum(twins[s].values()) for s in ("val", "test")] == [8, 15]


def test_scores_of_new_pairs(load, tmp_path):
    record = load().record
    new = own_data.pairs()
    for piece, part in zip(
        pairs.read_new(tmp_path / NAME, record, label="score"),
        pairs.PARTS.values(),
        strict=True,
    ):
        np.testing.assert_allclose(piece.value, new[f"{part}_score"])
    del new["dev_new_score"]
    file = own_data.write(tmp_path, "new.npz", own_data.to_npz(**new))
    with pytest.raises(InputError, match="no array 'dev_new_score'"):
        list(pairs.read_new(file, record, label="score"))
