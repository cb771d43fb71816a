"""The commands as functions of data frames: fit, describe and choose."""

from __future__ import annotations

import base64
import html
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dirjax.errors import InputError, local_path
from dirjax.interface import frames
from dirjax.interface.model import Model, Temporary
from dirjax.labels import targets
from dirjax.runtime import startup
from dirjax.workdir import writers

_CONFIG = "configs/csv.py"
DATA = "data.parquet"
# Of the notes on data, those that a fit without output gives as warnings: columns or
# rows that are not used, and errors or bins that are not what they seem.
_WARNED = ("left out", "says little of new ones", "count in the end bins")


def folder_of(workdir: str | pathlib.Path | None) -> tuple[pathlib.Path, Any]:
    """A run directory; if none is given a temporary one, to be kept by the model."""
    if workdir is None:
        temporary = Temporary()
        return temporary.path / "run", temporary
    return local_path("workdir", workdir), None


def written(
    data: Any, label: str | Sequence[str], folder: pathlib.Path
) -> dict[str, Any]:
    """Writes a frame into a folder; the fields of the config that name it."""
    frame = frames.table(data)
    several = isinstance(label, Iterable) and not isinstance(label, str)
    # Names of columns that are numbers became text with the frame.
    names = [str(name) for name in (label if several else [label])]
    for name in names:
        if name not in frame.column_names:
            raise InputError(
                f"label must name a column of the data, got {name!r}; it has "
                f"{', '.join(frame.column_names)}."
            )
    if len(set(names)) < max(len(names), 1):
        raise InputError(f"label must name different columns, got {names}.")
    label = names[0] if len(names) == 1 else targets.text(names)
    if len(names) > 1 and label in frame.column_names:
        raise InputError(
            f"the column {label!r} has the name that label gives to {len(names)} "
            "others. Rename it."
        )
    frames.keep(lambda file: frames.write_table(frame, file), folder / DATA)
    return {
        "data.path": str((folder / DATA).resolve()),
        "data.label": label,
        "data.name": label if len(names) == 1 else "data",
    }


def config_of(method: str, fields: Mapping[str, Any], file: str = _CONFIG) -> Any:
    """The config of a preset with fields, plain values."""
    from dirjax.sweeping import jobs

    return jobs.build(jobs.Job(file, method, fields, pathlib.PurePath()))


def fit(
    data: Any,
    label: str | Sequence[str],
    *,
    method: str = "",
    workdir: str | pathlib.Path | None = None,
    fields: Mapping[str, Any] | None = None,
    verbose: bool = False,
) -> Model:
    """Trains a model on a data frame, as `dirjax.main` does on a file.

    Without a column of splits, a balanced validation and test split are made.

    Args:
      data: see `frames.table`.
      label: column of the label; a list of columns trains one model of several targets,
        with a head for each.
      method: a preset, with options behind commas. Default: that of configs/csv.py.
      workdir: run directory; a run that was stopped there goes on. Default: a
        temporary one, which lasts as long as the model.
      fields: path below `config` -> value, such as `{"stage.main.steps": 500}`.
      verbose: print what `dirjax.main` prints, and not a progress bar alone.

    Raises:
      InputError: if the data, the method or a field is wrong.
    """
    from dirjax import train

    folder, temporary = folder_of(workdir)
    show = "all" if verbose else "bar"
    with frames.speaking_of(folder):
        own = written(data, label, folder)
        config = config_of(method, {**own, **(fields or {})})
        return finished(config, folder, temporary, show=show, run=train)


def finished(
    config: Mapping[str, Any],
    folder: pathlib.Path,
    temporary: Any,
    *,
    show: writers.Show,
    run: Any,
) -> Model:
    """Trains a config and gives its model."""
    startup.quiet_orbax()
    startup.keep_programs()
    result = run.train_and_evaluate(config, folder, show=show)
    for note in result["notes"] if show != "all" else ():
        if any(said in note for said in _WARNED):
            warnings.warn(note, stacklevel=3)
    model = Model(folder)
    model.keep(temporary)
    return model


class Description:
    """What `dirjax.describe` finds; printed, it is the text of the command.

    Attributes:
      facts: what describe.json holds.
    """

    def __init__(self, facts: Mapping[str, Any]):
        self.facts = facts

    def __repr__(self) -> str:
        from dirjax.data.describe.text import text

        return text(self.facts)

    def _repr_html_(self) -> str:
        from dirjax import describe

        drawn = [
            f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" '
            'style="max-width: 100%">'
            for png in describe.pictures(self.facts).values()
        ]
        return f"<pre>{html.escape(repr(self))}</pre>{''.join(drawn)}"


def description(
    data: Any, label: str | Sequence[str], *, fields: Mapping[str, Any] | None = None
) -> Description:
    """Describes a data frame without training: labels, bins, shots, splits, findings.

    Args:
      data: see `frames.table`.
      label: column of the label; a list of columns describes each of them.
      fields: as in `fit`.

    Raises:
      InputError: if the data is wrong.
    """
    from dirjax import data as data_lib
    from dirjax.config import validation
    from dirjax.data.describe import facts

    with (
        tempfile.TemporaryDirectory(prefix="dirjax-") as folder,
        frames.speaking_of(pathlib.Path(folder)),
    ):
        own = written(data, label, pathlib.Path(folder))
        config = config_of("vanilla", {**own, **(fields or {})})
        validation.validate_data(config["data"])
        source = data_lib.from_config(config["data"])
        return Description(facts.describe(source, config["data"]))


class Choice:
    """What `dirjax.choose` found.

    Attributes:
      record: the content of choice.json.
      model: the winner, ready to predict.
      workdir: the folder of all runs.
    """

    def __init__(self, workdir: pathlib.Path, record: Mapping[str, Any], temporary):
        self.workdir, self.record = workdir, record
        self.model = Model(record["run"])
        self.model.keep(temporary)

    def __repr__(self) -> str:
        outside = self.record["boosting"]
        more = [outside["sentence"]] if outside else []
        return "\n".join([self.record["sentence"], *more, repr(self.model)])

    def _repr_html_(self) -> str:
        from dirjax import report

        said = html.escape(self.record["sentence"])
        page = self.workdir / "report" / "report.html"
        document = page.read_text(encoding="utf-8")
        return f"<p>{said}</p>{report.framed(document)}"


def choice(
    data: Any,
    label: str,
    *,
    wanted: str = "all",
    minutes: float = 10.0,
    undecided: str = "",
    workdir: str | pathlib.Path | None = None,
    fields: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Tries a portfolio of methods on a data frame, see docs/choosing.md.

    Args:
      data: see `frames.table`.
      label: column of the label.
      wanted: which labels count, `--for` of the command: all, many, median, few,
        balanced, or weights such as "few=2,all=1".
      minutes: how long to start runs.
      undecided: what to take where nothing is better than "vanilla" beyond noise: that,
        or "best", what has the smallest validation error. Default: see
        `portfolio.undecided`.
      workdir: folder of all runs; a stopped choice goes on there. Default: a temporary
        one, which lasts as long as the answer's model.
      fields: as in `fit`.
      say: takes each line of progress; `print` shows them.

    Raises:
      InputError: if the data or the request is wrong.
    """
    from dirjax import choose
    from dirjax.choosing import portfolio

    folder, temporary = folder_of(workdir)
    with frames.speaking_of(folder):
        own = written(data, label, folder)
        request = choose.Request(
            file=_CONFIG,
            options=(),
            fields={**own, **(fields or {})},
            wanted=portfolio.weights(wanted),
            minutes=minutes,
            undecided=undecided,
        )
        return Choice(folder, choose.choose(request, folder, say=say), temporary)
