"""Locates data sets: embedded in the package, in DIRJAX_DATA, or at data.path."""

from __future__ import annotations

import importlib.resources
import os
import pathlib

from dirjax.data import faces
from dirjax.errors import InputError, local_path

EMBEDDED = {"bikeshare": "bikeshare.csv.gz", "mnist5k": "mnist5k.npz"}

_UCI = (
    "It is in the UCI Machine Learning Repository; dirjax reads a CSV with a header, "
    "the label {label} and, optionally, a column split"
)
# Data sets that do not ship with dirjax: file or folder below DIRJAX_DATA, and where to
# get it.
ELSEWHERE = {
    "diamonds": (
        "tabular/diamonds.csv.gz",
        "It is ggplot2's table of 53,940 diamonds (also in the PyPI wheels plotnine "
        "and seaborn's data): a CSV with the columns carat, cut, color, clarity, "
        "depth, table, x, y, z, price and, optionally, split",
    ),
    "california_housing": (
        "tabular/california_housing.csv.gz",
        "It is the 1990 census table of Pace and Barry (housing.csv of many courses): "
        "a CSV with the columns longitude, latitude, housing_median_age, total_rooms, "
        "total_bedrooms, population, households, median_income, median_house_value, "
        "ocean_proximity and, optionally, split",
    ),
    "utkface_dir": (
        "utkface-dir/utkface64.npz",
        "It is UTKFace (Zhang, Song and Qi 2017, research use only), as one NPZ file "
        "with jpeg, the files joined; offsets, where each begins; age; and split, 0, 1 "
        "or 2",
    ),
    "stsb_dir": (
        "sts-b-dir",
        "It is STS-B-DIR (Yang et al. 2021): a folder with train_new.tsv, dev_new.tsv "
        "and test_new.tsv, from sts-b-dir/glue_data/STS-B of "
        "github.com/YyzHarry/imbalanced-regression, and glove/glove.840B.300d.txt "
        "from nlp.stanford.edu/projects/glove; for the option embeddings with "
        "minilm_l6_v2_embeddings.npz instead: sentence embeddings train_new_1 and "
        "train_new_2 [5249, values] and scores train_new_score [5249], in order of "
        "train_new.tsv, and likewise for dev_new and test_new",
    ),
    "nyud2_dir": (
        "nyud2-dir",
        "It is NYUD2-DIR (Yang et al. 2021, of Silberman et al. 2012, research use), a "
        "folder with nyu2_train.csv, nyu2_test.csv, the folders nyu2_train and "
        "nyu2_test, test_balanced_mask.npy and nyu2_train_FDS_subset.csv: "
        "nyud2-dir/download_nyud2.py of github.com/YyzHarry/imbalanced-regression "
        "fetches it; or, with the option small, a folder with "
        "nyuv2_labeled_152x112.npz (its arrays: dirjax/data/readers/nyud2.py)",
    ),
    **{
        name: (benchmark.builder.replace("_", "-"), benchmark.get)
        for name, benchmark in faces.KNOWN.items()
    },
    "abalone": ("uci-dir/abalone.csv", _UCI.format(label="Rings")),
    "airfoil": ("uci-dir/airfoil.csv", _UCI.format(label="ScaledSoundPressure")),
    "concrete": (
        "uci-dir/concrete.csv",
        _UCI.format(label="ConcreteCompressiveStrength"),
    ),
    "real_estate": (
        "uci-dir/real_estate.csv",
        _UCI.format(label="HousePricePerUnitArea"),
    ),
}


def locate(name: str, path: str | None) -> pathlib.Path:
    """The file or folder of a data set: `path`, or embedded, or below DIRJAX_DATA.

    Raises:
      InputError: if there is none; the message says where to get it.
    """
    if path:
        file = local_path("data.path", path)
        if not file.exists():
            hint = f" {ELSEWHERE[name][1]}." if name in ELSEWHERE else ""
            raise InputError(
                f"data.path must be a file or folder, {file} does not exist. Check the "
                f"path.{hint}"
            )
        return file
    if name in EMBEDDED:
        folder = importlib.resources.files("dirjax.data") / "embedded"
        return pathlib.Path(str(folder / EMBEDDED[name]))
    if name not in ELSEWHERE:
        raise InputError(
            f"data.path is missing, and {name!r} is not a data set that dirjax knows: "
            f"{', '.join((*EMBEDDED, *ELSEWHERE))}. Give the file with "
            "--config.data.path=FILE."
        )
    below, hint = ELSEWHERE[name]
    checkout = pathlib.Path(__file__).resolve().parents[2]
    root = os.environ.get("DIRJAX_DATA", str(checkout.parent / "shared" / "data"))
    file = pathlib.Path(root) / below
    if not file.exists():
        raise InputError(
            f"{name} does not ship with dirjax and {file} does not exist. {hint}. "
            "Give its path with --config.data.path=FILE, or set DIRJAX_DATA."
        )
    return file


def stem(path: str) -> str:
    """Name of a data set, from its file name.

    Example:
      >>> stem("/data/prices.csv.gz")
      'prices'
    """
    return pathlib.PurePath(path).name.split(".")[0] or "data"
