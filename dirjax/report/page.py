"""The report as one self-contained HTML page.

`page.html.jinja` holds the markup and the style. Figures are inline SVG whose colours
are CSS variables, so one drawing serves the light and the dark page. Deviations: none,
this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence

from dirjax.report import formats
from dirjax.report.answers import answers
from dirjax.report.figures import style
from dirjax.report.runs import Run
from dirjax.report.tables import Table


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
      name: name of the PNG file, without extension.
      svg: from `style.svg`.
      caption: one or two sentences below the figure.
    """

    name: str
    svg: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """One data set of the report.

    Attributes:
      table: its metrics.
      pictures: its figures, in order.
      notes: sentences about missing or skipped data.
    """

    table: Table
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


def stored_command(run: Run) -> str | None:
    """The shell command that started the run, if it was started from a shell."""
    return (run.result or {}).get("command")


def command(run: Run) -> str:
    """The shell command that trains the run again.

    Returns:
      The stored command if the run has one, otherwise the command of its preset,
      without the fields that were changed on the command line.
    """
    if (stored := stored_command(run)) is not None:
        return stored
    words = ["python", "-m", "dirjax.main"]
    words += ["--config", f"configs/{run.dataset}.py:{run.method}"]
    words += ["--workdir", str(run.path), f"--config.seed={run.seed}"]
    return shlex.join(words)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def facts(run: Run) -> dict[str, str]:
    """What was run, where and for how long: name -> value, unknown values omitted."""
    result = run.result or {}
    select, processes = result.get("select"), result.get("processes") or 1
    versions = {"dirjax": result.get("dirjax"), **(result.get("versions") or {})}
    speed, seconds = result.get("examples_per_second"), result.get("train_seconds")
    device = result.get("device")
    if device and processes > 1:
        device = f"{device}, {processes} processes"
    found = {
        "Method": run.method,
        "Data set": run.dataset,
        "Seed": str(run.seed),
        "Steps": f"{result.get('steps', 0):,}",
        "Tested step": None if run.best_step is None else f"{run.best_step:,}",
        "Selected by": select and "best {split} {metric}/{shot}".format(**select),
        "Device": device,
        "Training time": None if seconds is None else _duration(seconds),
        "Speed": speed and f"{speed:,.0f} examples per second",
        "Versions": ", ".join(f"{n} {v}" for n, v in versions.items() if v),
        "Folder": str(run.path),
    }
    return {name: value for name, value in found.items() if value}


def render(
    sections: Sequence[Section],
    unfinished: Sequence[Run],
    *,
    overall: Sequence[Picture] = (),
) -> str:
    """Writes the page.

    Args:
      sections: one per data set.
      unfinished: runs without a result, listed at the end.
      overall: figures over all data sets, in front.

    Returns:
      A complete HTML document.
    """
    import jinja2

    runs = [run for section in sections for run in section.table.runs]
    if len(runs) == 1:
        title = f"{runs[0].dataset}: {runs[0].method}"
        subtitle = f"seed {runs[0].seed}, {runs[0].path}"
    else:
        names = ", ".join(section.table.dataset for section in sections)
        methods = {row.method for section in sections for row in section.table.rows}
        title = f"{names}: {len(methods)} method{'s' if len(methods) > 1 else ''}"
        subtitle = f"{len(runs)} finished runs"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dirjax.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=title,
        subtitle=subtitle,
        colours=style.COLOURS,
        sections=sections,
        unfinished=unfinished,
        overall=overall,
        runs=runs,
        config=json.dumps(runs[0].config, indent=2, ensure_ascii=False),
        blocks=formats.blocks,
        footnote=formats.footnote,
        answers=answers,
        facts=facts,
        command=command,
        stored_command=stored_command,
    )
