"""Runs a builder in this process, as `python -m dirjax.data build` does.

The command `tfds build` of TensorFlow Datasets 4.9.10 imports Apache Beam, which it
does not declare, and which no builder here needs.
"""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
from collections.abc import Callable

from dirjax import checks
from dirjax.data import builders
from dirjax.errors import InputError


def names() -> tuple[str, ...]:
    """Names of the builders.

    Example:
      >>> names()
      ('agedb_dir', 'imdb_wiki_dir', 'nyud2_dir', 'stsb_dir')
    """
    found = pkgutil.iter_modules(builders.__path__)
    return tuple(sorted(module.name for module in found if module.ispkg))


def prepare(
    name: str,
    manual_dir: pathlib.Path,
    data_dir: pathlib.Path | None,
    say: Callable[[str], None] = lambda _: None,
) -> pathlib.Path:
    """Builds a data set, whole or not at all.

    Args:
      name: one of `names()`.
      manual_dir: the folder that the user brings along.
      data_dir: where data sets are, None for the default of TensorFlow Datasets.
      say: takes a sentence on each split.

    Returns:
      The folder of the data set, which is left as it is if it is there.

    Raises:
      InputError: if there is no such builder, or the folder is not what it takes.
    """
    if name not in names():
        raise InputError(checks.unknown("builder", name, names()))
    if not manual_dir.is_dir():
        raise InputError(
            f"--manual_dir must be a folder that exists, {manual_dir} is none. Give "
            f"the one that configs/{name}.py describes."
        )
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    module = importlib.import_module(
        f"{builders.__name__}.{name}.{name}_dataset_builder"
    )
    try:
        builder = module.Builder(data_dir=data_dir)
        given = tfds.download.DownloadConfig(manual_dir=manual_dir)
        builder.download_and_prepare(download_config=given)
    except OSError as error:
        raise InputError(
            f"{error.filename or data_dir} cannot be read or written "
            f"({error.strerror or error}). Name other folders with --manual_dir and "
            "--data_dir."
        ) from error
    for split, info in builder.info.splits.items():
        say(f"{split}: {info.num_examples:,} examples")
    return pathlib.Path(builder.data_dir)
