"""`python -m dirjax COMMAND ...` and `dirjax COMMAND ...`: the door to all commands."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

from dirjax import checks
from dirjax.cli import entry, status, usage
from dirjax.errors import InputError

COMMANDS = {
    "describe": "describe data before training: labels, bins, splits, problems",
    "main": "train, evaluate, write a report; or resume a run",
    "sweep": "run a study: data sets x methods x fields x seeds",
    "choose": "which method for this data: train a portfolio, compare, pick",
    "report": "compare runs: tables, figures, one HTML page",
    "evaluate": "metrics of a trained model, on its own splits or a new file",
    "predict": "predictions of a trained model for new rows",
    "export": "a trained model as StableHLO and safetensors, to use without dirjax",
    "noise": "predictions of a trained model under input noise",
}


def help_text() -> str:
    """The text of `python -m dirjax --help`."""
    return usage.text(
        "dirjax COMMAND [--help] ...     (or: python -m dirjax COMMAND ...)",
        "Deep imbalanced regression in JAX: every method, one loop, one command.",
        {
            "commands": usage.rows(COMMANDS),
            "flags": usage.rows(
                {
                    "--help": "this text; after a command, that of the command",
                    "--version": "print the version",
                }
            ),
        },
        (
            "dirjax main --config configs/bikeshare.py:sqinv_lds --workdir runs/bike",
            "dirjax main --help",
        ),
    )


def _run(argv: Sequence[str]) -> None:
    """Prints the help, or runs the module of a command as Python would."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(help_text())
        return
    name, *rest = argv
    if name not in COMMANDS:
        raise InputError(checks.unknown("command", name, COMMANDS))
    sys.argv = [f"dirjax {name}", *rest]
    runpy.run_module(f"dirjax.{name}", run_name="__main__", alter_sys=False)


def main() -> int:
    """Runs the command of `sys.argv`; returns the exit status."""
    entry.begin()
    words = sys.argv[1:]
    # Behind a command, --version and --debug are words of that command.
    return status.run(_run, words, debug="--debug" in words)


if __name__ == "__main__":
    sys.exit(main())
