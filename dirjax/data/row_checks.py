"""The rows of a file, and which of them are usable."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from dirjax.errors import InputError

# The argument that skips bad rows.
SKIP = "--config.data.on_bad=skip"


def or_skip(skip_with: str) -> str:
    """What may be done with bad rows instead of mending them."""
    return f"or skip such rows: {skip_with}" if skip_with else "or remove such rows"


class Rows:
    """The rows of a file, and which of them are usable.

    Args:
      number: `[rows]` int, position of each row in the file, from 0.
      file: the file, for messages.
      on_bad: "error" raises at the first bad row, "skip" leaves bad rows out.
      skipped: number of rows already left out, by reason.
      first: number of the first row in messages; 2 below a header, as in spreadsheets.
      skip_with: the argument that skips bad rows, for messages; empty if none does.

    Attributes:
      good: `[rows]` bool.
      skipped: reason -> number of rows left out.
      notes: sentences on findings and decisions.
    """

    def __init__(
        self,
        number: np.ndarray,
        file: pathlib.Path | str,
        on_bad: str = "error",
        skipped: Mapping[str, int] | None = None,
        first: int = 2,
        skip_with: str = SKIP,
    ):
        self.skip_with = skip_with
        self.first = first
        self.number = number
        self.file = file
        self.on_bad = on_bad
        self.good = np.ones(len(number), bool)
        self.skipped = dict(skipped or {})
        self.notes: list[str] = []
        self._problems: list[tuple[str, str, str]] | None = None

    def place(self, i: int) -> str:
        """`row 7 of my.csv`."""
        return f"row {self.number[i] + self.first} of {self.file}"

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Problems found inside are told together at its end.

        Raises:
          InputError: if there was any.
        """
        self._problems = found = []
        try:
            yield
        finally:
            self._problems = None
        if len(found) == 1:
            raise InputError(f"{found[0][0]}. {found[0][1]}.")
        if found:
            said = "; ".join(f"({i}) {p[0]}" for i, p in enumerate(found, 1))
            todo = "; ".join(dict.fromkeys(p[2] for p in found))
            raise InputError(f"{self.file} has {len(found)} problems: {said}. {todo}.")

    @property
    def has_problems(self) -> bool:
        """Whether problems are collected, and there is one."""
        return bool(self._problems)

    def problem(self, said: str, todo: str, todo_of_many: str = "") -> None:
        """Raises an error, or keeps it for the end of `collected`.

        Args:
          said: what is wrong, without a full stop.
          todo: what to do, without a full stop.
          todo_of_many: the same for several problems of this kind; as `todo` if empty.

        Raises:
          InputError: unless problems are collected.
        """
        if self._problems is None:
            raise InputError(f"{said}. {todo}.")
        self._problems.append((said, todo, todo_of_many or todo))

    def refuse(self, why: str, bad: np.ndarray, sentence: Callable[[int], str]) -> None:
        """Refuses bad rows, or skips them.

        Args:
          why: the reason in a word or two.
          bad: `[rows]` bool.
          sentence: makes the message on one row.

        Raises:
          InputError: if there is a bad row and bad rows are not skipped.
        """
        bad = bad & self.good
        count = int(bad.sum())
        if not count:
            return
        if self.on_bad == "error":
            more = f" ({count} such rows)" if count > 1 else ""
            said = f"{sentence(int(np.flatnonzero(bad)[0]))}{more}"
            skip = or_skip(self.skip_with)
            self.problem(said, f"Fix it, {skip}", f"Fix them, {skip}")
            # Those that are collected are told for one reason.
        self.good &= ~bad
        self.skipped[why] = self.skipped.get(why, 0) + count
