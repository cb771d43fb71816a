"""The table of a study of label distributions: every method with its best correction.

`python -m dirjax.sweep` calls `run_study` for a config with the field
`program = "dirjax.projects.any_prior.table"`. For each data set in the folder of a
finished sweep, it writes `DATASET.md` and `DATASET.json`: each method as trained, with
the correction that validation chooses, and the mean of its runs as one model; and
scikit-learn's gradient boosting on tables, plain and with the weights of `sqinv`.

Differences are from the base as trained, paired by seed and row, with 95 % intervals
over seeds and test rows, not corrected for the number of methods; of a mean there is
one, so its interval varies with the seeds of the base.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dirjax import data, digits
from dirjax.choosing import models, portfolio, verdict
from dirjax.errors import InputError, require_field
from dirjax.labels import SHOTS
from dirjax.workdir import files, run_files

_SHOTS = ("all", *SHOTS)
WEIGHTED = "sqinv"


def runs_of(folder: pathlib.Path) -> dict[str, dict[int, pathlib.Path]]:
    """Finished runs of a data set in a study: method -> seed -> run directory."""
    found: dict[str, dict[int, pathlib.Path]] = {}
    for result in sorted(folder.glob(f"*/seed_*/{run_files.RESULT}")):
        run = result.parent
        seed = int(run.name.removeprefix("seed_"))
        found.setdefault(run.parent.name, {})[seed] = run
    return found


def candidates(model: models.Model) -> Iterator[verdict.Candidate]:
    """A model as trained, and with the correction that validation chooses."""
    yield verdict.Candidate(model, 0.0, model.decode)
    _, tau, decode = portfolio.best_point(model.frontiers(), {"all": 1.0}, model.decode)
    if tau or decode != model.decode:
        yield verdict.Candidate(model, tau, decode)


def _boosting(
    folder: pathlib.Path, runs: Mapping[str, Mapping[int, pathlib.Path]], base: str
) -> Iterator[models.Boosting]:
    """Gradient boosting on the data of the runs, plain and with weights."""
    first = next(iter(runs[base].values()))
    if not models.has_boosting(run_files.read_record(first)):
        return
    config = run_files.read_config(first)
    source = data.from_config(config["data"])
    for method in (base, WEIGHTED):
        if method in runs:
            run = next(iter(runs[method].values()))
            model = models.Boosting(folder / method, tuple(runs[base]), run)
            model.train(source.splits, source.scale)
            yield model


def entries(
    folder: pathlib.Path, runs: Mapping[str, Mapping[int, pathlib.Path]], base: str
) -> list[dict[str, Any]]:
    """What a table tells, a dictionary for each of its rows.

    Args:
      folder: for predictions of gradient boosting.
      runs: see `runs_of`.
      base: the method that others are compared with.

    Returns:
      `method`, `seeds` (how many), `tau`, `decode`, `mae` and `difference` by shot, the
      latter with `mean` and `interval`, None for the base as trained.
    """
    plain = {m: models.Runs(m, found) for m, found in runs.items()}
    every: list[models.Model] = []
    for model in plain.values():
        every.append(model)
        if len(model.seeds) >= models.LEAST:
            every.append(models.Together(model))
    every += _boosting(folder, runs, base)
    first = verdict.Candidate(plain[base], 0.0, plain[base].decode)
    rows = verdict.Rows.of_run(first.model.run, "test")
    shots = [s for s in _SHOTS if rows.weight({s: 1.0}).any()]
    return [
        {
            "method": model.method,
            "seeds": len(model.seeds),
            "tau": one.tau,
            "decode": one.decode,
            "mae": {s: verdict.level(one, rows, "test", s) for s in shots},
            "difference": {s: _told(one, first, rows, s) for s in shots},
        }
        for model in every
        for one in candidates(model)
    ]


def _told(
    one: verdict.Candidate, base: verdict.Candidate, rows: verdict.Rows, shot: str
) -> dict[str, Any] | None:
    """The difference from the base; None for the base itself."""
    if one == base:
        return None
    gap = verdict.difference(one, base, rows, "test", {shot: 1.0})
    return {"mean": gap.mean, "interval": gap.interval()}


def markdown(dataset: str, found: Sequence[Mapping[str, Any]], base: str) -> str:
    """The table of a data set as Markdown."""
    shots = list(found[0]["mae"])
    forms = {s: digits.form([e["mae"][s] for e in found]) for s in shots}
    gaps = [s for s in ("all", "few") if s in shots]
    head = ["method", "seeds", "τ", *shots, *(f"{s} minus {base}" for s in gaps)]
    lines = [
        f"### {dataset}",
        "",
        f"| {' | '.join(head)} |",
        f"| --- |{' ---: |' * (len(head) - 1)}",
    ]
    own = {entry["method"]: entry["decode"] for entry in reversed(found)}
    for entry in found:
        cells = [entry["method"].replace("_", "\\_"), str(entry["seeds"])]
        decode = entry["decode"]
        # Told where it is not what the model predicts itself.
        other = f", {decode}" if decode != own[entry["method"]] else ""
        cells.append(f"{entry['tau']:g}{other}")
        cells += [forms[s](entry["mae"][s]) for s in shots]
        for shot in gaps:
            gap, form = entry["difference"][shot], forms[shot]
            if gap is None or gap["interval"] is None:
                cells.append("")
                continue
            low, high = (form(x, "+") for x in gap["interval"])
            cells.append(f"{form(gap['mean'], '+')} [{low}, {high}]")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def run_study(study: Mapping[str, Any], workdir: pathlib.Path) -> None:
    """Writes the tables of all data sets of a finished sweep, and prints them.

    Args:
      study: `runs`, the folder of the sweep, and `base`, a method of it.
      workdir: where the tables and predictions of gradient boosting go.

    Raises:
      InputError: if there are no runs of the base, or they predict maps.
    """
    require_field(bool(study["runs"]), "runs", "the folder of a sweep", study["runs"])
    folder, base = pathlib.Path(study["runs"]), study["base"]
    known = {f.name: runs_of(f) for f in sorted(folder.glob("*")) if f.is_dir()}
    known = {name: runs for name, runs in known.items() if base in runs}
    if not known:
        raise InputError(
            f"config.runs must be the folder of a sweep with runs of {base!r}, "
            f"{folder} has none. Run configs/studies/any_prior.py first, with this "
            "--workdir."
        )
    for name, runs in known.items():
        record = run_files.read_record(next(iter(runs[base].values())))
        if record["kind"] == "dense":
            raise InputError(
                f"the table is made of predictions by row, and runs on {name} predict "
                "maps. Read their frontier in python -m dirjax.report."
            )
    workdir.mkdir(parents=True, exist_ok=True)
    for name, runs in known.items():
        found = entries(workdir / "boosting" / name, runs, base)
        files.write_json(workdir / f"{name}.json", {"base": base, "entries": found})
        text = markdown(name, found, base)
        (workdir / f"{name}.md").write_text(text, encoding="utf-8")
        print(text)
    files.write_json(workdir / "result.json", {"datasets": list(known)})
