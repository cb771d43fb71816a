"""Data: sources in host memory, step-indexed streams, preprocessing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dirjax.cli import InputError
from dirjax.data import catalog
from dirjax.data.labelling import Rules
from dirjax.data.sources import Source, Split
from dirjax.data.stream import Stream, eval_batches, stored

__all__ = [
    "KINDS",
    "Rules",
    "Source",
    "Split",
    "Stream",
    "eval_batches",
    "from_config",
    "stored",
]

KINDS = (
    *("table", "arrays", "images", "digits", "tfds", "scenes", "pairs", "text"),
    "nyud2",
)


def from_config(config: Mapping[str, Any]) -> Source:
    """Loads the data of a config.

    Args:
      config: the fields of `config.data`, plain and validated.

    Returns:
      The source.

    Raises:
      InputError: if the data is missing or not as expected.
    """
    fields = {f.name for f in dataclasses.fields(Rules)}
    rules = Rules(**{k: v for k, v in config.items() if k in fields})
    if not rules.shot_lists:
        rules = dataclasses.replace(rules, shot_lists=None)
    name, kind = config["name"], config["kind"]

    def options(*names: str, **renamed: str) -> dict[str, Any]:
        pairs = {**{n: n for n in names}, **renamed}
        found = {k: config[v] for k, v in pairs.items()}
        for field in {"numeric", "categorical", "drop", "missing"} & set(found):
            found[field] = tuple(map(str, found[field] or ()))
        if len(found.get("missing", ())) == 1:
            found["missing"] = tuple(found["missing"][0].split(","))
        return found

    columns = ("numeric", "categorical", "drop", "both", "scaling", "quantiles")
    pixels = {"size": "image_size", "channels": "channels"}
    form = {
        "memory": "memory",
        "fit": "fit",
        "view": "view_size",
        "mean_and_std": "mean_and_std",
    }
    # Runs of earlier versions have none of them.
    form = {k: v for k, v in form.items() if v in config}
    if kind == "tfds":
        from dirjax.data import registered

        folder = catalog.locate(name, config["path"]) if config["path"] else None
        pixels |= form
        wanted = options("download", "weight", *columns, inputs="input", **pixels)
        return registered.load(name, folder, rules, **wanted)
    if kind == "scenes":
        from dirjax.data import scenes

        return scenes.source(name, rules, skew=config["skew"])
    file = catalog.locate(name, config["path"])
    leaks = config.get("drop_leaks", False)
    if kind == "nyud2":
        from dirjax.data import nyud2

        wanted = options(inputs="input", size="image_size") | config["depth"]
        return nyud2.load(name, file, rules, **wanted)
    if kind == "pairs":
        from dirjax.data import pairs

        wanted = options("scaling", inputs="input")
        return pairs.load(name, file, rules, drop_leaks=leaks, **wanted)
    if kind == "text":
        from dirjax.data import sentences

        return sentences.load(name, file, rules, text=config["text"], drop_leaks=leaks)
    if file.is_dir() and kind != "images":
        raise InputError(
            f"data.path must be a file, {file} is a folder. Folders are for "
            "configs/images.py."
        )
    if kind == "digits":
        from dirjax.data import digits

        return digits.source(name, file, rules, skew=config["skew"])
    if kind == "arrays":
        from dirjax.data import arrays

        wanted = options("split", "weight", *columns, **pixels, **form)
        wanted |= {"inputs": config["input"]} if config["input"] else {}
        return arrays.load(name, file, rules, **wanted)
    if kind == "images":
        from dirjax.data import images

        wanted = options("split", "weight", "missing", **pixels, **form)
        wanted |= {"paths": config["input"]} if config["input"] else {}
        return images.load(name, file, rules, **wanted)
    from dirjax.data import tables

    return tables.load(
        name, file, rules, **options("split", "weight", "missing", *columns)
    )
