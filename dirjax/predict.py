"""`python -m dirjax.predict --workdir DIR --input FILE|FOLDER --output FILE.csv`.

Predictions for new rows (CSV, Parquet, NPZ), images (a folder, a table of paths, or
NPZ), pairs of embeddings (NPZ) or of sentences (CSV, Parquet), prepared exactly as in
training: the run's directory holds all that is needed, the training data is not read.
Output is written piece by piece and appears under its name when it is whole.
"""

from __future__ import annotations

import csv
import functools
import io
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax import arguments, cli, startup, writers
from dirjax.data import arrays, files, images, pairs, sentences, tables
from dirjax.data.labelling import Rows
from dirjax.data.preprocess import TablePreprocessor

# What to give to go on without bad rows.
_SKIP = "--on_bad skip"


class Piece(NamedTuple):
    """Some rows of the input.

    Attributes:
      names: column -> `[rows]`, what identifies each row in the output.
      inputs: prepared inputs of the good rows.
      good: `[rows]` bool.
    """

    names: Mapping[str, Any]
    inputs: Any
    good: np.ndarray


class Predictor:
    """The model of a run.

    Args:
      workdir: directory of a run.
      step: "best", "last", or the number of a step that was saved.

    Attributes:
      config: of the run, plain values.
      record: of its data, see `Source.record`.

    Raises:
      InputError: if there is no such run or step.
    """

    def __init__(self, workdir: pathlib.Path, step: str = "best"):
        import jax

        from dirjax import config as config_lib
        from dirjax import models, sharding
        from dirjax import step as step_lib
        from dirjax.checkpoint import Checkpoints

        self.config = config_lib.read(workdir)
        try:
            self.record = config_lib.read_json(workdir / "data.json")
        except (OSError, ValueError) as error:
            raise cli.InputError(
                f"{workdir} has no data.json that can be read, so nobody knows how its "
                "inputs were prepared. Train again into another --workdir."
            ) from error
        groups = self.config.get("groups")
        network = models.from_config(
            self.config["model"],
            self.record,
            groups={"num_groups": groups["num"]} if groups else None,
        )
        checkpoints = Checkpoints.of_run(workdir)
        try:
            self.step = checkpoints.choose(step)
            mesh = sharding.make_mesh()
            self._state = checkpoints.restore_model(
                self.step, sharding.replicated(mesh)
            )
        finally:
            checkpoints.close()
        self._place = lambda inputs: sharding.to_global(mesh, inputs)
        devices = jax.device_count()
        self.batch_size = -(-self.config["eval"]["batch_size"] // devices) * devices
        predict = step_lib.make_predict(network, log=self.record["log"])
        self._predict = jax.jit(predict)

    def __call__(self, inputs: Any) -> np.ndarray:
        """Predictions of prepared inputs, in units of the label.

        Args:
          inputs: `[rows, ...]` images, uint8, or a dict of a table's arrays.

        Returns:
          `[rows]` float32, of a dense model `[rows, height, width]`.
        """
        import jax

        rows = len(jax.tree.leaves(inputs)[0])
        size, found = self.batch_size, []
        for start in range(0, rows, size):
            place = np.minimum(np.arange(start, start + size), rows - 1)
            batch = jax.tree.map(lambda x, place=place: x[place], inputs)
            found.append(np.asarray(self._predict(*self._state, self._place(batch))))
        return np.concatenate(found)[:rows] if found else np.zeros(0, np.float32)


def _table_pieces(
    file: pathlib.Path, predictor: Predictor, on_bad: str, keep: Sequence[str]
) -> Iterator[Piece]:
    """Rows of a CSV or Parquet file."""
    record = predictor.record
    fitted = TablePreprocessor.from_json(record["table"])
    skipped = 0
    for table in files.blocks(
        file, on_bad=on_bad, missing=record["missing"], skip_with=_SKIP
    ):
        rows = Rows(table.number, file, on_bad, skip_with=_SKIP)
        for name in (*fitted.numeric, *fitted.categorical):
            table.require(name, "the model was trained with it", "Add it.")
        for name in keep:
            table.require(name, "--keep")
        found = {}
        for name in dict.fromkeys((*fitted.numeric, *fitted.categorical)):
            if name in fitted.numeric:
                found[name] = tables.checked_numbers(table, name, rows)
            else:
                found[name] = files.words(table.cells[name])
        names: dict[str, Any] = {"index": table.number}
        names |= {n: files.words(table.cells[n]) for n in keep}
        inputs = fitted.transform({k: v[rows.good] for k, v in found.items()})
        skipped = _say_skipped(table.skipped, skipped)
        yield Piece(names, inputs, rows.good)


def _array_pieces(
    file: pathlib.Path, predictor: Predictor, on_bad: str
) -> Iterator[Piece]:
    """Rows of an NPZ file."""
    record, data = predictor.record, predictor.config["data"]
    name = (data["kind"] == "arrays" and data["input"]) or "x"
    stored = arrays.read(file)
    x = arrays.require(stored, name, "inputs", file)
    image_file = arrays.encoded(stored, name, file)
    if image_file is None:
        x = arrays.check_inputs(x, name, file)
    count = len(x) if image_file is None else len(stored["offsets"]) - 1
    if record["kind"] == "images" and image_file is not None:
        *size, channels = record["shape"]
        rows = Rows(np.arange(count), file, on_bad, first=0, skip_with=_SKIP)
        x = images.read_all(
            range(count),
            image_file,
            rows,
            lambda i: f"image {i} of {file}",
            size=(size[0], size[1]),
            channels=channels,
            fit=record.get("fit", "stretch"),
        )
        good = rows.good
        inputs: Any = x[good]
    elif record["kind"] == "images":
        shape = tuple(record["shape"])
        if x.shape[1:] != shape:
            raise cli.InputError(
                f"images must be {list(shape)}, as in training; {name!r} of {file} has "
                f"{list(x.shape[1:])}. Resize them, or give image files."
            )
        inputs = x
        good = np.ones(len(x), bool)
    else:
        if x.ndim != 2:
            raise cli.InputError(
                f"the model is one of tables, {name!r} of {file} holds images. Give "
                "rows of columns."
            )
        fitted = TablePreprocessor.from_json(record["table"])
        found = arrays.columns(x)
        for column in (*fitted.numeric, *fitted.categorical):
            if column not in found:
                raise cli.InputError(
                    f"{file} has no column {column!r}, which the model was trained "
                    f"with; {name!r} has {', '.join(found)}. Add the column."
                )
        rows = Rows(np.arange(len(x)), file, on_bad, first=0, skip_with=_SKIP)
        tables.typed(found, rows)
        good = rows.good
        inputs = fitted.transform({k: v[good] for k, v in found.items()})
    yield Piece({"index": np.arange(count)}, inputs, good)


def _pair_pieces(
    file: pathlib.Path, predictor: Predictor, on_bad: str
) -> Iterator[Piece]:
    """Pairs of embeddings of an NPZ file, a piece for each name."""
    record = predictor.record
    fitted = TablePreprocessor.from_json(record["pairs"])
    for name, x in pairs.read_new(file, record["values"]).items():
        rows = pairs.Rows({name: len(x)}, file, on_bad, skip_with=_SKIP)
        pairs.refuse_odd(x, rows)
        names = {"index": rows.number, "part": rows.part}
        yield Piece(names, pairs.standardise(x[rows.good], fitted), rows.good)


def _sentence_pieces(
    file: pathlib.Path, predictor: Predictor, on_bad: str, keep: Sequence[str]
) -> Iterator[Piece]:
    """Pairs of sentences of a table."""
    skipped = 0
    for block in sentences.read_new(
        file, predictor.record, on_bad=on_bad, skip_with=_SKIP, keep=keep
    ):
        skipped = _say_skipped(block.skipped, skipped)
        yield Piece(block.names, block.inputs, block.good)


def _say_skipped(now: int, before: int) -> int:
    """Reports rows of wrong length, where there are more than before."""
    if now > before:
        print(f"rows of wrong length left out: {now - before}")
    return now


def _image_pieces(
    path: pathlib.Path, predictor: Predictor, on_bad: str, keep: Sequence[str]
) -> Iterator[Piece]:
    """Images of a folder, or of a table of paths."""
    record, column = predictor.record, predictor.config["data"]["input"] or "path"
    height, width, channels = record["shape"]
    if path.is_dir():
        if keep:
            raise cli.InputError("--keep needs a table of paths, --input is a folder.")
        found = sorted(
            f for f in path.rglob("*") if f.suffix.lower() in images.SUFFIXES
        )
        if not found:
            raise cli.InputError(
                f"{path} holds no image ({', '.join(images.SUFFIXES)}). Give another "
                "folder."
            )
        names: dict[str, Any] = {"path": [str(f.relative_to(path)) for f in found]}
        root, number = path, np.arange(len(found))
    else:
        table = files.read(path, on_bad=on_bad, skip_with=_SKIP)
        for name in (column, *keep):
            table.require(name, "--keep" if name in keep else "data.input")
        names = {n: files.words(table.cells[n]).tolist() for n in (column, *keep)}
        root, number = path.parent, table.number
    first = next(iter(names))
    size = 1024
    for start in range(0, len(names[first]), size):
        some = {k: v[start : start + size] for k, v in names.items()}
        paths = some[first]
        rows = Rows(number[start : start + size], path, on_bad, skip_with=_SKIP)
        pixels = images.read_all(
            paths,
            lambda name: (root / name).read_bytes(),
            rows,
            functools.partial(_name_image, root, paths, rows),
            size=(height, width),
            channels=channels,
            fit=record.get("fit", "stretch"),
        )
        yield Piece(some, pixels[rows.good], rows.good)


def _name_image(root: pathlib.Path, paths: Sequence[str], rows: Rows, i: int) -> str:
    """An image by its path, and by its row if a table names it."""
    row = "" if root == rows.file else f" ({rows.place(i)})"
    return f"{root / paths[i]}{row}"


def pieces(
    path: pathlib.Path,
    predictor: Predictor,
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
) -> Iterator[Piece]:
    """Reads new rows as the model's training rows were read.

    Args:
      path: a table, an NPZ file, or a folder of images; for pairs, see
        `data.pairs.read_new` and `data.sentences.read_new`.
      predictor: the model.
      on_bad: rows that cannot be used are an "error", or "skip".
      keep: columns of a table to repeat in the output.

    Raises:
      InputError: if the input does not fit the model, or a row is wrong.
    """
    if predictor.record["kind"] == "dense":
        raise cli.InputError(
            "predict writes one value a row, and the model of --workdir gives one for "
            "each pixel. In Python, dirjax.predict.Predictor(workdir)(images) does."
        )
    if not path.exists():
        raise cli.InputError(f"--input must exist, {path} does not. Check the path.")
    if predictor.record["kind"] == "pairs":
        if path.is_dir():
            raise cli.InputError(
                "the model is one of pairs of embeddings, --input must be an NPZ file "
                f"with NAME_1 and NAME_2, {path} is a folder. Give a file."
            )
        if keep:
            raise cli.InputError("--keep needs a table, --input is an NPZ file.")
        return _pair_pieces(path, predictor, on_bad)
    if predictor.record["kind"] == "text":
        if path.is_dir() or files.starts_with(path, b"PK\x03\x04"):
            raise cli.InputError(
                "the model is one of pairs of sentences, --input must be a table with "
                f"the columns {' and '.join(predictor.record['columns'])}, got {path}. "
                "Give CSV, tab-separated text or Parquet."
            )
        return _sentence_pieces(path, predictor, on_bad, keep)
    pictures = predictor.record["kind"] == "images"
    if path.is_dir() and not pictures:
        raise cli.InputError(
            f"the model is one of tables, --input {path} is a folder. Give a file."
        )
    if path.is_file() and files.starts_with(path, b"PK\x03\x04"):  # a zip archive
        if keep:
            raise cli.InputError("--keep needs a table, --input is an NPZ file.")
        return _array_pieces(path, predictor, on_bad)
    if pictures:
        return _image_pieces(path, predictor, on_bad, keep)
    return _table_pieces(path, predictor, on_bad, keep)


def predict(
    workdir: pathlib.Path,
    path: pathlib.Path,
    output: pathlib.Path,
    *,
    step: str = "best",
    on_bad: str = "error",
    keep: Sequence[str] = (),
) -> tuple[int, int]:
    """Predicts all rows of a file or folder.

    Args:
      workdir: directory of a run.
      path: see `pieces`.
      output: CSV file with a column `index` (row number from 0; with `part`, the name
        of the arrays, for pairs) or `path`, the columns of `keep`, and `prediction`, in
        units of the label, empty for rows that were skipped.
      step: see `Predictor`.
      on_bad: see `pieces`.
      keep: as there.

    Returns:
      Rows written, and rows among them without a prediction.

    Raises:
      InputError: if anything does not fit; no file is written then.
    """
    from tqdm import tqdm

    arguments.check_output(output)
    for name in {"index", "path", "prediction"} & set(keep):
        if name != "path" or path.is_dir():
            raise cli.InputError(
                "--keep must name other columns than those of the output, got "
                f"{name!r}. Leave it out."
            )
    if output.exists() and path.exists() and output.samefile(path):
        raise cli.InputError(
            f"--output must be another file than --input, both are {path}. Rename one."
        )
    predictor = Predictor(workdir, step)
    rows = empty = 0
    bar = tqdm(unit="row", disable=not sys.stderr.isatty())
    with bar, writers.whole(output) as opened:
        stream = io.TextIOWrapper(opened, "utf-8", newline="")
        writer = csv.writer(stream, lineterminator="\n")
        for piece in pieces(path, predictor, on_bad=on_bad, keep=keep):
            if not rows:
                writer.writerow([*piece.names, "prediction"])
            text = np.full(len(piece.good), "", object)
            text[piece.good] = [str(v) for v in predictor(piece.inputs)]
            writer.writerows(zip(*piece.names.values(), text, strict=True))
            rows += len(text)
            empty += int((~piece.good).sum())
            bar.update(len(text))
        if not rows:
            raise cli.InputError(f"{path} has no rows. Give another --input.")
        stream.detach()  # which writes what is left
    return rows, empty


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser("predict", "Predictions of a trained model for new rows.")
    parser.add_argument(
        "--input",
        type=pathlib.Path,
        required=True,
        help="CSV, Parquet or NPZ file; a folder of images, or a table of their paths",
    )
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="CSV")
    parser.add_argument(
        "--keep",
        default="",
        metavar="COLUMN,...",
        help="columns of the input to repeat in the output",
    )
    parser.add_argument(
        "--on_bad",
        default="error",
        choices=("error", "skip"),
        help="rows that cannot be used: stop (default), or leave the prediction empty",
    )
    options = parser.parse_args(argv)
    startup.prepare()
    keep = [name for name in options.keep.split(",") if name]
    rows, empty = predict(
        options.workdir,
        options.input,
        options.output,
        step=options.step,
        on_bad=options.on_bad,
        keep=keep,
    )
    note = f", {empty} of them empty" if empty else ""
    print(f"{rows:,} predictions{note}: {options.output}")


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return cli.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
