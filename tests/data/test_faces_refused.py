"""Folders of faces that are wrong: one sentence says why."""

import re

import pytest

from tests import own_data
from tests.data.faces import NOISE, ROWS, lines, load, name_of, write


def changed(row, text):
    """The rows with one anew, counted as spreadsheets do."""
    rows = lines()
    rows[row - 2] = text
    return rows


# Rows of the CSV, its name and header, images that are there -> what has to be said.
WRONG = {
    "no table": (
        {"rows": lines(), "table": "other.csv"},
        ["must hold agedb.csv", "YyzHarry", "AgeDB.zip", "FOLDER/AgeDB"],
    ),
    "no column of the split": (
        {"rows": [r.rpartition(",")[0] for r in lines()], "header": "age,path"},
        ["must have the columns path, age, split, it has age, path", "AgeDB.zip"],
    ),
    "another name of a column": (
        {"rows": lines(), "header": "years,path,split"},
        ["columns path, age, split, it has years, path, split"],
    ),
    "no image at all": (
        {"rows": lines(), "pictures": ()},
        ["none of 60 exists", "Moschoglou"],
    ),
    "twelve images missing": (
        {"rows": lines(), "pictures": range(12, ROWS)},
        [
            "12 are missing: those of rows 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and more",
            "on_bad=skip",
        ],
    ),
    "an age that is no number": (
        {"rows": changed(9, f"old,{name_of(7)},train")},
        ["'old'", "row 9 of"],
    ),
    "a negative age": (
        {"rows": changed(9, f"-3,{name_of(7)},train")},
        ["at least 0, row 9 of .* has -3"],
    ),
    "an age above all": (
        {"rows": changed(9, f"130,{name_of(7)},train")},
        [r"data\.label_range 0 to 121, row 9 of .* has 130"],
    ),
    "a split that nobody knows": (
        {"rows": changed(9, f"30,{name_of(7)},spare")},
        ["train, val or test, row 9 of .* holds 'spare'"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case, tmp_path, capsys):
    given, said = WRONG[case]
    folder = write(tmp_path / "tree", **given)
    line = own_data.sentence(capsys, lambda: load(folder))
    for pattern in said:
        assert re.search(pattern, line), line
    assert "Ann" not in line


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (own_data.to_image(NOISE, "JPEG")[:-300], "truncated")],
)
def test_broken_images(content, why, tmp_path, capsys):
    folder = write(tmp_path, lines())
    own_data.write(folder, name_of(9), content)
    line = own_data.sentence(capsys, lambda: load(folder, data__memory=0.0))
    assert re.search(f"that of row 11 of .*agedb.csv is not: .*{why}", line), line
    assert "Ann" not in line
    source = load(folder, data__on_bad="skip")
    assert source.skipped == {"unreadable image": 1}
    assert len(source.splits["train"].label) == 39


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data__view_size": 9}, r"data\.view_size must be at most image_size, got 9"),
        ({"data__fit": "cut"}, r"data\.fit must be 'stretch' or 'cover'"),
        ({"data__mean_and_std": (0.5, 0.0)}, r"data\.mean_and_std must be .*above 0"),
        ({"data__mean_and_std": ((0.5, 0.4), (1.0, 1.0))}, "one per channel"),
        ({"data__augment__grey": 1.5}, r"augment\.grey must be from 0 to 1, got 1\.5"),
        (
            {"data__kind": "table", "data__fit": "cover"},
            r"data\.fit must be 'stretch'",
        ),
        ({"data__memory": -1.0}, r"data\.memory must be at least 0"),
    ],
)
def test_wrong_fields(fields, said, tree, capsys):
    line = own_data.sentence(capsys, lambda: load(tree, **fields))
    assert re.search(said, line), line


def test_the_builder_asks_for_the_folder(tmp_path, capsys):
    import tensorflow_datasets as tfds

    from dirjax.data.builders.imdb_wiki_dir import imdb_wiki_dir_dataset_builder

    builder = imdb_wiki_dir_dataset_builder.Builder(data_dir=tmp_path)
    given = tfds.download.DownloadConfig(manual_dir=tmp_path / "none")
    line = own_data.sentence(
        capsys, lambda: builder.download_and_prepare(download_config=given)
    )
    assert "imdb_crop.tar" in line
    fields = {"data__kind": "tfds"}
    line = own_data.sentence(capsys, lambda: load(tmp_path, "imdb_wiki_dir", **fields))
    assert re.search(r"not in .* yet\..*dirjax\.data build imdb_wiki_dir ", line), line
    assert re.search(r"directly, without data\.kind\..*Rothe", line), line
