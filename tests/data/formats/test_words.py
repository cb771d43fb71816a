"""Vocabularies and files of vectors."""

import gzip

import numpy as np
import pytest

from dirjax.data.formats import words
from dirjax.errors import InputError
from tests import own_data

TEXT = "a 1 2 3\nb 4 5 6\nc 7 8 9\n"


class TestVocabulary:
    def test_the_most_frequent_come_first_and_ties_in_order(self):
        found = words.Vocabulary.of([["c", "B"], ["b", "B"], ["c", "a"]], most=3)
        assert found.words == ("c", "B", "b")
        assert len(found) == 5
        lower = words.Vocabulary.of([["c", "B"], ["b", "B"]], most=9, lower=True)
        assert lower.words == ("b", "c")

    def test_codes(self):
        sentences = [["a", "b", "a"], [], ["A", "z"]]
        known = words.Vocabulary(["b", "a"])
        np.testing.assert_array_equal(
            known.encode(sentences, 2), [[3, 2], [0, 0], [1, 1]]
        )
        lower = words.Vocabulary(["b", "a"], lower=True)
        assert lower.encode(sentences, 4)[2].tolist() == [3, 1, 0, 0]
        assert lower.encode(sentences, 4).dtype == np.int32


def npz(words, vectors) -> bytes:
    return own_data.to_npz(words=np.array(words), vectors=np.array(vectors, float))


# Files that say the same of b and c.
FILES = {
    "text": TEXT,
    "gzip": gzip.compress(TEXT.encode(), mtime=0),
    "header": "3 3\n" + TEXT,
    "blanks at the end": TEXT.replace("\n", " \n"),
    "other ends of lines": TEXT.replace("\n", "\r\n"),
    "no last end": TEXT.rstrip(),
    # Words with blanks in them are others, whatever they begin with.
    "words with blanks": TEXT + "b name@domain.com 0 0 0\nc . . 1 1 1\n",
    "one of them first": "b . 0 0 0\n" + TEXT,
    "broken where nobody looks": TEXT + "d x y z\n",
    "the last of two counts": "c 0 0 0\n" + TEXT,
    "npz": npz(["c", "x", "b"], [[7, 8, 9], [0, 0, 0], [4, 5, 6]]),
}
WRONG = {
    "fewer numbers": ("a 1 2\n", r"3 numbers each \(data\.text\.dim\), row 1 has 2"),
    "more numbers": (TEXT.replace("\n", " 0 0 0\n"), "row 1 has 6"),
    "below a header": ("1 6\n" + TEXT.replace("\n", " 0 0 0\n"), "row 2 has 6"),
    "cut off": (TEXT + "d 1 2", "row 4 has 2"),
    "a letter": (TEXT.replace("5", "x"), r"row 2 \('b'\) has something else"),
    "nan": (TEXT.replace("5", "nan"), r"row 2 \('b'\) has something else"),
    "a tab": (TEXT.replace("4 5", "4\t5 0"), r"row 2 \('b'\) has something else"),
    "empty": ("", "it is empty"),
    "half of gzip": (FILES["gzip"][:-12], "cannot be read"),
    "other arrays": (own_data.to_npz(x=[1]), r"vectors \[n, 3\], it has x"),
    "wide arrays": (npz(["b"], [[1] * 4]), r"3 numbers .* vectors float64 \[1, 4\]"),
    "no words": (npz([1.0], [[1] * 3]), r"it has words float64 \[1\] and"),
    "inf": (npz(["a", "b"], [[1] * 3, [1, np.inf, 3]]), r"1 \('b'\) is not finite"),
}


class TestVectors:
    @pytest.mark.parametrize("name", FILES)
    def test_of_some_words(self, tmp_path, name):
        file = own_data.write(tmp_path, "glove", FILES[name])
        found, there = words.vectors(file, ["b", "\u00e9", "c"], 3)
        assert there.tolist() == [True, False, True]
        np.testing.assert_array_equal(found, [[4, 5, 6], [0, 0, 0], [7, 8, 9]])
        assert found.dtype == np.float32

    @pytest.mark.parametrize("name", WRONG)
    def test_a_sentence_for_wrong_files(self, tmp_path, name):
        content, said = WRONG[name]
        file = own_data.write(tmp_path, "glove", content)
        with pytest.raises(InputError, match=said):
            words.vectors(file, ["b"], 3)

    def test_a_table(self, tmp_path):
        file = own_data.write(tmp_path, "glove", TEXT)
        vocabulary = words.Vocabulary([*"xb", *map(str, range(5000))])
        table, there = words.table(file, vocabulary, 3, seed=1)
        assert table.shape == (5004, 3)
        assert np.flatnonzero(there).tolist() == [3]
        assert table[3].tolist() == [4, 5, 6]
        assert not table[0].any()
        rest = table[4:]
        np.testing.assert_allclose([rest.mean(), rest.std()], [0, 1], atol=0.03)
        again = words.table(file, vocabulary, 3, seed=1)[0]
        np.testing.assert_array_equal(table, again)
        other = words.table(file, vocabulary, 3, seed=2)[0]
        assert (other[[1, 2]] != table[[1, 2]]).all()
