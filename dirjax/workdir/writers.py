"""Metric writers. `metrics.jsonl` is the source of truth."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from dirjax import digits, dotted
from dirjax.errors import InputError, writing
from dirjax.labels import SHOTS
from dirjax.workdir import run_files
from dirjax.workdir.files import clean, whole


class Writer(Protocol):
    """Writes one record of metrics at a time."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes a record: step, epoch, stage, split, time and metrics."""
        ...

    def close(self) -> None:
        """Flushes."""
        ...


def last_time(file: pathlib.Path, step: int) -> float:
    """Seconds a run had taken by `step`, from its metrics.jsonl; 0 without records."""
    times = [r["time"] for r in _records(file) if r["step"] <= step]
    return times[-1] if times else 0.0


def _records(file: pathlib.Path) -> list[dict[str, Any]]:
    """The complete lines of a JSONL file, without one truncated by a kill."""
    records = []
    if file.exists():
        for line in file.read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if isinstance(record, dict) and {"step", "time"} <= set(record):
                    records.append(record)
    return records


def flatten(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`{"mae": {"all": 1.0}}` -> `{"mae/all": 1.0}`."""
    return {f"{m}/{s}": v for m, shots in metrics.items() for s, v in shots.items()}


class Jsonl:
    """Appends to a file, one JSON object per line.

    Args:
      file: the file.
      step: drops records after this step first, since the run repeats that part.
    """

    def __init__(self, file: pathlib.Path, step: int):
        kept = [r for r in _records(file) if r["step"] <= step]
        if file.exists():
            with whole(file) as opened:
                opened.write("".join(f"{json.dumps(r)}\n" for r in kept).encode())
        with writing(file):
            self._file = file.open("a")

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a line.

        Raises:
          Failed: if the file system refuses.
        """
        with writing(pathlib.Path(self._file.name)):
            self._file.write(json.dumps(clean(record), allow_nan=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


# Longest time without a line in a log, in seconds.
_SILENCE = 30.0


# What a run shows: everything, a progress bar alone, or nothing.
Show = Literal["all", "bar", "nothing"]


class Console:
    """A progress bar on a terminal, and a line for each evaluation.

    Without a terminal, as in the log of a cluster, there is a line at least twice a
    minute, with the time that is left.

    Args:
      total: total steps of the run.
      step: number of completed steps.
      seconds: clock, for tests.
      lines: if not, there is a bar alone, also in a notebook, which goes in the end.
    """

    def __init__(
        self,
        total: int,
        step: int,
        seconds: Callable[[], float] = time.monotonic,
        *,
        lines: bool = True,
    ):
        from tqdm import tqdm

        self._seconds, self._total, self._lines = seconds, total, lines
        in_notebook = not lines and "ipykernel" in sys.modules
        self._began, self._first = seconds(), step
        self._said = self._began
        self._bar = tqdm(
            total=total,
            initial=step,
            unit="step",
            disable=not (sys.stderr.isatty() or in_notebook),
            leave=lines,
            dynamic_ncols=True,
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Advances the bar, or prints a line."""
        if record["split"] == "train":
            self._bar.update(record["step"] - self._bar.n)
            rate = record.get("examples_per_second") or 0.0
            how = f"loss {digits.short(record['loss'])}, {rate:,.0f} examples/s"
            self._bar.set_postfix_str(how)
            silent = self._lines and self._bar.disable
            if silent and self._seconds() - self._said >= _SILENCE:
                self._line(record, how)
            return
        if not self._lines:
            return
        found = {s: record.get(f"mae/{s}") for s in ("all", *SHOTS)}
        errors = {shot: error for shot, error in found.items() if error is not None}
        form = digits.form(errors.values())
        shots = " ".join(f"{shot} {form(error)}" for shot, error in errors.items())
        self._said = self._seconds()
        self._bar.write(
            f"step {record['step']:>7}  epoch {record['epoch']:7.2f}  "
            f"{record['split']} MAE: {shots}",
            file=sys.stdout,
        )
        sys.stdout.flush()

    def _line(self, record: Mapping[str, Any], how: str) -> None:
        """A line of progress in a log."""
        now, step = self._seconds(), record["step"]
        left = (now - self._began) / (step - self._first) * (self._total - step)
        self._said = now
        print(
            f"step {step:>7}  epoch {record['epoch']:7.2f}  {step / self._total:.0%} "
            f"of {self._total:,} steps, {self._bar.format_interval(left)} left: {how}",
            flush=True,
        )

    def close(self) -> None:
        """Closes the bar at its position."""
        self._bar.close()


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record under its split, for writers that plot over steps.

    Example:
      >>> numbers({"split": "val", "step": 3, "stage": "main", "mae/all": 1.5})
      {'val/mae/all': 1.5}
    """
    return {
        f"{record['split']}/{name}": value
        for name, value in record.items()
        if isinstance(value, (int, float)) and name not in ("step", "time")
    }


def identity(workdir: pathlib.Path) -> str:
    """A name by which a service knows the run again when it resumes."""
    return hashlib.sha1(str(workdir.resolve()).encode()).hexdigest()[:16]


class TensorBoard:
    """Event files below `workdir/tensorboard` (extra `tensorboard`)."""

    def __init__(self, workdir: pathlib.Path, step: int):
        from tensorboardX import SummaryWriter  # pyright: ignore

        # Drop events after `step`, since the run repeats that part.
        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes every number of the record."""
        for name, value in numbers(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flushes and closes."""
        self._writer.close()


class WandB:
    """A Weights & Biases run (extra `wandb`)."""

    def __init__(self, workdir: pathlib.Path, config: Mapping[str, Any]):
        import wandb  # pyright: ignore

        self._run = wandb.init(
            project="dirjax",
            dir=str(workdir),
            config=dict(config),
            id=identity(workdir),
            name=str(workdir.resolve())[-100:],
            resume="allow",
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Logs every number of the record under its split."""
        self._run.log(numbers(record), step=record["step"])

    def close(self) -> None:
        """Ends the W&B run."""
        self._run.finish()


class MLflow:
    """A run in MLflow (extra `mlflow`): of the server in MLFLOW_TRACKING_URI, or else
    of the file `workdir/mlflow.db`.

    A run that resumes goes on in the same MLflow run; steps that it repeats are there
    twice.
    """

    def __init__(self, workdir: pathlib.Path, config: Mapping[str, Any]):
        from mlflow import MlflowClient  # pyright: ignore
        from mlflow.entities import Param  # pyright: ignore

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        own = f"sqlite:///{workdir.resolve() / 'mlflow.db'}"
        self._client = client = MlflowClient(tracking_uri=uri or own)
        known = client.get_experiment_by_name("dirjax")
        folder = None if uri else (workdir.resolve() / "mlflow").as_uri()
        experiment = (
            known.experiment_id
            if known
            else client.create_experiment("dirjax", artifact_location=folder)
        )
        name = {"dirjax.run": identity(workdir)}
        found = client.search_runs(
            [experiment], f"tags.`dirjax.run` = '{name['dirjax.run']}'"
        )
        if found:
            self._id = found[0].info.run_id
            client.update_run(self._id, status="RUNNING")
            return
        made = client.create_run(experiment, tags=name, run_name=workdir.resolve().name)
        self._id = made.info.run_id
        fields = [Param(k, str(v)) for k, v in dotted.leaves(config)]
        for at in range(0, len(fields), 100):  # as many as a request may have
            client.log_batch(self._id, params=fields[at : at + 100])

    def write(self, record: Mapping[str, Any]) -> None:
        """Logs every number of the record under its split."""
        from mlflow.entities import Metric  # pyright: ignore

        now = int(time.time() * 1000)
        found = numbers(record).items()
        self._client.log_batch(
            self._id, metrics=[Metric(k, v, now, record["step"]) for k, v in found]
        )

    def close(self) -> None:
        """Ends the MLflow run."""
        self._client.set_terminated(self._id)


class Many:
    """Writes to several writers; to none on processes other than the first."""

    def __init__(self, writers: Sequence[Writer]):
        self._writers = writers

    def write(self, record: Mapping[str, Any]) -> None:
        """Passes the record on."""
        for writer in self._writers:
            writer.write(record)

    def __enter__(self) -> Many:
        return self

    def __exit__(self, error: type[BaseException] | None, *details: Any) -> None:
        for writer in self._writers:
            # A failed write has already been reported.
            with contextlib.suppress(*([OSError] if error else [])):
                writer.close()


EXTRAS = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}


def check(names: Sequence[str]) -> None:
    """Raises an error for writers that do not exist or are not installed.

    Raises:
      InputError: with what to install.
    """
    for name in names:
        if name not in EXTRAS:
            raise InputError(
                f"writers must be among {', '.join(EXTRAS)}, got {name!r}."
            )
        if importlib.util.find_spec(EXTRAS[name]) is None:
            raise InputError(
                f"the writer {name!r} needs an extra: pip install 'dirjax[{name}]'."
            )


def make(
    workdir: pathlib.Path,
    names: Sequence[str],
    *,
    config: Mapping[str, Any],
    step: int,
    total: int,
    first: bool,
    show: Show = "all",
) -> Many:
    """Makes the writers of a run.

    Args:
      workdir: the run's directory.
      names: writers besides JSONL and the console, of `EXTRAS`.
      config: the config, for W&B and MLflow.
      step: number of completed steps.
      total: total steps of the run.
      first: whether this is the first process; the others write nothing.
      show: what is written to the terminal, too.

    Raises:
      InputError: see `check`.
    """
    if not first:
        return Many([])
    check(names)
    writers: list[Writer] = [Jsonl(workdir / run_files.METRICS, step)]
    if show != "nothing":
        writers.append(Console(total, step, lines=show == "all"))
    if "tensorboard" in names:
        writers.append(TensorBoard(workdir, step))
    if "wandb" in names:
        writers.append(WandB(workdir, config))
    if "mlflow" in names:
        writers.append(MLflow(workdir, config))
    return Many(writers)
