"""Small tables and helpers to inspect them."""

import pyarrow as pa

from dirjax.data.formats import text_columns
from tests.own_data import ROWS, table

# Rows 0 to 39 train, 40 to 49 validate, 50 to 59 test.
PARTS = ("train",) * 40 + ("val",) * 10 + ("test",) * 10


def columns(split=PARTS, y=None, **cells) -> str:
    """A CSV of 60 rows, from columns given as lists, a label and a split."""
    y = [i % 10 for i in range(60)] if y is None else y
    named = {**cells, "y": y} | ({} if split is None else {"split": split})
    rows = zip(*named.values(), strict=True)
    return table([",".join(map(str, row)) for row in rows], ",".join(named))


def found(source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the numeric and of the categorical columns."""
    record = source.record["table"]
    return tuple(record["numeric"]), tuple(record["categorical"])


def numbers(column) -> tuple[list[float], list[bool]]:
    values, wrong = text_columns.numbers(pa.array(column, pa.string()))
    return values.tolist(), wrong.tolist()


BAD = {5: "1,r", 11: "1,r,2,3", 17: "oops,r,2", 23: "1,r,", 29: "1,r,much", 58: "1"}


def with_bad_rows() -> str:
    rows = list(ROWS)
    for i, text in BAD.items():
        rows[i] = text
    return table(rows)
