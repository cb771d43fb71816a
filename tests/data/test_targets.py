"""Tables with several label columns."""

import numpy as np
import pytest

from dirjax import data
from dirjax.data import label_files
from dirjax.errors import InputError
from tests import own_data

COUNT = 120
RNG = np.random.default_rng(0)
PARTS = [("train", "train", "train", "val", "test")[i % 5] for i in range(COUNT)]
TALL = np.exp(RNG.normal(size=COUNT)).round(3)
HEAVY = (100 * RNG.normal(size=COUNT)).round(2)
GAPS = np.arange(COUNT) % 7 == 3


def file(folder, *, split=True, name="heavy", gaps=True, **changed):
    columns = {"x": RNG.normal(size=COUNT).round(3), "tall": TALL, name: HEAVY}
    columns = {**columns, **changed}
    heading = ",".join(f'"{c}"' if "," in c else c for c in columns)
    lines = []
    for i in range(COUNT):
        cells = [str(values[i]) for values in columns.values()]
        if gaps and GAPS[i]:
            cells[2] = ""
        lines.append(",".join([*cells, *[PARTS[i]] * split]))
    content = own_data.table(lines, heading + ",split" * split)
    return own_data.write(folder, "mine.csv", content)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    return own_data.load(file(folder), label="tall,heavy", weight=None)


def test_each_target_is_what_it_is_alone(source, tmp_path):
    """With the rows that have its label: bins, shots, splits, inputs."""
    for name, target in zip(("tall", "heavy"), source.targets, strict=True):
        other = {"tall": "heavy", "heavy": "tall"}[name]
        rows = {"label": name, "drop": (other,)}
        alone = own_data.load(file(tmp_path), on_bad="skip", **rows)
        assert target.label == name
        assert target.record["label_mean"] == alone.spec.label_mean
        for field in ("counts", "shots"):
            mine, theirs = (getattr(s.spec, field) for s in (target, alone))
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(target.spec.bins.edges, alone.spec.bins.edges)
        for split, rows in alone.splits.items():
            for field in ("label", "value", "bin", "index"):
                mine = getattr(target.splits[split], field)
                np.testing.assert_array_equal(mine, getattr(rows, field), split)
            assert len(own_data.numeric(target, split)) == len(rows.label)


def test_a_batch_has_standardised_labels_and_a_mask(source):
    train = source.splits["train"]
    assert train.label.shape == train.bin.shape == train.mask.shape == (72, 2)
    np.testing.assert_array_equal(
        train.mask,
        ~np.isnan(np.where(GAPS[train.index, None] & [False, True], np.nan, 0.0)),
    )
    for t, target in enumerate(source.targets):
        real = train.mask[:, t]
        z = train.label[real, t]
        np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=1e-5)
        np.testing.assert_array_equal(train.bin[real, t], target.splits["train"].bin)
    assert np.isfinite(train.label).all()
    assert not source.dense
    assert "17 of 120 rows have no 'heavy'" in own_data.notes(source)


def test_a_balanced_split_has_rare_labels_of_each_target(tmp_path):
    found = own_data.load(
        file(tmp_path, split=False), label="tall,heavy", split_divisor=3
    )
    for target in found.targets:
        assert {"train", "val", "test"} == set(target.splits)
    counts = [len(s.label) for s in found.splits.values()]
    assert sum(counts) == COUNT
    assert min(counts) > 10


def test_widths_units_and_scales_of_each(tmp_path):
    fields = {"bin_widths": (0.5, 40.0), "unit": "m,kg", "label_scale": "log,linear"}
    found = own_data.load(file(tmp_path), label="tall,heavy", **fields)
    assert [t.label for t in found.targets] == ["tall (m)", "heavy (kg)"]
    assert [t.scale.kind for t in found.targets] == ["log", "linear"]
    widths = [np.diff(t.spec.bins.edges)[0] for t in found.targets]
    np.testing.assert_allclose(widths, [0.5, 40.0])


def test_a_name_with_a_comma(tmp_path):
    path = file(tmp_path, name="a,b")
    one = own_data.load(path, label="a,b", on_bad="skip")
    assert not one.targets
    two = own_data.load(path, label='"a,b",tall')
    assert [t.label for t in two.targets] == ["a,b", "tall"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"label": "tall,none"}, "no column 'none'"),
        ({"label": "tall,tall"}, "different columns"),
        ({"bin_width": 2.0}, "data.bin_widths"),
        ({"bin_widths": (2.0,)}, "2 values"),
        ({"label_range": (0.0, 9.0)}, "data.label_range is about one label"),
        ({"label": "tall", "bin_widths": (2.0, 3.0)}, "names one (tall)"),
        ({"label": "tall", "label_scale": "log,linear"}, "names one (tall)"),
        ({"resample": {"method": "smogn"}}, "data.resample makes rows for one label"),
    ],
)
def test_refused(tmp_path, capsys, fields, said):
    path = file(tmp_path)

    def load():
        own_data.load(path, **{"label": "tall,heavy", **fields})

    assert said in own_data.sentence(capsys, load)


def test_rows_and_splits_without_any_label_are_refused(tmp_path, capsys):
    none = [np.nan if p == "val" else v for v, p in zip(HEAVY, PARTS, strict=True)]
    path = file(tmp_path, heavy=np.asarray(none, object), gaps=False)
    path.write_text(path.read_text().replace("nan", ""))
    load = lambda: own_data.load(path, label="tall,heavy")  # noqa: E731
    assert "val of" in own_data.sentence(capsys, load)
    tall = [v if i else "" for i, v in enumerate(TALL)]
    heavy = [v if i else "" for i, v in enumerate(HEAVY)]
    path = file(tmp_path, tall=tall, heavy=heavy)
    load = lambda: own_data.load(path, label="tall,heavy")  # noqa: E731
    assert "row 2 of" in own_data.sentence(capsys, load)


def images(folder):
    """A table of images with two labels, of which the second has gaps."""
    lines = []
    for i in range(COUNT):
        picture = own_data.to_image(np.full((4, 4), 2 * i, np.uint8))
        own_data.write(folder, f"{i}.png", picture)
        heavy = "" if GAPS[i] else HEAVY[i]
        lines.append(f"{i}.png,{TALL[i]},{heavy},{PARTS[i]}")
    content = own_data.table(lines, "path,tall,heavy,split")
    return own_data.write(folder, "images.csv", content)


def equal_labels(one, other):
    for split, rows in other.splits.items():
        for field in ("label", "value", "bin", "index", "mask"):
            mine = getattr(one.splits[split], field)
            np.testing.assert_array_equal(mine, getattr(rows, field), f"{split}{field}")


def test_labels_of_images_are_those_of_a_table(source, tmp_path):
    found = own_data.load(
        images(tmp_path), "images", label="tall,heavy", weight=None, image_size=4
    )
    equal_labels(found, source)
    assert found.record["kind"] == "images"
    assert not found.dense
    heavy = found.targets[1].splits["train"]
    np.testing.assert_array_equal(heavy.inputs[:, 0, 0, 0], 2 * heavy.index)


@pytest.mark.parametrize("shape", [(3,), (4, 4)])
def test_labels_of_arrays_are_those_of_a_table(source, tmp_path, shape):
    """In one array or in two, for a table or images."""
    y = np.stack([TALL, np.where(GAPS, np.nan, HEAVY)], axis=1)
    x = RNG.integers(0, 255, (COUNT, *shape)).astype(np.uint8)
    arrays = {"x": x, "split": np.asarray(PARTS)}
    option = "vanilla,images" if len(shape) > 1 else "vanilla"
    wide = own_data.write(tmp_path, "wide.npz", own_data.to_npz(y=y, **arrays))
    found = own_data.load(wide, "npz", option)
    equal_labels(found, source)
    assert [one.label for one in found.targets] == ["y0", "y1"]
    apart = {"tall": y[:, 0], "heavy": y[:, 1]}
    two = own_data.write(tmp_path, "two.npz", own_data.to_npz(**apart, **arrays))
    equal_labels(own_data.load(two, "npz", option, label="tall,heavy"), source)
    widths = own_data.load(wide, "npz", option, bin_widths=(0.5, 40.0))
    assert [one.spec.bins.mean_width for one in widths.targets] == [0.5, 40.0]
    alone = own_data.load(wide, "npz", option, label="y0")
    np.testing.assert_array_equal(alone.splits["val"].label, TALL[3::5].astype("f"))


def test_an_array_named_like_a_column_of_another_is_refused(tmp_path, capsys):
    y = np.stack([TALL, HEAVY], axis=1)
    arrays = own_data.to_npz(x=HEAVY, y=y, y1=TALL)
    path = own_data.write(tmp_path, "unclear.npz", arrays)
    line = own_data.sentence(capsys, lambda: own_data.load(path, "npz"))
    assert "'y1', and so is a column of 'y'" in line


def test_a_column_of_the_inputs_is_no_label(tmp_path, capsys):
    arrays = own_data.to_npz(x=np.stack([TALL, HEAVY], axis=1), y=HEAVY)
    path = own_data.write(tmp_path, "mine.npz", arrays)
    line = own_data.sentence(capsys, lambda: own_data.load(path, "npz", label="x1"))
    assert "has no array 'x1' (data.label)" in line


def test_fields_of_several_labels_are_refused_for_a_column(tmp_path, capsys):
    arrays = own_data.to_npz(x=HEAVY, y=np.stack([TALL, HEAVY], axis=1))
    path = own_data.write(tmp_path, "mine.npz", arrays)
    fields = {"label": "y0", "bin_widths": (1.0, 2.0)}
    line = own_data.sentence(capsys, lambda: own_data.load(path, "npz", **fields))
    assert "data.label names one (y0)" in line
    made = own_data.config(path, "npz")["data"]
    with pytest.raises(InputError, match=r"choosing is for one label.* \(y0, y1\)"):
        data.check_one_label(made, "choosing")


def test_a_label_file_may_lack_one_of_several(source, tmp_path):
    record = source.targets[1].record
    y = np.stack([TALL, np.where(GAPS, np.nan, HEAVY)], axis=1)
    stored = own_data.write(tmp_path, "new.npz", own_data.to_npz(y=y))
    for path, own in ((file(tmp_path), record), (stored, record | {"label": "y1"})):
        found = label_files.read(str(path), own)
        np.testing.assert_allclose(found, HEAVY[~GAPS])


def test_few_rows_of_many_labels_have_a_validation_split(tmp_path):
    y = np.exp(RNG.normal(size=(60, 6)))
    arrays = own_data.to_npz(x=RNG.normal(size=60), y=y)
    found = own_data.load(own_data.write(tmp_path, "few.npz", arrays), "npz")
    assert set(found.splits) == {"train", "val", "test"}
    assert "bins are one, since they hold few rows" in own_data.notes(found)
