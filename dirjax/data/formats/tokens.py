"""Tokenises sentences by the rules of the Penn Treebank, as for STS-B-DIR.

The rules are those of Robert MacIntyre's script `tokenizer.sed` of the Treebank
project, which NLTK's `word_tokenize` follows: punctuation and brackets are separate
tokens, clitics (`n't`, `'s`, `'ll`) are words, opening straight double quotes become
two backquotes and closing ones two apostrophes, and the full stop of a sentence is a
token while that of an abbreviation is not. Case is kept.

**Deviations** from `nltk.word_tokenize`, which the benchmark calls: NLTK finds sentence
ends with a model, punkt, that is downloaded separately. Here a full stop before a blank
ends a sentence unless an initial, a word with a full stop inside (U.S.) or one of a
list of abbreviations precedes it. So there is nothing to download and no version to
pin.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

# Words that keep their full stop, from punkt, which does not know Gov. or Capt.
ABBREVIATIONS = frozenset(
    """
    adm ala ariz ark aug ave bldg bros calif co col colo conn corp ct dec dept dr esq
    feb fla ft ga gen hon ill inc ind jan jr kan ky lt ltd maj mass md messrs mfg mich
    minn miss mo mr mrs ms mt neb nev nov oct okla ore pa penn pfc ph pres prof pvt rep
    reps sen sep sept sr st tenn tex va vs vt wash wis
    """.split()  # noqa: SIM905
)
_CLOSING = "])}>\"'»”\u2019"
# Always separate tokens; runs of full stops and double dashes are one token.
_ALONE = r"\.{2,}|--|``|''|[;@#$%&?!*()\[\]{}<>«»“”\u2018\u2019„\"`\u2012-\u2015]"
# A comma or colon is a token unless a digit follows.
_TOKEN = re.compile(
    rf"{_ALONE}|[,:](?!\d)|(?:(?!{_ALONE})(?:[^\s,:]|[,:](?=\d)))+", re.UNICODE
)
_CHUNK = re.compile(r"\S+")
_STOPPED = re.compile(rf"(.*[^.])\.[{re.escape(_CLOSING)}]*", re.DOTALL)
_CLITIC = re.compile(r"(.*[^'])('[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T|')")
_STARTING = re.compile(r"'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", re.IGNORECASE)
_JOINED = re.compile(
    r"(?:(can)(not)|(d)('ye)|(gim)(me)|(gon)(na)|(got)(ta)|(lem)(me)|(more)('n)"
    r"|(wan)(na)|('t)(is)|('t)(was))",
    re.IGNORECASE,
)


def _ends(text: str) -> Iterator[int]:
    """Positions of the full stops that are separate tokens."""
    rest = len(text.rstrip(_CLOSING + string.whitespace))
    for chunk in _CHUNK.finditer(text):
        stopped = _STOPPED.fullmatch(chunk.group())
        if not stopped:
            continue
        at = chunk.start() + stopped.end(1)
        word = stopped[1].lstrip("([{<\"'`“\u2018«")
        whole = word.lower() in ABBREVIATIONS or "." in word
        if at + 1 >= rest or not (whole or (len(word) == 1 and word.isalpha())):
            yield at


def _quote(text: str, at: int) -> str:
    """The token for a double quote at a position."""
    opens = at == 0 or text[at - 1].isspace() or text[at - 1] in "([{<"
    return "``" if opens else "''"


def _parts(word: str) -> Iterator[str]:
    """Splits clitics and contractions off a word."""
    if _STARTING.match(word) and not _JOINED.fullmatch(word):
        yield "'"
        word = word[1:]
    clitic = _CLITIC.fullmatch(word)
    stem, end = clitic.groups() if clitic else (word, "")
    joined = _JOINED.fullmatch(stem)
    if joined:
        yield from filter(None, joined.groups())
    else:
        yield stem
    if end:
        yield end


def tokenize(text: str) -> list[str]:
    """The tokens of one or more sentences.

    Args:
      text: the text; case is kept.

    Returns:
      Words and punctuation marks, in order.

    Example:
      >>> tokenize('Mr. Fox can\\'t pay $3.50, he said.')
      ['Mr.', 'Fox', 'ca', "n't", 'pay', '$', '3.50', ',', 'he', 'said', '.']
      >>> tokenize('"Go," he said.')
      ['``', 'Go', ',', "''", 'he', 'said', '.']
    """
    pieces, start = [], 0
    for end in _ends(text):
        pieces += [(text[start:end], start), (".", end)]
        start = end + 1
    pieces.append((text[start:], start))
    found: list[str] = []
    for piece, offset in pieces:
        for match in _TOKEN.finditer(piece) if piece != "." else ():
            word = match.group()
            if word in ('"', "''"):
                found.append(_quote(text, offset + match.start()))
            elif len(word) == 1:
                found.append(word)
            else:
                found += _parts(word)
        if piece == ".":
            found.append(piece)
    return found
