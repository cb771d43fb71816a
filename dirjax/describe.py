"""`python -m dirjax.describe --config configs/csv.py --config.data.path=FILE ...`.

Describes a data set without training: labels, bins, shots, splits, duplicates, and what
to do about them. Takes --config and its fields like `python -m dirjax.main`; --workdir
is accepted and ignored.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from dirjax import data, errors, labels
from dirjax.cli import config_files, entry, status, usage
from dirjax.config import frozen, validation
from dirjax.data import resampled
from dirjax.data.describe import facts as facts_lib
from dirjax.data.describe.text import text
from dirjax.runtime import startup
from dirjax.workdir import files as files_lib
from dirjax.workdir import run_files

_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Folder for describe.json and .png; default runs/describe/NAME.",
)


def pictures(facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Label histogram and splits by shot, as PNG, by name of the file.

    Several labels have one each, `describe-NUMBER-NAME.png`.
    """
    several = facts.get("targets")
    if not several:
        return {"describe.png": _picture(facts)}
    return {
        f"describe-{run_files.numbered(i, name)}.png": _picture(own)
        for i, (name, own) in enumerate(several.items())
    }


def _picture(facts: Mapping[str, Any]) -> bytes:
    from dirjax.report import runs
    from dirjax.report.figures import one_run, style

    bins = facts["bins"]
    drawn = runs.TrainBins(
        label=facts["label"]["name"],
        unit="",
        edges=np.asarray(bins["edges"]),
        count=np.asarray(bins["train_count"]),
        shot=np.asarray([labels.SHOTS.index(s) for s in bins["shots"]]),
        many=bins["many"],
        few=bins["few"],
    )
    log = facts["label"]["scale"] == "log"
    return style.png(one_run.labels_and_splits(drawn, facts["splits"], log))


def write(facts: Mapping[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes `describe.json` and `pictures` atomically.

    Raises:
      InputError: if the folder is not writable.
    """
    table = folder / "describe.json"
    images = {folder / name: content for name, content in pictures(facts).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for image, content in images.items():
            files_lib.half(image).write_bytes(content)
            files_lib.half(image).replace(image)
        files_lib.write_json(table, facts)
    except OSError as error:
        raise errors.InputError(
            f"cannot write to {folder} ({error.strerror}). Give another folder with "
            "--output."
        ) from error
    return [table, *images]


def _with_stages(source: data.Source, config: Mapping[str, Any]) -> data.Source:
    """The source, with notes on stages that resample features.

    Raises:
      InputError: if they cannot.
    """
    notes: list[str] = []
    for name in config.get("stages", ()):
        fields = config["stage"][name]["resample"]
        if fields:
            where = f"stage.{name}.resample"
            rows = resampled.expected(fields, source, where=where)
            notes += resampled.stage_notes(name, fields, rows, source)
    return dataclasses.replace(source, notes=(*source.notes, *notes))


def help_text() -> str:
    """The text of `--help`."""
    from dirjax.config import choices

    return usage.text(
        "python -m dirjax.describe --config FILE.py [--config.FIELD=VALUE ...] "
        "[--output DIR]",
        "Describes a data set without training: labels, bins, shots, splits, "
        "duplicates, and what to do about them. Takes a config and its fields like "
        "python -m dirjax.main; --workdir is accepted and ignored.",
        choices.sections(required=("config",), flags=("output", "debug")),
        (
            "python -m dirjax.describe --config configs/csv.py "
            "--config.data.path=my.csv --config.data.label=price",
            "python -m dirjax.describe --config configs/mnist5k.py --output look",
        ),
    )


def main(argv: Sequence[str]) -> None:
    """Parses flags, reads the data, prints and writes."""
    if len(argv) < 2 or config_files.asks_for_help(argv):
        print(help_text())
        return
    made, _ = config_files.parse(argv, workdir=False)
    if "data" not in made:
        raise errors.InputError("--config has no data. Give one of configs/*.py.")
    given = errors.local_path("--output", _OUTPUT.value) if _OUTPUT.value else None
    config = frozen.plain(made)
    validation.validate_data(config["data"])
    source = _with_stages(data.from_config(config["data"]), config)
    found = facts_lib.describe(source, config["data"])
    name = re.sub(r"[^\w.-]+", "_", found["name"])
    folder = given or pathlib.Path("runs", "describe", name)
    # Before printing, which ends the command if nobody reads all of it.
    written = write(found, folder)
    print(f"{text(found)}\n\nWritten: {', '.join(map(str, written))}")


entry.also_called(__name__, "dirjax.interface.training:description")

if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
