"""A study of the SSIR toy experiment: checks its fields and writes its files.

`python -m dirjax.sweep` calls `run_study` for a config with the field
`program = "dirjax.projects.ssir_toy.study"`. The experiment itself, and its deviations
from the paper, are in `experiment`.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dirjax import optimizers
from dirjax.config import frozen
from dirjax.errors import InputError, require_field
from dirjax.projects.ssir_toy import experiment
from dirjax.projects.ssir_toy import figures as drawing
from dirjax.report.figures import style
from dirjax.workdir import files, lock


def _is_number(value: Any, kinds: Any = (int, float)) -> bool:
    return (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _numbers(value: Any, kinds: Any = (int, float)) -> bool:
    return isinstance(value, (tuple, list)) and all(_is_number(v, kinds) for v in value)


def parse(
    study: Mapping[str, Any],
) -> tuple[experiment.Setting, list[int], list[float]]:
    """The setting, the seeds and the sorted ratios of a study.

    Args:
      study: fields as in `configs/studies/ssir_motivation.py`.

    Raises:
      InputError: for missing fields, or for the first invalid one.
    """
    fields = [f.name for f in dataclasses.fields(experiment.Setting)]
    missing = sorted({*fields, "seeds", "ratios"} - set(study))
    if missing:
        raise InputError(
            f"the study lacks {', '.join(missing)}. Start from "
            "configs/studies/ssir_motivation.py."
        )
    for field, least in (
        ("dim", 1),
        ("total", 2),
        ("test", 2),
        ("w_seed", 0),
        ("pretext_epochs", 0),
        ("supervised_epochs", 0),
        ("batch_size", 0),
    ):
        value = study[field]
        ok = _is_number(value, int) and least <= value < 2**31
        require_field(ok, field, f"a whole number of at least {least}", value)
    for field in (
        *("w_scale", "pretext_rate", "finetune_rate", "supervised_rate"),
        *("noise_std", "delta"),
    ):
        value = study[field]
        require_field(_is_number(value) and value > 0, field, "positive", value)
    for field, known in (
        ("optimizer", optimizers.OPTIMIZERS),
        ("noise", experiment.NOISES),
        ("trained", experiment.TRAINED),
    ):
        said = f"one of {', '.join(known)}"
        require_field(study[field] in known, field, said, study[field])
    decay = study["weight_decay"]
    require_field(_is_number(decay) and decay >= 0, "weight_decay", "at least 0", decay)
    for field in ("means", "stds"):
        pair = study[field]
        ok = _numbers(pair) and len(pair) == 2 and (field == "means" or min(pair) > 0)
        said = "two numbers, one each for the common and the rare component"
        require_field(ok, field, said + (", positive" * (field == "stds")), pair)
    hidden = study["hidden"]
    ok = _numbers(hidden, int) and len(hidden) > 0 and min(hidden) >= 1
    require_field(ok, "hidden", "the widths of hidden layers, at least 1", hidden)
    seeds = study["seeds"]
    ok = _numbers(seeds, int) and len(seeds) > 0 and len(set(seeds)) == len(seeds)
    ok = ok and min(seeds) >= 0 and max(seeds) < 2**31
    said = "one or more distinct whole numbers of at least 0"
    require_field(ok, "seeds", said, seeds)
    ratios, total = study["ratios"], study["total"]
    ok = _numbers(ratios) and len(ratios) > 0 and min(ratios) >= 1
    ok = ok and len(set(ratios)) == len(ratios)
    require_field(ok, "ratios", "one or more distinct numbers of at least 1", ratios)
    require_field(
        study["test"] % 2 == 0, "test", "even, for two equal halves", study["test"]
    )
    size = study["batch_size"]
    require_field(
        size <= total, "batch_size", f"at most total ({total}), or 0 for all rows", size
    )
    largest = max(ratios)
    least = math.ceil(largest) + 1
    said = f"at least {least}, which gives one rare row at ratio {largest:g}"
    require_field(total >= least, "total", said, total)
    values: dict[str, Any] = {k: study[k] for k in fields}
    for field in ("means", "stds", "hidden"):
        values[field] = tuple(values[field])
    return experiment.Setting(**values), list(seeds), sorted(float(r) for r in ratios)


def _result(
    seeds: Sequence[int],
    ratios: Sequence[float],
    found: Mapping[str, np.ndarray],
    seconds: float,
) -> dict[str, Any]:
    """The content of `result.json`; lists are `[seeds][ratios]`."""
    arms = {}
    for a, arm in enumerate(experiment.ARMS):
        arms[arm] = {
            "test_mse": found["mse"][:, :, a, 0].tolist(),
            "test_mse_common": found["mse"][:, :, a, 1].tolist(),
            "test_mse_rare": found["mse"][:, :, a, 2].tolist(),
            "train_mse": found["train_mse"][:, :, a].tolist(),
        }
    phases = {
        f"{name}_{when}": found[name][:, :, i].tolist()
        for name in ("pretext_loss", "spread")
        for i, when in enumerate(("before", "after"))
    }
    return {
        "seeds": list(seeds),
        "ratios": list(ratios),
        "arms": arms,
        "first_phase": phases,
        "label_gap": found["gap"].tolist(),
        "label_variance": found["label_variance"].tolist(),
        "seconds": seconds,
        "jax": jax.__version__,
    }


def _panels(errors: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """`[seeds, ratios, arms, 3]` -> panel -> curve -> `[seeds, ratios]`."""
    return {
        title: {
            drawing.NAMES[arm]: errors[:, :, a, i]
            for a, arm in enumerate(experiment.ARMS)
        }
        for title, i in (("All test rows", 0), ("Rare component", 2))
    }


def run_study(study: Mapping[str, Any], workdir: pathlib.Path) -> None:
    """Runs the study and writes its results, unless it is already finished.

    Writes `config.json`, `table.txt`, `table.csv`, `error_by_ratio.png` and, last,
    `result.json`, which marks the study as finished.

    Args:
      study: fields as in `configs/studies/ssir_motivation.py`.
      workdir: directory of the study.

    Raises:
      InputError: if a field is invalid, or the directory holds another study.
      Failed: if a file cannot be written.
    """
    setting, seeds, ratios = parse(study)
    with lock.Lock(workdir):
        record = workdir / "config.json"
        if record.exists():
            frozen.check_same(study, record)
        if (workdir / "result.json").exists():
            print(f"{workdir} is finished: see its table.txt and error_by_ratio.png.")
            return
        files.write_json(record, frozen.to_json(study))
        print(
            f"{len(seeds)} seeds x {len(ratios)} ratios x {len(experiment.ARMS)} arms, "
            "one program",
            flush=True,
        )
        begin = time.monotonic()
        found = experiment.experiments(setting, seeds, ratios)
        result = _result(seeds, ratios, found, time.monotonic() - begin)
        text = drawing.table_text(result)
        figure = drawing.error_by_ratio(ratios, _panels(found["mse"]))
        for name, content in (
            ("table.txt", text.encode()),
            ("table.csv", drawing.table_csv(result).encode()),
            ("error_by_ratio.png", style.png(figure)),
        ):
            with files.whole(workdir / name) as opened:
                opened.write(content)
        files.write_json(workdir / "result.json", result)
    print(text)
    print(f"Figure: {workdir / 'error_by_ratio.png'}")
