"""Pairs of sentences: words, vectors, leaks, and sentences on files."""

import hashlib

import numpy as np
import pytest

from dirjax import data
from dirjax import describe as command
from dirjax.data.describe import facts
from dirjax.data.formats import words
from dirjax.data.readers import pairs
from dirjax.data.readers import text as text_lib
from dirjax.errors import InputError
from dirjax.labels import weights
from tests import own_data, runs


@pytest.fixture
def load(tmp_path):
    """Writes files and loads them; `fields` are those of `config.data`."""

    def loading(rows=None, changed=None, glove=own_data.GLOVE, **fields):
        own_data.write_sentences(tmp_path, rows, glove, **(changed or {}))
        fields = {"path": str(tmp_path)} | fields
        fields = {f"data__{field}": value for field, value in fields.items()}
        made = runs.config("stsb_dir", "vanilla", **(own_data.TEXT | fields))
        return data.from_config(made["data"])

    return loading


def spelt(source, split, row, side):
    """A sentence by its codes."""
    names = ["", "?", *source.record["words"]]
    codes = source.splits[split].inputs[row, side]
    return " ".join(names[code] for code in codes).strip()


class TestInputs:
    def test_are_the_words_of_both_cut_and_padded(self, load):
        source = load()
        for split, part in pairs.PARTS.items():
            rows = own_data.sentences()[part]
            found = source.splits[split]
            assert found.inputs.shape == (len(rows), 2, 6)
            assert found.inputs.dtype == np.int32
            np.testing.assert_array_equal(found.index, np.arange(len(rows)))
            for i, (first, second, score) in enumerate(rows):
                # In the second a quotation mark stands before, as no quoting is meant.
                quoted = f"`` {second[1:]}"
                for side, text in enumerate((first, quoted)):
                    assert spelt(source, split, i, side) == " ".join(text.split()[:6])
                assert found.value[i] == np.float32(score)

    def test_vectors_of_words(self, load):
        source = load()
        table, names = source.constants["words"], source.record["words"]
        assert table.shape == (len(names) + 2, 3)
        assert table.dtype == np.float32
        glove = dict(line.split(" ", 1) for line in own_data.GLOVE.splitlines())
        for name, vector in zip(names, table[2:], strict=True):
            known = name in glove
            want = np.float32(glove[name].split()) if known else vector
            np.testing.assert_array_equal(vector, want)
        assert source.record["with_vector"] == 9
        assert set(names) - set(glove) == {"Mr.", ".", "``", "so"}
        assert f"{len(names)} distinct words, 9 with a vector" in own_data.notes(source)

    def test_words_of_train_alone(self, load):
        rows = own_data.sentences()
        rows["test_new"][4][0] = "a Zebra eats"
        source = load(rows)
        assert spelt(source, "test", 4, 0) == "a Zebra eats"
        text = own_data.TEXT | {"data__text__words_of": "train"}
        fields = {k.removeprefix("data__"): v for k, v in text.items()}
        source = load(rows, **fields)
        assert spelt(source, "test", 4, 0) == "a ? eats"
        assert "1 words are outside the vocabulary and share a" in own_data.notes(
            source
        )
        source = load(rows, text__max_words=3)
        assert len(source.record["words"]) == 3

    def test_lower_case(self, load):
        rows = own_data.sentences()
        rows["train_new"][4][0] = "A MAN eats"
        source = load(rows)
        assert {"A", "MAN"} < set(source.record["words"])
        source = load(rows, text__lower=True)
        assert spelt(source, "train", 4, 0) == "a man eats"

    def test_the_same_for_the_same_seed(self, load):
        one, same, other = load(), load(), load(seed=1)
        assert one.record == same.record
        assert one.record["vectors"] != other.record["vectors"]

    def test_other_places_and_forms(self, load, tmp_path):
        want = load()
        below = tmp_path / "glue_data" / "STS-B"
        below.mkdir(parents=True)
        for part in pairs.PARTS.values():
            (tmp_path / f"{part}.tsv").rename(below / f"{part}.tsv")
        glove = own_data.write(tmp_path / "other", "g.gz", own_data.GLOVE)
        fields = {**own_data.TEXT, "data__text__vectors": str(glove)}
        made = runs.config("stsb_dir", data__path=str(tmp_path), **fields)
        got = data.from_config(made["data"] | {"limit": 0})
        assert got.record == want.record


class TestSplit:
    def test_which_it_is(self, load, monkeypatch):
        assert "neither of the two published ones" in own_data.notes(load())
        scores = [float(r[2]) for part in own_data.sentences().values() for r in part]
        content = np.array(scores, "<f4").tobytes()
        known = {hashlib.sha256(content).hexdigest(): "that of somebody"}
        monkeypatch.setattr(pairs, "_KNOWN", known)
        assert "that of somebody" in own_data.notes(load())

    def test_leaks_are_counted_and_left_out_on_demand(self, load):
        rows = own_data.sentences()
        first, second, _ = rows["train_new"][7]
        rows["dev_new"][3][:2] = second.upper(), first
        rows["test_new"][4][:2] = rows["train_new"][9][:2]
        # Whatever stands in both by chance is told from what was put there.
        before = load().splits["train"].index
        kept = load(drop_leaks=True).splits["train"].index
        chance = set(before) - set(kept)
        source = load(rows)
        assert "pairs are also in train, in either order" in own_data.notes(source)
        assert len(source.splits["train"].label) == 72
        source = load(rows, drop_leaks=True)
        assert set(before) - set(source.splits["train"].index) == {7, 9} | chance
        assert "training pairs are left out" in own_data.notes(source)


WRONG = {
    "columns": (
        {"dev_new": {1: "score\tindex\tsentence_1\tsentence2"}},
        r"dev_new\.tsv has no column 'sentence1' .*Did you mean 'sentence_1'",
    ),
    "label": (
        {"dev_new": {1: "scores\tindex\tsentence1\tsentence2"}},
        r"dev_new\.tsv has no column 'score' \(data\.label\)",
    ),
    "few fields": (
        {"test_new": {5: "1.0\t3\ta man"}},
        r"4 cells like the header, row 5 of .*test_new\.tsv has 3",
    ),
    "many fields": (
        {"train_new": {9: "1.0\t3\ta man\tx\ty"}},
        r"row 9 of .*train_new\.tsv has 5",
    ),
    "range": (
        {"dev_new": {4: "5.5\t3\ta man\ta dog"}},
        r"data\.label_range 0 to 5, row 4 of .*dev_new\.tsv has 5\.5 in 'score'",
    ),
    "no number": (
        {"dev_new": {4: "much\t3\ta man\ta dog"}},
        r"'score' must hold numbers, row 4 of .*dev_new\.tsv has 'much'",
    ),
    "no score": (
        {"train_new": {4: "\t3\ta man\ta dog"}},
        r"finite, row 4 of .*train_new\.tsv has nan in 'score'",
    ),
    "no sentence": (
        {"test_new": {6: "1.0\t3\ta man\t "}},
        r"must have words, row 6 of .*test_new\.tsv has none in 'sentence2'",
    ),
}  # fmt: skip


class TestScoresAsPeopleWriteThem:
    """Scores with decimal commas are those with points, also of new pairs."""

    @pytest.fixture
    def written(self):
        return {
            part: [[a, b, str(score).replace(".", ",")] for a, b, score in lines]
            for part, lines in own_data.sentences().items()
        }

    def test_in_training(self, load, written):
        commas, points = load(written), load()
        for name, part in points.splits.items():
            np.testing.assert_array_equal(commas.splits[name].value, part.value)
        said = "numbers in column 'score': ',' is the decimal mark"
        assert said in own_data.notes(commas)

    def test_of_new_pairs(self, load, written, tmp_path):
        record = load(written).record
        (piece,) = text_lib.read_new(tmp_path / "test_new.tsv", record, label="score")
        want = [score for _, _, score in own_data.sentences()["test_new"]]
        np.testing.assert_array_equal(piece.value, np.array(want, float))
        (piece,) = text_lib.read_new(tmp_path / "test_new.tsv", record)
        assert piece.value is None
        lines = "score\tsentence1\tsentence2\n1.5\ta man\ta dog\n"
        file = own_data.write(tmp_path, "points.tsv", lines)
        with pytest.raises(InputError, match=r"row 2 of .* has '1\.5'"):
            list(text_lib.read_new(file, record, label="score"))


class TestWrongFiles:
    @pytest.mark.parametrize("name", WRONG)
    def test_a_sentence(self, load, name):
        changed, said = WRONG[name]
        with pytest.raises(InputError, match=said):
            load(changed=changed)

    def test_bad_rows_are_skipped(self, load):
        changed: dict[str, dict[int, str]] = {}
        for name in ("few fields", "many fields", "range", "no score", "no sentence"):
            for file, lines in WRONG[name][0].items():
                changed[file] = changed.get(file, {}) | lines
        source = load(changed=changed, on_bad="skip")
        assert source.skipped == {
            "row length": 2,
            "no sentence": 1,
            "no label": 1,
            "label outside": 1,
        }
        # Rows are counted as in the file.
        assert not {2, 7} & set(source.splits["train"].index)
        assert set(range(24)) - set(source.splits["test"].index) == {3, 4}
        assert len(source.splits["val"].label) == 23

    def test_missing_files(self, load, tmp_path):
        load()
        (tmp_path / "test_new.tsv").unlink()
        said = r"has no test_new\.tsv\. The split is in .*imbalanced-regression"
        with pytest.raises(InputError, match=said):
            self.read(tmp_path)
        (tmp_path / "train_new.tsv").unlink()
        with pytest.raises(InputError, match=r"must hold train_new\.tsv, .*dev_new"):
            self.read(tmp_path)
        load()
        (tmp_path / "glove.txt").unlink()
        with pytest.raises(InputError, match=r"text\.vectors.*stanford.*840B.*dim="):
            self.read(tmp_path)

    @staticmethod
    def read(path):
        fields = own_data.TEXT | {"data__path": str(path)}
        data.from_config(runs.config("stsb_dir", "vanilla", **fields)["data"])

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("dim", 0, "dim must be at least 1, got 0"),
            ("words_of", "test", "must be 'all' or 'train', got 'test'"),
            ("columns", ("a",), "must name two columns"),
        ],
    )
    def test_wrong_fields(self, load, field, value, said):
        with pytest.raises(InputError, match=said):
            load(**{f"text__{field}": value})


def test_describe(load):
    source = load()
    fields = runs.config("stsb_dir", "vanilla", **own_data.TEXT)["data"]
    shown = command.text(facts.describe(source, fields))
    assert "pairs of sentences, at most 6 words each" in shown
    assert "13 distinct words, 9 with a vector of 3 values" in shown


@pytest.mark.slow
@pytest.mark.data
def test_real_files(data_dir):
    """Counts of the benchmark, of the words that it has, and of pairs that leak."""
    folder = data_dir / "sts-b-dir"
    if not (folder / "train_new.tsv").is_file():
        pytest.skip(f"needs {folder / 'train_new.tsv'}")
    made = runs.config("stsb_dir", "vanilla,small", data__path=str(folder))
    source = data.from_config(made["data"])
    shares = facts.shares(source)
    assert shares["train"] == {"rows": 5249, "many": 4510, "median": 538, "few": 201}
    assert shares["test"] == {"rows": 1000, "many": 756, "median": 170, "few": 74}
    assert shares["val"]["rows"] == 1000
    notes = own_data.notes(source)
    assert "the split is that of Yang et al. 2021" in notes
    assert "11 val and 19 test pairs are also in train" in notes
    assert source.record["split"] == "the split is that of Yang et al. 2021"
    # Weights of training pairs, from counts in float32.
    train = source.splits["train"]
    counts = np.histogram(train.value, bins=50, range=(0, 5))[0]
    assert (counts.max(), counts.min()) == (428, 1)
    window = weights.kernel_window("gaussian", 5, 2.0)
    for options, density in (
        ({}, counts),
        ({"kernel": "gaussian"}, np.convolve(counts, window, "same")),
    ):
        got = weights.bin_weights(source.spec.counts, "inverse", clip=None, **options)[
            train.bin
        ]
        want = 1 / density[train.bin]
        np.testing.assert_allclose(got, want / want.mean(), rtol=1e-6)
    codes = source.splits["test"].inputs
    assert (codes != words.PADDING).any(axis=2).all()
    # As NLTK has it.
    known = source.record["words"]
    assert {"n't", "``", "''", "u.s.", "ca"} < set(known)
    there = source.record["with_vector"]
    assert 0.93 < there / len(known) < 0.95
