"""Images inside Parquet, in parts, and image folders as Hugging Face has them."""

import json

import numpy as np
import pyarrow as pa
import pytest

from dirjax.data.readers import images
from dirjax.errors import InputError
from tests import own_data
from tests.own_data import to_image

CONTENTS = [to_image(np.full((6, 6), 7 * i, np.uint8)) for i in range(36)]
LABELS = [float(i % 6) for i in range(36)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PARTS = {"train": range(24), "validation": range(24, 30), "test": range(30, 36)}


def parquet(rows, kind=STRUCT, **columns) -> bytes:
    """Images of some rows in Parquet."""
    cells = [{"bytes": CONTENTS[i], "path": f"{i}.png"} for i in rows]
    if kind != STRUCT:
        cells = [cell["bytes"] for cell in cells]
    label = [LABELS[i] for i in rows]
    return own_data.to_parquet(image=pa.array(cells, kind), label=label, **columns)


def load(path, **fields):
    return own_data.load(path, "images", image_size=4, **fields)


def check(source, sizes=(24, 6, 6)):
    """Each row has its image and label, whatever the order."""
    assert [len(part.label) for part in source.splits.values()] == list(sizes)
    for part in source.splits.values():
        level = part.inputs[:, 0, 0, 0]
        np.testing.assert_array_equal(part.value, (level // 7) % 6)
    level = np.concatenate([p.inputs[:, 0, 0, 0] for p in source.splits.values()])
    assert sorted(level) == [7 * i for i in range(36)]
    return [source.splits[name].inputs[0, 0, 0, 0] // 7 for name in source.splits]


class TestParquet:
    @pytest.mark.parametrize("kind", [STRUCT, pa.binary(), pa.large_binary()])
    def test_a_file(self, tmp_path, kind):
        file = own_data.write(tmp_path, "mine.parquet", parquet(range(36), kind))
        source = load(file)
        check(source, (24, 6, 6))
        assert "images are those of the column 'image'" in own_data.notes(source)

    def test_decoded_on_access(self, tmp_path):
        file = own_data.write(tmp_path, "mine.parquet", parquet(range(36)))
        for name, part in load(file, memory=0.0).splits.items():
            kept = load(file).splits[name]
            np.testing.assert_array_equal(part.inputs[np.arange(6)], kept.inputs[:6])

    @pytest.mark.parametrize("memory", [1.0, 0.0])
    def test_other_images_with_the_same_labels_are_noticed(self, tmp_path, memory):
        def content(name, pictures):
            cells = [{"bytes": c, "path": ""} for c in pictures]
            made = own_data.to_parquet(image=pa.array(cells, STRUCT), label=LABELS)
            file = own_data.write(tmp_path, f"{name}/mine.parquet", made)
            return load(file, memory=memory).record["content"]

        other = [to_image(np.full((6, 6), 9, np.uint8)), *CONTENTS[1:]]
        assert content("here", CONTENTS) == content("moved", CONTENTS)
        assert content("here", CONTENTS) != content("moved", other)

    def test_bytes_that_are_missing_are_files(self, tmp_path):
        cells = [{"bytes": None, "path": f"{i}.png"} for i in range(36)]
        for i, content in enumerate(CONTENTS):
            own_data.write(tmp_path, f"{i}.png", content)
        content = own_data.to_parquet(image=pa.array(cells, STRUCT), label=LABELS)
        check(load(own_data.write(tmp_path, "mine.parquet", content)))

    def test_labels_as_people_write_them(self, tmp_path):
        rows = [f"{i}.png;{LABELS[i]:.0f},0 kg" for i in range(36)]
        for i, content in enumerate(CONTENTS):
            own_data.write(tmp_path, f"{i}.png", content)
        file = own_data.write(tmp_path, "mine.csv", "\n".join(["path;label", *rows]))
        source = load(file)
        check(source)
        said = "numbers in column 'label': ',' is the decimal mark, 'kg' is left out"
        assert said in own_data.notes(source)
        (piece,) = images.read_new(file, source.record, label="label")
        np.testing.assert_array_equal(piece.value, LABELS)
        for i in range(2):
            own_data.write(tmp_path, f"new/{i}.png", CONTENTS[i])
        lines = "path,label\n0.png,1.5\n"
        file = own_data.write(tmp_path, "new/points.csv", lines)
        with pytest.raises(InputError, match=r"row 2 of .* has '1\.5'"):
            list(images.read_new(file, source.record, label="label"))

    def test_doubt_about_a_label_can_be_resolved(self, tmp_path):
        rows = [f"{i}.png\t1,{100 + int(LABELS[i])}" for i in range(36)]
        for i, content in enumerate(CONTENTS):
            own_data.write(tmp_path, f"{i}.png", content)
        text = "\n".join(["path\tlabel", *rows])
        file = own_data.write(tmp_path, "mine.tsv", text)
        with pytest.raises(InputError, match=r"--config\.data\.thousands=','"):
            load(file)
        for field, unit in (("thousands", 1), ("decimal", 1000)):
            value = own_data.whole(load(file, **{field: ","}), "value")
            assert {*(unit * value).round().astype(int)} == {*range(1100, 1106)}

    @pytest.mark.parametrize("below", ["", "data/"])
    def test_in_parts(self, tmp_path, below):
        own_data.write(tmp_path, "README.md", "about it")
        parts = {**PARTS, "train": range(11)}
        for part, rows in parts.items():
            name = f"{below}{part}-00000-of-00002.parquet"
            own_data.write(tmp_path, name, parquet(rows))
        more = f"{below}train-00001-of-00002.parquet"
        own_data.write(tmp_path, more, parquet(range(11, 24)))
        own_data.write(tmp_path, f"{below}extra-0.parquet", parquet(range(3)))
        source = load(tmp_path)
        assert check(source) == [0, 24, 30]
        notes = own_data.notes(source)
        assert "left out, of no known split: extra-0.parquet" in notes
        assert "files and folders: 6 test, 24 train, 6 val" in notes

    def test_in_parts_without_a_split(self, tmp_path):
        for k, rows in enumerate((range(20), range(20, 36))):
            own_data.write(tmp_path, f"000{k}.parquet", parquet(rows))
        source = load(tmp_path)
        check(source, (24, 6, 6))
        assert "the file has no split" in own_data.notes(source)

    def test_an_image_that_is_broken(self, tmp_path):
        cells = [{"bytes": c, "path": ""} for c in CONTENTS]
        cells[4]["bytes"], cells[9]["bytes"] = b"no", None
        content = own_data.to_parquet(image=pa.array(cells, STRUCT), label=LABELS)
        file = own_data.write(tmp_path, "mine.parquet", content)
        with pytest.raises(InputError, match=r"row 9 of .*parquet has no 'image'"):
            load(file)
        skipped = load(file, on_bad="skip").skipped
        assert skipped == {"no path": 1, "unreadable image": 1}

    def test_two_columns(self, tmp_path):
        cells = pa.array(CONTENTS, pa.binary())
        content = parquet(range(36), other=cells)
        file = own_data.write(tmp_path, "mine.parquet", content)
        with pytest.raises(InputError, match=r"several columns .* image, other\. Name"):
            load(file)
        check(load(file, input="other"))

    def test_parts_that_differ(self, tmp_path):
        own_data.write(tmp_path, "train-0.parquet", parquet(range(30)))
        other = parquet(range(6), age=[1.0] * 6)
        own_data.write(tmp_path, "test-0.parquet", other)
        with pytest.raises(InputError, match="same columns, 'age' is in one of"):
            load(tmp_path)


def test_a_column_of_names_of_images_is_found(tmp_path):
    """Without data.input; several are asked for, and without any there is a command."""
    lines = [f"{i}.png,{LABELS[i]},a.PNG,{i}" for i in range(30)]
    for i in range(30):
        own_data.write(tmp_path, f"{i}.png", CONTENTS[i])
    written = own_data.table([x.split(",a")[0] for x in lines], "picture,label")
    own_data.write(tmp_path, "labels.csv", written)
    source = load(tmp_path)
    assert "images are those of the column 'picture'" in own_data.notes(source)
    with pytest.raises(InputError, match=r"no column 'pictur' .* mean 'picture'"):
        load(tmp_path, input="pictur")
    own_data.write(
        tmp_path, "labels.csv", own_data.table(lines, "picture,label,thumb,number")
    )
    with pytest.raises(InputError, match="several columns of images: picture, thumb"):
        load(tmp_path)
    own_data.write(tmp_path, "labels.csv", own_data.table(["1,2", "2,3"], "n,label"))
    with pytest.raises(InputError, match=r"Name one of them with --config.data.input="):
        load(tmp_path)


class TestFolders:
    """`metadata.csv` or `metadata.jsonl` with `file_name`."""

    def metadata(self, folder, rows, kind, prefix=""):
        listed = [(f"{prefix}{i}.png", LABELS[i]) for i in rows]
        if kind == "csv":
            lines = [f"{name},{label}" for name, label in listed]
            text = own_data.table(lines, "file_name,label")
        else:
            objects = [{"file_name": n, "label": v} for n, v in listed]
            text = "".join(json.dumps(o) + "\n" for o in objects)
        own_data.write(folder, f"metadata.{kind}", text)

    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    def test_one_in_each_split(self, tmp_path, kind):
        for part, rows in PARTS.items():
            self.metadata(tmp_path / part, rows, kind)
            for i in rows:
                own_data.write(tmp_path, f"{part}/{i}.png", CONTENTS[i])
        source = load(tmp_path)
        assert check(source) == [0, 24, 30]
        assert "images are those of the column 'file_name'" in own_data.notes(source)

    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    def test_one_for_all_splits(self, tmp_path, kind):
        lines = ""
        for part, rows in PARTS.items():
            self.metadata(tmp_path, rows, kind, prefix=f"{part}/")
            text = (tmp_path / f"metadata.{kind}").read_text()
            skip = kind == "csv" and lines
            lines += text.partition("\n")[2] if skip else text
            for i in rows:
                own_data.write(tmp_path, f"{part}/{i}.png", CONTENTS[i])
        own_data.write(tmp_path, f"metadata.{kind}", lines)
        assert check(load(tmp_path)) == [0, 24, 30]

    def test_without_splits(self, tmp_path):
        self.metadata(tmp_path, range(36), "jsonl")
        own_data.write(tmp_path, "other.csv", "a,b\n1,2\n")
        for i, content in enumerate(CONTENTS):
            own_data.write(tmp_path, f"{i}.png", content)
        check(load(tmp_path), (24, 6, 6))

    def test_json_that_is_none(self, tmp_path):
        own_data.write(tmp_path, "metadata.jsonl", '{"file_name": \n')
        with pytest.raises(
            InputError, match=r"metadata\.jsonl must hold a JSON object"
        ):
            load(tmp_path)


class TestNew:
    @pytest.fixture
    def record(self, tmp_path):
        file = own_data.write(tmp_path, "old/mine.parquet", parquet(range(36)))
        return load(file).record

    def test_images_in_parquet(self, record, tmp_path):
        content = parquet(range(5, 9), who=list("abcd"))
        file = own_data.write(tmp_path, "new.parquet", content)
        (piece,) = images.read_new(file, record, input="path", keep=("who",))
        assert piece.names == {
            "index": [0, 1, 2, 3],
            "path": ["5.png", "6.png", "7.png", "8.png"],
            "who": list("abcd"),
        }
        assert piece.inputs[:, 0, 0, 0].tolist() == [35, 42, 49, 56]

    def test_in_parts(self, record, tmp_path):
        for part, rows in PARTS.items():
            own_data.write(tmp_path, f"new/{part}-0.parquet", parquet(rows))
        (piece,) = images.read_new(tmp_path / "new", record)
        assert piece.inputs[:, 0, 0, 0].tolist() == [7 * i for i in range(36)]

    def test_metadata(self, record, tmp_path):
        own_data.write(tmp_path, "new/0.png", CONTENTS[3])
        text = '{"file_name": "0.png"}\n{"file_name": "none.png"}\n'
        file = own_data.write(tmp_path, "new/metadata.jsonl", text)
        with pytest.raises(InputError, match=r"none\.png \(row 2 of"):
            list(images.read_new(file, record))
        (piece,) = images.read_new(file, record, on_bad="skip")
        assert piece.names == {"file_name": ["0.png", "none.png"]}
        assert piece.inputs[:, 0, 0, 0].tolist() == [21]
