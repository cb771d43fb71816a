"""Words of sentences, as the rules of the Penn Treebank have them."""

import pytest

from dirjax.data.formats.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A woman is dancing.", "A woman is dancing ."),
        ("A woman is dancing", "A woman is dancing"),
        ("Stop, now: go!", "Stop , now : go !"),
        ("They can't, won't and cannot.", "They ca n't , wo n't and can not ."),
        ("It's John's; we'll see I'm he'd", "It 's John 's ; we 'll see I 'm he 'd"),
        ("the boys' dog", "the boys ' dog"),
        ("gonna, gimme 'tis", "gon na , gim me 't is"),
        # Numbers stay whole.
        ("$3.50 and 1,000.5 at 10:30", "$ 3.50 and 1,000.5 at 10:30"),
        ("50%, #1 & 2", "50 % , # 1 & 2"),
        # Full stops of abbreviations, initials and of sentences.
        ("Mr. Fox of the U.S. army, J. Doe", "Mr. Fox of the U.S. army , J. Doe"),
        ("He left. She stayed.", "He left . She stayed ."),
        ("It was in the U.S.", "It was in the U.S ."),
        ("Wait... what?", "Wait ... what ?"),
        ('(He said "so.")', "( He said `` so . '' )"),
        ("one--two - three", "one -- two - three"),
        ("well-known a/b", "well-known a/b"),
        ("[x] {y} <z>", "[ x ] { y } < z >"),
        (
            "\u201cHi\u201d \u2014 \u2018so\u2019",
            "\u201c Hi \u201d \u2014 \u2018 so \u2019",
        ),
        ("``ELF'' said ''Go''", "`` ELF '' said `` Go ''"),
        ("'quoted' word", "' quoted ' word"),
        ("caf\u00e9 na\u00efve", "caf\u00e9 na\u00efve"),
        ("  two   blanks\tand\u00a0more ", "two blanks and more"),
        (".", "."),
        ("...", "..."),
        ("", ""),
        (" ", ""),
    ],
)
def test_by_hand(text, words):
    assert tokenize(text) == words.split()


def test_nothing_but_blanks_and_quotes_is_lost():
    text = "A [b], c's (d.e.f.) g?! h -- 'i' can't... $5.00; U.S. 'tis ``j'' k&l."
    assert "".join(tokenize(text)) == text.replace(" ", "")


def test_long_texts_take_no_longer_by_the_word():
    """No rule looks at all that stands before a word, again and again."""
    assert len(tokenize("a.b. c, 'd' e's. \"f\" " * 5_000)) == 5_000 * 11
