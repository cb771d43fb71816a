"""User data for tests: small files, loading them, and the resulting messages."""

import io
import math
import pathlib
import re

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from dirjax import data, train
from dirjax.cli import status as status_lib
from dirjax.config import validation
from tests import runs

# Fields of a run that takes a few seconds on any data.
TINY = {
    "data__batch_size": 16,
    "stage__main__steps": 4,
    "train__chunk": 2,
    "log__every": 2,
    "eval__every": 0.5,
    "checkpoint__every": 0.5,
    "model__encoder": {"width": 8, "depth": 1},
}
TINY_IMAGES = TINY | {
    "model__encoder": {"width": 8, "stage_sizes": (1,)},
    "data__image_size": 8,
    "train__average_decay": 0.0,
}
HEADER = "x,color,y"
ROWS = tuple(f"{i / 7:.3f},{'rgb'[i % 3]},{i % 10}" for i in range(60))


def table(rows=ROWS, header=HEADER) -> str:
    """Content of a CSV file."""
    return "\n".join([header, *rows]) + "\n"


def changed(row: int, text: str, rows=ROWS, header=HEADER) -> str:
    """Content of a CSV file with one row replaced; the header is row 1."""
    new = list(rows)
    new[row - 2] = text
    return table(new, header)


def write(folder: pathlib.Path, name: str, content: str | bytes) -> pathlib.Path:
    """Writes a file without changing line endings; returns its path."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def to_parquet(row_group_size=None, **columns) -> bytes:
    """The content of a Parquet file."""
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, row_group_size=row_group_size)
    return sink.getvalue()


def to_npz(**arrays) -> bytes:
    """The content of an NPZ file."""
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def pairs(seed=0, sizes=(72, 24, 24), values=6, **changes) -> dict[str, np.ndarray]:
    """Arrays of STS-B-DIR with frozen embeddings, updated by `changes`."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, rows in zip(("train", "dev", "test"), sizes, strict=True):
        first = rng.normal(size=(rows, values))
        second = first + rng.normal(size=(rows, values)) * rng.uniform(0, 2, (rows, 1))
        apart = np.abs(first - second).mean(axis=1)
        arrays[f"{part}_new_1"] = first.astype(np.float16)
        arrays[f"{part}_new_2"] = second.astype(np.float16)
        score = np.clip(5 - 2 * apart, 0, 5).round(1)
        score[:2] = 0, 5
        arrays[f"{part}_new_score"] = score.astype(np.float32)
    return arrays | changes


WORDS = ("a", "man", "dog", "cat", "runs", "eats", "red", "blue", "fast", "Mr.")
# Lacks the last word, and the punctuation and `so` of `sentences`.
GLOVE = "".join(
    f"{word.lower()} {' '.join(f'{math.sin(3 * i + k):.3f}' for k in range(3))}\n"
    for i, word in enumerate(WORDS[:-1])
)


def sentences(seed=0, sizes=(72, 24, 24)) -> dict[str, list[list[str]]]:
    """Rows (sentence1, sentence2, score) of STS-B-DIR, by file name."""
    rng = np.random.default_rng(seed)
    found = {}
    for part, rows in zip(("train", "dev", "test"), sizes, strict=True):
        lines = []
        for i in range(rows):
            first = rng.choice(WORDS, rng.integers(2, 7)).tolist()
            kept = int(rng.integers(0, len(first) + 1))
            second = first[:kept] + rng.choice(WORDS, rng.integers(1, 4)).tolist()
            score = 5.0 * (i % 2) if i < 2 else round(5 * kept / len(first), 1)
            lines.append(
                [f"{' '.join(first)} .", f'"{" ".join(second)} so', f"{score}"]
            )
        found[f"{part}_new"] = lines
    return found


def write_sentences(folder: pathlib.Path, rows=None, glove=GLOVE, **changed) -> None:
    """Writes files of STS-B-DIR; `changed`: file name -> line number -> new line."""
    for name, lines in (sentences() if rows is None else rows).items():
        text = ["score\tindex\tsentence1\tsentence2"]
        text += [f"{score}\t{i}\t{a}\t{b}" for i, (a, b, score) in enumerate(lines)]
        for number, line in changed.get(name, {}).items():
            text[number - 1] = line
        write(folder, f"{name}.tsv", "\n".join(text) + "\n")
    write(folder, "glove.txt", glove)


# Fields for reading these files.
TEXT = {
    "data__text__vectors": "glove.txt",
    "data__text__dim": 3,
    "data__text__max_tokens": 6,
}


def to_image(pixels, kind="PNG", mode=None, **options) -> bytes:
    """The content of an image file."""
    image = Image.fromarray(np.asarray(pixels))
    sink = io.BytesIO()
    (image.convert(mode) if mode else image).save(sink, kind, **options)
    return sink.getvalue()


def config(path, name="csv", argument="vanilla", **fields):
    """The config for a file, as plain values; see `runs.config`."""
    label = {"csv": "y", "npz": "y", "images": "label"}[name]
    fields = {"data__path": str(path), "data__label": label, **fields}
    return runs.config(name, argument, **fields)


def load(path, name="csv", argument="vanilla", **fields) -> data.Source:
    """Loads a file; `fields` are those of `config.data`."""
    fields = {f"data__{field}": value for field, value in fields.items()}
    made = config(path, name, argument, **fields)
    validation.validate(made)
    return data.from_config(made["data"])


def notes(source: data.Source) -> str:
    """All notes of a source, one per line."""
    return "\n".join(source.notes)


def whole(source: data.Source, name: str) -> np.ndarray:
    """A field of all splits, in file order."""
    parts = source.splits.values()
    place = np.argsort(np.concatenate([part.index for part in parts]))
    return np.concatenate([getattr(part, name) for part in parts])[place]


def numeric(source: data.Source, split="train") -> np.ndarray:
    """Prepared numeric columns of a split."""
    return source.splits[split].inputs["numeric"]


def codes(source: data.Source, split="train") -> np.ndarray:
    """Prepared categorical columns of a split."""
    return source.splits[split].inputs["categorical"]


def snapshot(folder: pathlib.Path) -> dict[str, bytes | None]:
    """Relative paths below a folder -> content of files, None for folders."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


def sentence(capsys, call) -> str:
    """The error message of a call with invalid input: one line, with status 2."""
    capsys.readouterr()
    status = status_lib.run(lambda argv: call(), [])
    _, errors = capsys.readouterr()
    assert status == 2, f"the input was accepted, status {status}: {errors}"
    (line,) = errors.splitlines()
    assert line.startswith("dirjax: "), line
    assert line[-1] in ".?", line
    # Neither two full stops nor the repr of a Python object.
    assert not re.search(r"[^./]\.\.( |$)", line), line
    for sign in ("Traceback", "np.", "object at 0x", "\\n"):
        assert sign not in line, line
    return line


def trained(made, workdir: pathlib.Path):
    """Trains as the command does, with all output."""
    return train.train_and_evaluate(made, workdir)
