"""`python -m dirjax.predict --workdir DIR --input FILE|FOLDER --output FILE.csv|npz`.

Predictions for new rows (CSV, Parquet, NPZ), images (a folder, a table of paths, or
NPZ), pairs of embeddings (NPZ) or of sentences (CSV, Parquet), prepared exactly as in
training: the run directory holds everything needed, so the training data is not read.
A model with a prediction for each pixel writes NPZ, all others CSV; several targets
have a column each, `prediction_NAME`. Output is written in chunks and appears under its
name only when complete.
"""

from __future__ import annotations

import csv
import io
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from dirjax import errors
from dirjax.cli import arguments, entry, status
from dirjax.correct import priors
from dirjax.runtime import startup
from dirjax.workdir import files as files_lib

if TYPE_CHECKING:
    from dirjax.data import readers


# Columns of the output that the model makes; `low` and `high` on request.
# Endings of an output of rows; others promise another format.
_OF_ROWS = (".csv", ".CSV", ".txt", "")
_COLUMNS = ("prediction", "low", "high")
Columns = Mapping[str, np.ndarray]


class Predicted(NamedTuple):
    """What `predict` has written.

    Attributes:
      rows: number of rows.
      empty: how many of them have no prediction.
      notes: a line for each kind of value that training did not have.
    """

    rows: int
    empty: int
    notes: tuple[str, ...] = ()


def predict(
    workdir: pathlib.Path,
    path: pathlib.Path,
    output: pathlib.Path,
    *,
    step: str = "best",
    on_bad: str = "error",
    keep: Sequence[str] = (),
    prior: Mapping[str, Any] | None = None,
    coverage: float | None = None,
) -> Predicted:
    """Predicts all rows of a file, or all images of a folder.

    Args:
      workdir: directory of a run.
      path: see `data.new_rows.pieces`.
      output: CSV file with a column `index` (row number from 0; for pairs with `part`,
        the name of the arrays) or `path`, the columns of `keep`, and `prediction` in
        label units, with `low` and `high` on request, empty for skipped rows. Of
        several targets each has columns of its own, `prediction_NAME` and so on. For a
        model with a prediction for each pixel, an NPZ file of the same arrays,
        `prediction` `[rows, height, width]` float32, NaN for skipped rows.
      step: "best", "last", or the number of a saved step.
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.
      prior: fields of `config.prior` to change: the label distribution that predictions
        are for.
      coverage: nominal coverage of intervals, which are calibrated on validation rows
        and written as `low` and `high`; None for none.

    Returns:
      What was written.

    Raises:
      InputError: if the input does not fit; then no file is written.
    """
    from tqdm import tqdm

    from dirjax.data import new_rows
    from dirjax.evals import corrected
    from dirjax.evals import predictor as predictor_lib

    arguments.check_output(output)
    _check_keep(keep, {"index", *_COLUMNS} | ({"path"} if path.is_dir() else set()))
    if output.exists() and path.exists() and output.samefile(path):
        raise errors.InputError(
            f"--output must differ from --input, both are {path}. Rename one."
        )
    predictors = predictor_lib.of_run(workdir, step)
    first = next(iter(predictors.values()))
    dense = first.record["kind"] == "dense"
    if output.suffix not in ((".npz",) if dense else _OF_ROWS):
        expected, per = ("an .npz file", "pixel") if dense else ("a .csv file", "row")
        raise errors.InputError(
            f"--output must be {expected}, since the model of --workdir predicts one "
            f"value per {per}, got {output}."
        )
    corrects = {
        name: corrected.of_run(one.folder, one, prior=prior or {}, coverage=coverage)
        for name, one in predictors.items()
    }
    _check_keep(keep, {f"{c}_{name}" for c in _COLUMNS for name in predictors})
    entry.interruptible()  # The output is removed.
    rows = empty = endless = 0
    surprises = new_rows.Surprises()
    bar = tqdm(unit="row", disable=not sys.stderr.isatty())

    def predicted() -> Iterator[tuple[readers.Piece, Columns]]:
        nonlocal rows, empty, endless
        for piece in new_rows.pieces(
            path,
            first.config["data"],
            first.record,
            on_bad=on_bad,
            keep=keep,
        ):
            columns: dict[str, np.ndarray] = {}
            for name, predictor in predictors.items():
                outputs, correct = predictor.outputs(piece.inputs), corrects[name]
                own = {"prediction": outputs["prediction"]}
                own = correct(outputs) if correct else own
                if "low" in own:
                    endless += int((np.isinf(own["low"]) | np.isinf(own["high"])).sum())
                ending = f"_{name}" if name else ""
                columns |= {f"{column}{ending}": v for column, v in own.items()}
            yield piece, columns
            rows += len(piece.good)
            empty += int((~piece.good).sum())
            surprises.add(piece.surprises)
            bar.update(len(piece.good))
        if not rows:
            raise errors.InputError(f"{path} has no rows. Give another --input.")

    with bar, files_lib.whole(output) as opened:
        (_write_maps if dense else _write_lines)(opened, predicted())
    notes = list(surprises.told())
    if endless and coverage is not None:
        notes.append(
            f"{endless} intervals have no end: the run has too few validation rows to "
            f"promise a coverage of {coverage:.1%}"
        )
    return Predicted(rows, empty, tuple(notes))


def _check_keep(keep: Sequence[str], columns: set[str]) -> None:
    for name in columns & set(keep):
        raise errors.InputError(
            f"--keep must not name a column of the output, got {name!r}. Leave it out."
        )


def _write_lines(
    opened: BinaryIO, predicted: Iterable[tuple[readers.Piece, Columns]]
) -> None:
    """Writes CSV, a line for each row."""
    stream = io.TextIOWrapper(opened, "utf-8", newline="")
    writer = csv.writer(stream, lineterminator="\n")
    for number, (piece, found) in enumerate(predicted):
        if not number:
            writer.writerow([*piece.names, *found])
        columns = []
        for values in found.values():
            text = np.full(len(piece.good), "", object)
            text[piece.good] = [str(v) for v in values]
            columns.append(text)
        writer.writerows(zip(*piece.names.values(), *columns, strict=True))
    stream.detach()  # which flushes


def _write_maps(
    opened: BinaryIO, predicted: Iterable[tuple[readers.Piece, Columns]]
) -> None:
    """Writes NPZ, a map for each row."""
    pieces = list(predicted)
    good = np.concatenate([piece.good for piece, _ in pieces])
    # A piece without good rows has no maps.
    maps = [found["prediction"] for piece, found in pieces if piece.good.any()]
    out = np.full((len(good), *(maps[0].shape[1:] if maps else ())), np.nan, np.float32)
    if maps:
        out[good] = np.concatenate(maps)
    names = {
        name: np.concatenate([np.asarray(piece.names[name]) for piece, _ in pieces])
        for name in pieces[0][0].names
    }
    np.savez(opened, allow_pickle=False, prediction=out, **names)


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser(
        "predict",
        "Predictions of a trained model for new rows.",
        (
            "python -m dirjax.predict --workdir runs/mine --input new.csv "
            "--output predictions.csv",
            "python -m dirjax.predict --workdir runs/mine --input new.csv "
            "--output predictions.csv --keep id,city --on_bad skip",
            "python -m dirjax.predict --workdir runs/mine --input new.csv "
            "--output predictions.csv --prior uniform --interval 0.9",
        ),
    )
    parser.required.add_argument(
        "--input",
        action=arguments.LocalPath,
        required=True,
        help="CSV, Parquet or NPZ file; a folder of images, or a table of their paths",
    )
    parser.required.add_argument(
        "--output",
        action=arguments.LocalPath,
        required=True,
        metavar="FILE",
        help="file of predictions, written when all of them are there; NPZ for a model "
        "that predicts one value per pixel",
    )
    parser.add_argument(
        "--keep",
        default="",
        metavar="COLUMN,...",
        help="columns of the input to repeat in the output",
    )
    arguments.add_prior(parser, priors.TARGETS)
    parser.add_argument(
        "--tau",
        type=float,
        metavar="T",
        help="strength of the correction for --prior, from 0 to 1; by default that "
        "with the smallest error on validation rows",
    )
    parser.add_argument(
        "--interval",
        type=float,
        metavar="COVERAGE",
        help="also write low and high, which hold this share of labels, such as 0.9",
    )
    arguments.add_on_bad(parser, "unusable rows", "leave the prediction empty")
    options = parser.parse_args(argv)
    startup.prepare()
    keep = [name for name in options.keep.split(",") if name]
    done = predict(
        options.workdir,
        options.input,
        options.output,
        step=options.step,
        on_bad=options.on_bad,
        keep=keep,
        prior=arguments.prior(options, options.tau),
        coverage=arguments.coverage(options.interval),
    )
    note = f", {done.empty} of them empty" if done.empty else ""
    print(f"{done.rows:,} predictions{note}: {options.output}")
    for line in done.notes:
        print(f"  {line}")


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return status.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
