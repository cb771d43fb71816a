"""The report as one HTML page that needs nothing beside itself.

Style is inline and figures are inline SVG whose colours are CSS variables, so one
drawing serves the light and the dark page. Deviations: none, this module is
dirjax's own.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from html import escape

from dirjax.report import layout
from dirjax.report.figures import style
from dirjax.report.runs import Run
from dirjax.report.tables import Table


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
      name: its file is `<name>.png`.
      svg: from `canvas.svg`.
      caption: one or two sentences below it.
    """

    name: str
    svg: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """One data set of the report.

    Attributes:
      table: its numbers.
      pictures: its figures, in order.
      notes: what is missing or was left out.
    """

    table: Table
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


_CSS = """
:root { color-scheme: light dark; --page: #ffffff; --card: #f5f7f9;
  --warn: #fdf3d8; --warn-edge: #c07f00; %(light)s }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2126;
  --warn: #33290f; --warn-edge: #f0bd4f; %(dark)s } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  sans-serif; font-size: 16px; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px;
  overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 40px 0 8px; overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 28px 0 8px; }
p { margin: 8px 0; max-width: 75ch; overflow-wrap: anywhere; }
.quiet, figcaption, caption { color: var(--muted); }
.scroll { overflow-x: auto; margin: 16px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 6px; white-space: nowrap; }
th, td { padding: 5px 14px 5px 0; text-align: right; white-space: nowrap; }
th:first-child, td.text { text-align: left; }
th:first-child { position: sticky; left: 0; background: var(--page); }
tbody th { font-weight: 400; }
thead th { border-bottom: 2px solid var(--muted); }
tbody td, tbody th { border-bottom: 1px solid var(--grid); }
tr.rule td, tr.rule th { border-top: 2px solid var(--muted); }
.std { color: var(--muted); }
.figures { display: grid; gap: 20px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%%, 460px), 1fr)); }
figure { margin: 0; padding: 12px; background: var(--card); border-radius: 8px;
  max-width: 640px; }
figure svg { display: block; width: 100%%; height: auto; }
figcaption { font-size: 0.9rem; margin-top: 8px; }
.warning { background: var(--warn); border-left: 4px solid var(--warn-edge);
  padding: 8px 14px; margin: 12px 0; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px;
  margin: 12px 0; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--card); padding: 12px; border-radius: 8px; overflow-x: auto;
  font-size: 0.875rem; margin: 8px 0; }
summary { cursor: pointer; margin: 12px 0; }
@media (max-width: 480px) { .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 8px; } th, td { padding-right: 10px; }
  figure { padding: 10px 4px; } figcaption { padding: 0 8px; }
  caption { white-space: normal; } main { padding: 16px 10px 48px; }
  table { font-size: 0.9rem; } }
@media print { figure { break-inside: avoid; } }
"""


def _css() -> str:
    def colours(k: int) -> str:
        return " ".join(f"--{n}: {pair[k]};" for n, pair in style.COLOURS.items())

    return _CSS % {"light": colours(0), "dark": colours(1)}


def _cell(cell: layout.Cell) -> str:
    mean = escape(cell.mean.replace("-", "\u2212"))
    mean = f"<b>{mean}</b>" if cell.best else mean
    std = f' <span class="std">± {escape(cell.std)}</span>' if cell.std else ""
    ends = escape(cell.interval.replace("-", "\u2212"))
    ends = f' <span class="std">{ends}</span>' if ends else ""
    return f"<td>{mean}{std}{ends}</td>"


def _block(block: layout.Block) -> str:
    header = "".join(f'<th scope="col">{escape(name)}</th>' for name in block.header)
    rows = []
    for index, row in enumerate(block.rows):
        rule = ' class="rule"' if block.rule and index == block.rule else ""
        name = f'<th scope="row">{escape(row[0].mean)}</th>'
        rows.append(f"<tr{rule}>{name}{''.join(map(_cell, row[1:]))}</tr>")
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(block.title)}'
        f"</caption><thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def _warnings(texts: Sequence[str]) -> str:
    return "".join(f'<p class="warning">Warning: {escape(text)}</p>' for text in texts)


def _pictures(pictures: Sequence[Picture]) -> str:
    figures = (
        f"<figure>{p.svg}<figcaption>{escape(p.caption)}</figcaption></figure>"
        for p in pictures
    )
    return f'<div class="figures">{"".join(figures)}</div>'


def command(run: Run) -> str:
    """The shell command that trains the run again.

    Returns:
      The stored command if the run has one, else the command of its preset, which
      lacks the fields that were changed on the command line.
    """
    stored = (run.result or {}).get("command") or run.config.get("command")
    if isinstance(stored, str):
        return stored
    if stored:
        return shlex.join(map(str, stored))
    words = ["python", "-m", "dirjax.main"]
    words += ["--config", f"configs/{run.dataset}.py:{run.method}"]
    words += ["--workdir", str(run.path), f"--config.seed={run.seed}"]
    return shlex.join(words)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _facts(run: Run) -> list[tuple[str, str]]:
    result = run.result or {}
    select = result.get("select") or {}
    rule = f"{select.get('split')} {select.get('metric')}/{select.get('shot')}"
    versions = {"dirjax": result.get("dirjax"), **(result.get("versions") or {})}
    speed, seconds = result.get("examples_per_second"), result.get("train_seconds")
    processes = result.get("processes") or 1
    device = str(result.get("device", "unknown"))
    facts = [
        ("Method", run.method),
        ("Data set", run.dataset),
        ("Seed", str(run.seed)),
        ("Steps", f"{result.get('steps', 0):,}"),
        ("Tested step", "unknown" if run.best_step is None else f"{run.best_step:,}"),
        ("Selected by", f"best {rule}" if select else "unknown"),
        ("Device", device + (f", {processes} processes" if processes > 1 else "")),
        ("Training time", _duration(seconds) if seconds is not None else "unknown"),
        ("Speed", f"{speed:,.0f} examples per second" if speed else "unknown"),
        ("Versions", ", ".join(f"{n} {v}" for n, v in versions.items() if v)),
        ("Folder", str(run.path)),
    ]
    return [fact for fact in facts if fact[1] != "unknown"]


def _one_run(run: Run) -> str:
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in _facts(run)
    )
    config = escape(json.dumps(run.config, indent=2, ensure_ascii=False))
    stored = bool((run.result or {}).get("command") or run.config.get("command"))
    remark = (
        ""
        if stored
        else '<p class="quiet">Fields that were changed on the command line are in the '
        "config below and have to be added.</p>"
    )
    return (
        f'<h2>Run</h2><dl class="facts">{facts}</dl><h3>Command</h3>'
        f"<pre>{escape(command(run))}</pre>{remark}"
        f"<details><summary>Config</summary><pre>{config}</pre></details>"
    )


def _many_runs(runs: Sequence[Run]) -> str:
    header = "data set,method,seed,steps,tested step,device,training time,folder"
    rows = []
    for run in runs:
        facts = dict(_facts(run))
        names = ("Data set", "Method", "Seed", "Steps", "Tested step", "Device")
        cells = [facts.get(n, "") for n in (*names, "Training time", "Folder")]
        kinds = ("text", "text", "", "", "", "text", "", "text")
        rows.append(
            "".join(
                f'<td class="{kind}">{escape(cell)}</td>'
                for cell, kind in zip(cells, kinds, strict=True)
            )
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in header.split(","))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    commands = "\n".join(command(run) for run in runs)
    return (
        f"<h2>Runs</h2><details><summary>{len(runs)} finished runs</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
        f"<details><summary>Commands</summary><pre>{escape(commands)}</pre></details>"
    )


def render(sections: Sequence[Section], unfinished: Sequence[Run]) -> str:
    """Writes the page.

    Args:
      sections: one for each data set.
      unfinished: runs without a result, listed by name.

    Returns:
      A complete HTML document.
    """
    runs = [r for s in sections for row in s.table.rows for r in row.runs]
    names = ", ".join(section.table.dataset for section in sections)
    if len(runs) == 1:
        title = f"{runs[0].dataset}: {runs[0].method}"
        under = f"seed {runs[0].seed}, {runs[0].path}"
    else:
        methods = {row.method for s in sections for row in s.table.rows}
        title = f"{names}: {len(methods)} method{'s' if len(methods) > 1 else ''}"
        under = f"{len(runs)} finished runs"
    parts = []
    for section in sections:
        if len(sections) > 1:
            parts.append(f"<h2>{escape(section.table.dataset)}</h2>")
        parts.append(_warnings(section.table.warnings))
        parts += [_block(block) for block in layout.blocks(section.table)]
        note = layout.footnote(section.table)
        parts.append(f'<p class="quiet">{escape(note)}</p>' if note else "")
        parts.append(_pictures(section.pictures))
        notes = "".join(f"<li>{escape(note)}</li>" for note in section.notes)
        parts.append(f"<h3>Left out</h3><ul>{notes}</ul>" if notes else "")
    if unfinished:
        items = "".join(
            f"<li>{escape(str(r.path))}: {escape(r.dataset)}, {escape(r.method)}, seed "
            f"{r.seed}, last logged step {r.log[-1]['step'] if r.log else 'none'}</li>"
            for r in unfinished
        )
        parts.append(
            "<h2>Unfinished runs</h2><p>These have no result.json and are in no table. "
            f"The training command resumes them.</p><ul>{items}</ul>"
        )
    parts.append(_one_run(runs[0]) if len(runs) == 1 else _many_runs(runs))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_css()}</style></head><body><main>"
        f'<header><h1>{escape(title)}</h1><p class="quiet">{escape(under)}</p></header>'
        f"{''.join(parts)}</main></body></html>\n"
    )
