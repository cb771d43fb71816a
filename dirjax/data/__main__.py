"""`python -m dirjax.data build NAME ...` and `python -m dirjax.data describe ...`.

`build` makes a data set for TensorFlow Datasets of a folder that the user brings along;
`describe` is `python -m dirjax.describe`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from dirjax import describe
from dirjax.cli import arguments, status, usage
from dirjax.data.builders import prepare
from dirjax.errors import InputError
from dirjax.runtime import startup

COMMANDS = {
    "build": "make a data set for TensorFlow Datasets of the folder of a benchmark",
    "describe": "describe data before training, as python -m dirjax.describe does",
}


def help_text() -> str:
    """The text of `--help`."""
    return usage.text(
        "python -m dirjax.data COMMAND [--help] ...",
        "What is done with data before training.",
        {"commands": usage.rows(COMMANDS)},
        (
            "python -m dirjax.data build stsb_dir --manual_dir FOLDER",
            "python -m dirjax.data describe --config configs/csv.py "
            "--config.data.path=my.csv --config.data.label=price",
        ),
    )


def _build(argv: Sequence[str]) -> None:
    """Builds a data set, and prints how it is read."""
    parser = arguments.Raising(
        prog="python -m dirjax.data build",
        description="Makes a data set for TensorFlow Datasets, whole or not at all. "
        "Training does not need it: configs read the same folder directly.",
        epilog=usage.examples(
            ("python -m dirjax.data build stsb_dir --manual_dir FOLDER",)
        ),
        formatter_class=arguments.Format,
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(prepare.names()))
    parser.add_argument(
        "--manual_dir",
        action=arguments.LocalPath,
        required=True,
        metavar="FOLDER",
        help="the folder that configs/NAME.py describes",
    )
    parser.add_argument(
        "--data_dir",
        action=arguments.LocalPath,
        metavar="FOLDER",
        help="where to; default: that of TensorFlow Datasets, ~/tensorflow_datasets",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    options = parser.parse_args(argv)
    made = prepare.prepare(
        options.name, options.manual_dir, options.data_dir, say=print
    )
    path = shlex.quote(f"--config.data.path={made.parents[1]}")
    print(
        f"Built: {made}\nRead it with --config configs/{options.name}.py:METHOD "
        f"--config.data.kind=tfds {path}"
    )


def main(argv: Sequence[str]) -> None:
    """Passes on the arguments after the command."""
    program, *words = argv
    if not words or words[0] in ("--help", "-h", "help"):
        print(help_text())
        return
    if words[0] not in COMMANDS:
        raise InputError(
            f"the first argument must be {' or '.join(COMMANDS)}, got {words[0]!r}. "
            "See --help."
        )
    if words[0] == "build":
        _build(words[1:])
        return
    # Without flags, the command reports the missing config.
    describe.main([program, *(words[1:] or ["--nodebug"])])


if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
