"""`python -m dirjax.data describe ...`, which is `python -m dirjax.describe ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dirjax import describe
from dirjax.cli import status
from dirjax.errors import InputError
from dirjax.runtime import startup


def main(argv: Sequence[str]) -> None:
    """Passes on the arguments after `describe`."""
    program, *words = argv
    if words and not {"--help", "-h", "help"} & set(words):
        if words[0] != "describe":
            raise InputError(
                f"the first argument must be describe, got {words[0]!r}. See --help."
            )
        # Without flags, the command reports the missing config.
        describe.main([program, *(words[1:] or ["--nodebug"])])
        return
    describe.main([program, "--help"])


if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
