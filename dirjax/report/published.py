"""Published numbers next to our results for the same experiments.

`published.csv` holds the numbers, `published.md` describes their sources. A published
row is shown with a run only if the data set, its test examples, the network, the method
and the settings that the paper varies agree; other details may still differ.

Deviations: none, this module is dirjax's own. Papers report RMSE and delta1 for
NYUD2-DIR, MAE and GM for ages, and MSE and Pearson's correlation for STS-B-DIR.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dirjax.labels import SHOTS
from dirjax.report.runs import COLUMNS, Run
from dirjax.report.tables import Printed, Table, metric_name

# Our `data.name`, `model.name` and presets -> names in the papers, without presets
# whose base the papers do not state, such as RankSim's.
DATASETS = {
    "agedb_dir": "AgeDB-DIR",
    "imdb_wiki_dir": "IMDB-WIKI-DIR",
    "nyud2_dir": "NYUD2-DIR",
    "stsb_dir": "STS-B-DIR",
}
BACKBONES = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "fused_depth50": "ResNet-50 encoder-decoder",
    "bilstm": "BiLSTM+GloVe",
}
# Network fields for which papers use only one value.
SIZES = {
    "bilstm": {
        "model.encoder.width": 1500,
        "model.encoder.depth": 2,
        "data.text.dim": 300,
    }
}
METHODS = {
    "vanilla": "VANILLA",
    "inv": "INV",
    "sqinv": "SQINV",
    "focal_r": "FOCAL-R",
    "rrt": "RRT",
    "lds": "INV+LDS",
    "fds": "VANILLA+FDS",
    "lds_fds": "INV+LDS+FDS",
    "sqinv_lds": "SQINV+LDS",
    "sqinv_fds": "SQINV+FDS",
    "sqinv_lds_fds": "SQINV+LDS+FDS",
    "focal_r_lds": "FOCAL-R+LDS",
    "focal_r_lds_fds": "FOCAL-R+LDS+FDS",
    "rrt_lds": "RRT+LDS",
    "rrt_lds_fds": "RRT+LDS+FDS",
    "smoter": "SMOTER",
    "smogn": "SMOGN",
    "ssir": "VANILLA+SSIR",
    "inv_ssir": "INV+SSIR",
    "sqinv_ssir": "SQINV+SSIR",
    "focal_r_ssir": "FOCAL-R+SSIR",
    "random_noise": "VANILLA+SSIR",
    "sqinv_random_noise": "SQINV+SSIR",
    "focal_r_random_noise": "FOCAL-R+SSIR",
    "group_dir": "Group-DIR",
}
# Settings that the SSIR paper varies -> our field. Fields that a config lacks default
# to the values of algorithm 1, which has none for eps and lambda.
FIELDS = {
    "eps": "objective.ssir.epsilon",
    "lambda": "objective.ssir.lam",
    "steps": "objective.ssir.n_steps",
    "noise": "objective.ssir.noise",
}
ALGORITHM = {"steps": 2.0, "noise": "gradient"}
# Settings of the main tables (section 8.4); the ablation tables contain each of them.
MAIN = {
    ("AgeDB-DIR", "SQINV+SSIR"): {"eps": 1e-3, "lambda": 0.1},
    ("AgeDB-DIR", "FOCAL-R+SSIR"): {"eps": 1e-3, "lambda": 1.0},
    ("IMDB-WIKI-DIR", "SQINV+SSIR"): {"eps": 1e-3, "lambda": 0.1},
    ("IMDB-WIKI-DIR", "FOCAL-R+SSIR"): {"eps": 1e-3, "lambda": 0.1},
    ("NYUD2-DIR", "VANILLA+SSIR"): {"eps": 5e-4, "lambda": 1.0},
    ("NYUD2-DIR", "INV+SSIR"): {"eps": 5e-4, "lambda": 2.5},
}
# Many-, median- and few-shot test examples, where counted from the split files.
COUNTS = {"AgeDB-DIR": (1530, 448, 162)}
# Weights of the shots in `all`; IMDB-WIKI-DIR: fitted, NYUD2-DIR: numbers of bins.
WEIGHTS = {
    "AgeDB-DIR": (1530, 448, 162),
    "IMDB-WIKI-DIR": (0.908, 0.083, 0.009),
    "NYUD2-DIR": (39, 15, 39),
    "STS-B-DIR": (0.756, 0.170, 0.074),
}
# Largest gap between `all` and the shots that rounding and weights can explain.
_TOLERANCE = {"mse": 0.008, "rmse": 0.006, "delta1": 0.003}
_AGES = {"AgeDB-DIR": 0.03, "IMDB-WIKI-DIR": 0.06}


@dataclasses.dataclass(frozen=True)
class Record:
    """One row of a published table.

    Attributes:
      method: name in the papers, such as `"SQINV+SSIR"`.
      dataset: name in the papers, such as `"AgeDB-DIR"`.
      backbone: name in the papers, such as `"ResNet-50"`.
      source: paper and table, or repository and file.
      kind: who ran it: "authors own run", "ablation: ...".
      settings: values of `FIELDS`; empty for methods other than SSIR.
      values: metric -> column -> number as printed; Pearson as a fraction.
    """

    method: str
    dataset: str
    backbone: str
    source: str
    kind: str
    settings: Mapping[str, Any]
    values: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        """Method and source, abbreviated."""
        place = re.fullmatch(
            r"paper: [^,]+, ([^,]+), .*?((?:Table|sec\.) \S+)", self.source
        )
        short = " ".join(place.groups()) if place else self.source.partition(":")[0]
        copied = self.kind.partition("copied from ")[2].removesuffix(" 2021")
        where = f"{copied} in {short}" if copied else short
        return f"{self.method}, published ({where})"


def _settings(dataset: str, method: str, kind: str) -> dict[str, Any]:
    if not method.endswith("+SSIR"):
        return {}
    settings: dict[str, Any] = {**ALGORITHM, **MAIN.get((dataset, method), {})}
    for name, value in re.findall(r"(eps|lambda)=(\S+)", kind):
        settings[name] = float(value)
    if "random input noise" in kind:
        settings["noise"] = "random"
    if "one optimisation step" in kind:
        settings["steps"] = 1.0
    return settings


@functools.cache
def records() -> tuple[Record, ...]:
    """All rows of `published.csv`, in file order."""
    file = importlib.resources.files("dirjax.report") / "published.csv"
    grouped: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    with file.open(encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            names = ("method", "dataset", "backbone", "source")
            kind = line["note"].partition(";")[0].removesuffix(" MSE training loss")
            values = grouped.setdefault((*(line[n] for n in names), kind), {})
            value = line["value"]
            if line["metric"] == "pearson":
                value = f"{float(value) / 100:.4f}"
            values.setdefault(line["metric"], {})[line["shot"]] = value
    found = []
    for (method, dataset, backbone, source, kind), values in grouped.items():
        settings = _settings(dataset, method, kind)
        found.append(Record(method, dataset, backbone, source, kind, settings, values))
    return tuple(found)


def lookup(
    dataset: str, method: str, backbone: str, settings: Mapping[str, Any] | None = None
) -> list[Record]:
    """Published rows of one experiment.

    Args:
      dataset: name in the papers, such as `"AgeDB-DIR"`.
      method: name in the papers, such as `"SQINV+SSIR"`.
      backbone: name in the papers, such as `"ResNet-50"`.
      settings: values of `FIELDS`; None matches any.

    Returns:
      Rows in file order; rows that repeat the numbers of an earlier one are dropped.

    Example:
      >>> point = {"eps": 5e-3, "lambda": 1.0, "steps": 2.0, "noise": "gradient"}
      >>> (row,) = lookup("AgeDB-DIR", "SQINV+SSIR", "ResNet-50", point)
      >>> row.name, row.values["mae"]["few"]
      ('SQINV+SSIR, published (SSIR Table 5)', '12.20')
    """
    found: list[Record] = []
    for record in records():
        same = (record.dataset, record.method, record.backbone)
        if same != (dataset, method, backbone):
            continue
        if settings is not None and not _equal(record.settings, settings):
            continue
        if not any(_same_numbers(record, other) for other in found):
            found.append(record)
    return found


def _same_numbers(one: Record, other: Record) -> bool:
    """Whether two rows have equal numbers; 1.0 equals 1.00."""
    first, second = (
        {(m, s): float(v) for m, column in r.values.items() for s, v in column.items()}
        for r in (one, other)
    )
    return first == second


def _equal(published: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    if published.keys() != ours.keys():
        return False
    for name, value in published.items():
        if name == "steps" and published["noise"] == ours["noise"] == "random":
            continue  # Random noise takes no steps.
        if isinstance(value, float) and isinstance(ours[name], (int, float)):
            if not math.isclose(value, ours[name], rel_tol=1e-6):
                return False
        elif value != ours[name]:
            return False
    return True


def gaps(record: Record) -> dict[str, tuple[float, float]]:
    """Metrics of a row whose `all` is inconsistent with its shots.

    Returns:
      metric -> `all` as printed and as computed from the shots, if they differ by more
      than rounding and the weights of the shots can explain: one of the numbers is
      wrong or from another run.
    """
    weights, found = WEIGHTS[record.dataset], {}
    power = {"rmse": (lambda v: v**2, math.sqrt), "gm": (math.log, math.exp)}
    for metric, column in record.values.items():
        if metric in ("mae", "gm"):
            tolerance = _AGES.get(record.dataset)
        else:
            tolerance = _TOLERANCE.get(metric)
        if tolerance is None or not all(shot in column for shot in COLUMNS):
            continue
        there, back = power.get(metric, (float, float))
        parts = (there(float(column[shot])) for shot in SHOTS)
        total = sum(w * part for w, part in zip(weights, parts, strict=True))
        together = back(total / sum(weights))
        if abs(float(column["all"]) - together) > tolerance:
            found[metric] = (float(column["all"]), together)
    return found


def _field(run: Run, path: str) -> Any:
    value: Any = run.config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def of_run(run: Run) -> tuple[list[Record], str]:
    """Published rows of a run's experiment, or the reason why there are none."""
    dataset, method = DATASETS.get(run.dataset), METHODS.get(run.method)
    if dataset is None:
        return [], f"they are for {', '.join(DATASETS.values())}, not {run.dataset}"
    counts = tuple(run.value("count", shot) for shot in SHOTS)
    if counts != COUNTS.get(dataset, counts):
        wanted = "/".join(map(str, COUNTS[dataset]))
        have = "/".join("?" if c is None else f"{c:.0f}" for c in counts)
        return [], (
            f"{dataset} has {wanted} many-, median- and few-shot test examples, not "
            f"{have}"
        )
    network = _field(run, "model.name")
    backbone = BACKBONES.get(str(network))
    theirs = sorted({r.backbone for r in records() if r.dataset == dataset})
    if backbone not in theirs:
        return [], f"they are for {', '.join(theirs)}, not for model.name = {network}"
    for path, value in SIZES.get(str(network), {}).items():
        ours = _field(run, path)
        if ours not in (None, value):
            return [], f"they are for {path} = {value}, not {ours}"
    if method is None:
        return [], f"{run.method} has no counterpart in papers"
    settings = None
    if method.endswith("+SSIR"):
        values = {name: _field(run, path) for name, path in FIELDS.items()}
        settings = {
            name: ALGORITHM.get(name) if value is None else value
            for name, value in values.items()
        }
    found = lookup(dataset, method, backbone, settings)
    if found:
        return found, ""
    point = "".join(f", {name}={value}" for name, value in (settings or {}).items())
    return [], f"there are none for {method} on {dataset}{point}"


def metrics(runs: Sequence[Run]) -> tuple[str, ...]:
    """Metrics that papers report for these data sets, beyond the default ones."""
    return ("mse",) * any(DATASETS.get(run.dataset) == "STS-B-DIR" for run in runs)


def attach(table: Table, *, explain: bool = False) -> Table:
    """Adds published rows to a table.

    Args:
      table: rows of one data set.
      explain: whether to note which rows have no published counterpart, and why.

    Returns:
      The table with `published`, and with a warning for each published number that
      is inconsistent with its own shots.
    """
    rows: dict[str, tuple[Printed, ...]] = {}
    warnings, reasons = list(table.warnings), {}
    for row in table.rows:
        found, why = of_run(row.runs[0])
        if not found:
            reasons.setdefault(why, []).append(row.method)
            continue
        rows[row.method] = tuple(
            Printed(
                record.name,
                record.source.removeprefix("paper: "),
                {m: v for m, v in record.values.items() if m in table.metrics},
            )
            for record in found
        )
        for record in found:
            for metric, (printed, together) in gaps(record).items():
                warnings.append(
                    f"{record.name}: {metric_name(metric)} of all is printed as "
                    f"{printed:g}, but the shots give {together:.3g}. Compare only "
                    "shot by shot."
                )
    notes = list(table.notes)
    for why, methods in reasons.items() if explain else ():
        whom = "" if len(methods) == len(table.rows) else f" for {', '.join(methods)}"
        notes.append(f"No published numbers are shown{whom}: {why}.")
    return dataclasses.replace(
        table,
        published=rows,
        warnings=tuple(dict.fromkeys(warnings)),
        notes=tuple(notes),
    )
