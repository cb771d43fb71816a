"""Words as codes: a vocabulary and its GloVe vectors.

"GloVe: Global Vectors for Word Representation", Pennington, Socher and Manning, EMNLP
2014, https://nlp.stanford.edu/projects/glove. A vector file is text, one word per line
followed by its numbers, separated by blanks; or NPZ with `words` `[n]` and `vectors`
`[n, dim]`. As in the benchmark (AllenNLP 0.5), words are numbered by frequency, 0 is
padding and 1 stands for all unknown words.

**Deviations** from the benchmark: words with blanks, which some published files
contain, are recognised by the number of blanks in their line instead of being truncated
at the first.
"""

from __future__ import annotations

import collections
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from dirjax.data.formats import npz_files, text_files
from dirjax.errors import InputError

Vectors = Iterator[tuple[int, np.ndarray]]
PADDING, UNKNOWN = 0, 1
_FIRST = 2  # Code of the first word.


class Vocabulary:
    """Words and their codes.

    Args:
      words: the known words; the code of `words[i]` is `i + 2`.
      lower: whether words are looked up in lower case.

    Attributes:
      words: as given.
      lower: as given.
    """

    def __init__(self, words: Sequence[str], lower: bool = False):
        self.words = tuple(words)
        self.lower = lower
        self._codes = {word: i for i, word in enumerate(self.words, _FIRST)}

    @classmethod
    def of(
        cls, sentences: Iterable[Sequence[str]], *, most: int, lower: bool = False
    ) -> Vocabulary:
        """The vocabulary of the most frequent words; ties go to the earlier word.

        Args:
          sentences: words of each sentence.
          most: largest number of words.
          lower: see the class.

        Example:
          >>> Vocabulary.of([["b", "a"], ["a", "c"]], most=2).words
          ('a', 'b')
        """
        counts: collections.Counter[str] = collections.Counter()
        for sentence in sentences:
            counts.update(map(str.lower, sentence) if lower else sentence)
        return cls([word for word, _ in counts.most_common(most)], lower)

    def __len__(self) -> int:
        """Number of codes."""
        return len(self.words) + _FIRST

    def encode(self, sentences: Sequence[Sequence[str]], length: int) -> np.ndarray:
        """Codes of the first `length` words of each sentence.

        Args:
          sentences: words of each sentence.
          length: length of the result; shorter sentences are padded at the end.

        Returns:
          `[sentences, length]` int32.

        Example:
          >>> Vocabulary(["a", "b"]).encode([["b", "z"], ["a"]], 3).tolist()
          [[3, 1, 0], [2, 0, 0]]
        """
        found = np.full((len(sentences), length), PADDING, np.int32)
        for row, sentence in zip(found, sentences, strict=True):
            for i, word in enumerate(sentence[:length]):
                row[i] = self._codes.get(word.lower() if self.lower else word, UNKNOWN)
        return found


def _wrong(file: pathlib.Path, dim: int, came: str) -> InputError:
    return InputError(
        f"{file} must hold words with {dim} numbers each (data.text.dim), {came}. Set "
        "--config.data.text.dim=SIZE, or give another file of GloVe vectors with "
        "--config.data.text.vectors=FILE."
    )


def _lines(file: pathlib.Path, codes: Mapping[bytes, int], dim: int) -> Vectors:
    """`(position, vector)` of the requested words in a text file."""
    first = True
    with text_files.unpacked(file) as stream:
        for number, read in enumerate(stream, 1):
            line = read.rstrip(b" \r\n")
            blanks = line.count(b" ")
            if number == 1 and blanks == 1:
                continue  # A header with the number of words and numbers.
            # The first line of vectors may hold a word with a blank or two.
            if blanks < dim or (first and blanks > dim + 2):
                raise _wrong(file, dim, f"row {number} has {blanks}")
            first = False
            # Words with blanks are not in our vocabulary.
            word = line[: line.index(b" ")] if blanks == dim else b""
            if word not in codes:
                continue
            try:
                vector = np.array(line.split()[1:], np.float32)
            except ValueError:
                vector = np.full(dim, np.nan, np.float32)
            if vector.shape != (dim,) or not np.isfinite(vector).all():
                said = f"row {number} ({word.decode()!r}) has something else"
                raise _wrong(file, dim, said)
            yield codes[word], vector
    if first:
        raise _wrong(file, dim, "it is empty")


def _stored(file: pathlib.Path, codes: Mapping[bytes, int], dim: int) -> Vectors:
    """The same for an NPZ file."""
    stored = npz_files.read(file)
    for name in ("words", "vectors"):
        if name not in stored:
            said = ", ".join(stored) or "nothing"
            raise InputError(
                f"{file} must hold words [n] and vectors [n, {dim}], it has {said}. "
                "Save it with numpy.savez(FILE, words=..., vectors=...)."
            )
    words, vectors = stored["words"], stored["vectors"]
    good = words.ndim == 1 and words.dtype.kind == "U" and vectors.dtype.kind in "iuf"
    if not good or vectors.shape != (len(words), dim):
        kinds = f"words {words.dtype} {list(words.shape)}"
        said = f"{kinds} and vectors {vectors.dtype} {list(vectors.shape)}"
        raise _wrong(file, dim, f"it has {said}")
    for i, word in enumerate(words.tolist()):
        position = codes.get(word.encode())
        if position is not None:
            if not np.isfinite(vectors[i]).all():
                raise _wrong(file, dim, f"entry {i} ({word!r}) is not finite")
            yield position, vectors[i]


def vectors(
    file: pathlib.Path, words: Sequence[str], dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the vectors of some words.

    Args:
      file: GloVe's text, plain or gzip, or NPZ.
      words: words to look up.
      dim: size of a vector.

    Returns:
      `[words, dim]` float32, 0 for words that the file lacks, and `[words]` bool: which
      it has. The last of duplicate words counts.

    Raises:
      InputError: naming file and row, if a line is not a word with `dim` numbers.
    """
    codes = {word.encode(): i for i, word in enumerate(words)}
    found = np.zeros((len(words), dim), np.float32)
    there = np.zeros(len(words), bool)
    packed = text_files.starts_with(file, b"PK\x03\x04")
    try:
        for position, vector in (_stored if packed else _lines)(file, codes, dim):
            found[position] = vector
            there[position] = True
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file of GloVe vectors "
            "with --config.data.text.vectors=FILE."
        ) from error
    return found, there


def table(
    file: pathlib.Path, vocabulary: Vocabulary, dim: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the table of vectors, one for each code.

    Args:
      file: see `vectors`.
      vocabulary: the words.
      dim: size of a vector.
      seed: seed of the vectors of unknown words and words that the file lacks.

    Returns:
      `[codes, dim]` float32: the file's vectors, 0 for padding, and standard normal
      numbers elsewhere; and `[codes]` bool: which the file has.

    Raises:
      InputError: see `vectors`.
    """
    found, there = vectors(file, vocabulary.words, dim)
    rng = np.random.Generator(np.random.Philox(key=[seed, 3]))
    made = rng.normal(size=(len(vocabulary), dim)).astype(np.float32)
    made[_FIRST:][there] = found[there]
    made[PADDING] = 0
    return made, np.concatenate([np.zeros(_FIRST, bool), there])
