"""The depth benchmark: its tables, bits, bins, masks, rooms, and what is wrong."""

import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from dirjax import data, labels
from dirjax.configs import nyud2_dir
from dirjax.data import label_rules, splits
from dirjax.data.formats import coded
from dirjax.data.readers import _depth_maps as depth_maps
from dirjax.data.readers import _nyud2_files, nyud2
from dirjax.errors import InputError
from dirjax.ops import pixels
from tests import depth_folder as made
from tests import runs

RULES = {
    "label": "depth",
    "bin_width": 0.1,
    "label_range": (0.0, 10.0),
    "bin_dtype": "float32",
    "shot_lists": nyud2_dir.SHOTS,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.make(tmp_path_factory.mktemp("nyud2"))


@pytest.fixture
def mine(folder, tmp_path):
    """A copy to damage."""
    return shutil.copytree(folder, tmp_path / "data")


def load(path, **options):
    rules = {k: options.pop(k) for k in ("on_bad", "limit", "label") if k in options}
    fixed = {"size": made.SCALED, "crop": made.CROP, "maps": made.MAPS}
    options = fixed | {"val_share": 0.3} | options
    return nyud2.source("depth", path, label_rules.Rules(**RULES | rules), **options)


def scaled(file):
    """Every second pixel of a file of twice the size, as `nearest` takes them."""
    return np.asarray(Image.open(file))[1::2, 1::2]


class TestFolder:
    def test_depth_of_all_splits_is_that_of_the_files(self, folder):
        source = load(folder)
        lists = {"train": "nyu2_train.csv", "val": "nyu2_train.csv"}
        for name, split in source.splits.items():
            table = (folder / lists.get(name, "nyu2_test.csv")).read_text().split()
            step = 2 if name == "train" else 1
            shape = tuple(n // step for n in made.CROP)
            assert split.label.shape == split.mask.shape == (len(split.label), *shape)
            assert split.inputs.shape == (len(split.label), *made.CROP, 3)
            values = np.asarray(split.value)
            for i, row in enumerate(split.index):
                file = folder.parent / table[row].split(",")[1]
                codes = scaled(file)[1:11, 1:15]
                for y, x in np.ndindex(shape):
                    code = int(
                        codes[2 * y + 1, 2 * x + 1] if step == 2 else codes[y, x]
                    )
                    metres = code / 1000 if name == "test" else code / 25.5
                    np.testing.assert_allclose(values[i, y, x], metres, rtol=1e-6)
        assert len(source.splits["train"].label) + len(source.splits["val"].label) == 12
        assert source.splits["test"].index.tolist() == list(range(5))

    def test_pictures_are_bilinear_and_whole_before_the_crop(self, folder):
        train = load(folder).splits["train"]
        row = (
            folder.parent
            / (folder / "nyu2_train.csv")
            .read_text()
            .split()[train.index[0]]
            .split(",")[0]
        )
        picture = Image.open(row).resize((16, 12), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(train.wide["inputs"][0], picture)
        np.testing.assert_array_equal(train.inputs[0], np.asarray(picture)[1:11, 1:15])

    def test_counts_are_of_all_pixels_of_training_crops(self, folder):
        source = load(folder)
        codes = source.splits["train"].wide["codes"][:, 1:11, 1:15]
        want = np.zeros(100, int)
        for code in codes.ravel():
            want[min(int(np.float32(code) / np.float32(255) * 10 * 10), 99)] += 1
        np.testing.assert_array_equal(source.spec.counts, want)
        metres = codes / 25.5
        np.testing.assert_allclose(source.spec.label_mean, metres.mean(), rtol=1e-6)
        np.testing.assert_allclose(source.spec.label_std, metres.std(), rtol=1e-6)

    def test_rooms_are_on_one_side(self, folder):
        table = (folder / "nyu2_train.csv").read_text().split()
        source = load(folder)
        rooms = {
            name: {
                _nyud2_files.room(table[i].split(",")[0])
                for i in source.splits[name].index
            }
            for name in ("train", "val")
        }
        assert rooms["train"] | rooms["val"] == {
            "attic_0001",
            "hall_0002",
            "study_0003",
        }
        assert not rooms["train"] & rooms["val"]
        assert "val" not in load(folder, val_share=0.0).splits

    def test_masks(self, folder):
        given = np.load(folder / "test_balanced_mask.npy") > 0
        source = load(folder)
        np.testing.assert_array_equal(source.splits["test"].mask, given)
        assert any("not balanced like the benchmark" in n for n in source.notes)
        drawn = load(folder, test_mask="drawn").splits["test"]
        for split in (drawn, source.splits["val"]):
            count = np.bincount(split.real(split.bin))
            assert set(count[count > 0]) == {count[count > 0].min()}
        assert np.all(load(folder, test_mask="all").splits["test"].mask)

    def test_statistics_are_of_the_listed_training_rows(self, folder):
        source = load(folder)
        train = source.splits["train"].index.tolist()
        few = source.rows("statistics")
        assert few.index.tolist() == [i for i in range(1, 12, 3) if i in train]
        at = [train.index(i) for i in few.index]
        whole = source.splits["train"]
        np.testing.assert_array_equal(few.inputs, whole.inputs[at])
        np.testing.assert_array_equal(few.bin, np.asarray(whole.bin)[at])
        assert load(folder, statistics="").rows("statistics").index.tolist() == train
        assert source.rows("val") is source.splits["val"]

    def test_limit_leaves_files_unread(self, folder, monkeypatch):
        read = []
        pair = _nyud2_files.pair

        def counted(*a):
            read.append(1)
            return pair(*a)

        monkeypatch.setattr(_nyud2_files, "pair", counted)
        source = load(folder, limit=4, statistics="")
        assert len(source.splits["train"].label) == 4
        assert len(read) == sum(len(s.label) for s in source.splits.values())

    def test_a_pixel_without_depth_does_not_count(self, mine):
        file = next(mine.glob("nyu2_train/hall*/0.png"))
        depth = np.array(Image.open(file))
        depth[4:12, 4:20] = 0
        Image.fromarray(depth).save(file)
        train = load(mine, val_share=0.0).splits["train"]
        mask = np.asarray(train.mask)
        np.testing.assert_array_equal(mask, np.asarray(train.value) > 0)
        assert 0 < np.sum(~mask) < 40


class TestBits:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_bins_of_all_codes_are_the_published_ones(self, dtype):
        metres = depth_maps.METRES[np.dtype(dtype)]
        assert metres.dtype == np.float32
        published = [min(int(x * np.float32(10)), 99) for x in metres]
        bins = labels.Bins.uniform(width=0.1, origin=0, num=100, dtype=np.float32)
        np.testing.assert_array_equal(bins.index(metres), published)
        assert metres[255] == (10 if dtype == np.uint8 else np.float32(0.255))

    def test_a_table_for_each_code(self):
        with pytest.raises(ValueError, match="a table entry for each, got uint"):
            coded.Coded(np.zeros((1, 1, 1), np.uint16), np.zeros(256))

    @pytest.mark.parametrize(("old", "new"), [(9, 4), (4, 9), (304, 152), (5, 5)])
    def test_nearest_is_that_of_pillow(self, old, new):
        line = (np.arange(old) % 256).astype(np.uint8)[None]
        want = Image.fromarray(line).resize((new, 1), Image.Resampling.NEAREST)
        got = line[0, pixels.nearest(old, new)]
        np.testing.assert_array_equal(got, np.asarray(want)[0])

    @pytest.mark.parametrize("size", [(2, 3), (4, 6), (1, 6), (3, 4)])
    def test_thinner_maps_have_the_nearest_pixels(self, size):
        codes = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
        rows, columns = pixels.nearest(4, size[0]), pixels.nearest(6, size[1])
        want = codes[0][np.ix_(rows, columns)]
        np.testing.assert_array_equal(depth_maps.thinned(codes, size)[0], want)


class TestPublished:
    def test_shots_and_pixels(self, data_dir):
        table = np.genfromtxt(
            data_dir / "nyud2-dir" / "train_bucket_num.csv",
            delimiter=",",
            skip_header=1,
        )
        counts = table[:, -1].astype(int)
        # The sum is that of 50,688 crops of 304 x 228.
        assert counts.sum() == 50_688 * 304 * 228
        shots = labels.shot_groups(counts, explicit=nyud2_dir.SHOTS)
        assert np.bincount(shots).tolist() == [39, 15, 46]
        np.testing.assert_array_equal(
            shots, labels.shot_groups(counts, int(2.6e7), 10**7)
        )

    def test_rooms_of_real_scenes(self, data_dir):
        file = data_dir / "nyud2-dir" / "nyu2_train_FDS_subset.csv"
        paths = [p for p, _ in _nyud2_files.paths_of(file, file.parent)]
        assert len(paths) == 600
        rooms = {_nyud2_files.room(p) for p in paths}
        assert {"bookstore_0001", "living_room_0004", "kitchen_0029"} <= rooms
        assert all(r[-1].isdigit() for r in rooms)

    @pytest.mark.slow
    def test_the_labelled_pairs(self, data_dir):
        file = data_dir / "nyud2-dir" / "nyuv2_labeled_152x112.npz"
        rules = label_rules.Rules(**RULES)
        pairs = _nyud2_files.of_npz(file, rules, 56, 0.15)
        assert np.bincount(pairs.part).tolist() == [676, 119, 654]
        picture, codes = pairs.read(7)
        assert picture.shape == (56, 76, 3)
        assert (codes.shape, codes.dtype) == ((56, 76), np.uint8)
        # Training rows that stand together are on one side.
        together = pairs.part[:-1] + pairs.part[1:]
        assert not np.any((together == 1) & (pairs.part[1:] < 2))
        again = _nyud2_files.of_npz(file, rules, 56, 0.15).part
        np.testing.assert_array_equal(again, pairs.part)


class TestHoldOut:
    def test_groups_stay_whole_and_fit(self):
        groups = np.repeat(np.arange(30), np.arange(1, 31))
        for seed, share in itertools.product(range(5), (0.02, 0.2, 0.5)):
            out = splits.hold_out(groups, share, seed=seed)
            for g in range(30):
                assert len(set(out[groups == g])) == 1
            assert share * len(groups) - 31 < out.sum() <= share * len(groups)
        assert not splits.hold_out(groups, 0.0, seed=0).any()

    def test_refused(self):
        with pytest.raises(ValueError, match=r"in \[0, 1\), got 1"):
            splits.hold_out([1, 2], 1.0, seed=0)
        with pytest.raises(ValueError, match="at least two groups"):
            splits.hold_out([1, 1], 0.5, seed=0)


def erase(data, name):
    next(data.glob(name)).unlink()


def cut_off(data, name):
    file = next(data.glob(name))
    file.write_bytes(file.read_bytes()[:60])


def other_size(data, name):
    Image.new("L", (32, 22)).save(next(data.glob(name)))


def other_bits(data, name):
    depth = np.full(made.SIZE, 80, np.uint8)
    file = next(data.glob(name))
    Image.fromarray(depth if "test" in name else depth.astype(np.uint16)).save(file)


def other_shape(data, name):
    next(data.glob(name)).write_bytes(b"")
    Image.new("RGB", (48, 24)).save(next(data.glob(name)), "png")


ROW = r"nyu2_train/hall_0002_out/1.jpg \(row 7 of .*nyu2_train.csv\)"


class TestRefused:
    @pytest.mark.parametrize(
        ("damage", "name", "said"),
        [
            (cut_off, "nyu2_train/hall*/1.jpg", f"{ROW} does not"),
            (cut_off, "nyu2_train/hall*/1.png", f"{ROW} does not"),
            (
                other_size,
                "nyu2_train/hall*/1.png",
                f"{ROW} .*: the depth map is 32 x 22 but the image 32 x 24",
            ),
            (
                other_bits,
                "nyu2_train/hall*/1.png",
                f"{ROW} .* grey with 8 bits per pixel, its Pillow mode is 'I;16'",
            ),
            (
                other_bits,
                "nyu2_test/00002_depth.png",
                r"00002_colors.png \(row 3 of .*nyu2_test.csv\) .* 16 bits .*'L'",
            ),
        ],
    )
    def test_files_that_do_not_fit(self, mine, damage, name, said):
        damage(mine, name)
        with pytest.raises(InputError, match=said):
            load(mine)
        source = load(mine, on_bad="skip")
        rows = {k: v.index.tolist() for k, v in source.splits.items()}
        listed = rows["test"] if "test" in name else rows["train"] + rows["val"]
        assert (2 if "test" in name else 6) not in listed
        assert len(listed) == (4 if "test" in name else 11)
        assert source.skipped == {"unreadable image": 1}
        assert len(source.splits["test"].mask) == len(rows["test"])

    def test_a_picture_of_another_shape(self, mine):
        for name in ("1.jpg", "1.png"):
            file = next(mine.glob(f"nyu2_train/study*/{name}"))
            image = Image.new("L" if name == "1.png" else "RGB", (40, 24), 90)
            image.save(file)
        with pytest.raises(InputError, match=r"20 x 12 after scaling, .* are 16 x 12"):
            load(mine)

    def test_missing_files_ten_of_them(self, mine):
        for file in mine.glob("nyu2_train/*/*.png"):
            file.unlink()
        with pytest.raises(InputError, match=r"12 files .*, from row 1 of") as caught:
            load(mine)
        assert str(caught.value).count(".png") == 10
        assert ", ... (12 such rows)" in str(caught.value)
        erase(mine, "nyu2_test/00001_depth.png")
        with pytest.raises(InputError, match="no training row is left"):
            load(mine, on_bad="skip")

    def test_missing_tables(self, mine, tmp_path):
        erase(mine, "nyu2_train_FDS_subset.csv")
        with pytest.raises(
            InputError, match=r"FDS_subset.csv does not exist. It is in"
        ):
            load(mine)
        erase(mine, "nyu2_test.csv")
        with pytest.raises(
            InputError, match=r"no nyu2_test.csv; it must hold nyu2_train"
        ):
            load(mine)
        with pytest.raises(InputError, match=r"does not exist. It is the NPZ of 1,449"):
            load(tmp_path, inputs="pairs.npz")

    def test_missing_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DIRJAX_DATA", str(tmp_path))
        fields = runs.config("nyud2_dir")["data"]
        with pytest.raises(
            InputError, match=r"download_nyud2.py of github.com/YyzHarry"
        ):
            data.from_config(fields)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("image,depth", "row 1 is 'image,depth'"),
            ("data/a/1.jpg,data/a/1.png,3", "without a header"),
            ("", "is empty"),
        ],
    )
    def test_another_table(self, mine, line, said):
        (mine / "nyu2_train.csv").write_text(line)
        with pytest.raises(InputError, match=said):
            load(mine)

    def test_masks(self, mine):
        file = mine / "test_balanced_mask.npy"
        for wrong in (np.ones((4, *made.CROP)), np.full((5, *made.CROP), 7, np.uint8)):
            np.save(file, wrong)
            with pytest.raises(
                InputError, match=r"must be \[5, 10, 14\] .* of 0 and 1"
            ):
                load(mine)
        file.write_bytes(b"mask")
        with pytest.raises(InputError, match=r"cannot be read .* draws another"):
            load(mine)
        file.unlink()
        with pytest.raises(InputError, match=r"No such file .* draws another"):
            load(mine)

    def test_an_npz_of_something_else(self, tmp_path):
        file = tmp_path / "pairs.npz"
        np.savez(file, jpeg=np.zeros(3, np.uint8), offsets=[0, 3], split=[0])
        with pytest.raises(InputError, match="no array 'depth'"):
            load(file)
        np.savez(
            file,
            jpeg=np.zeros(3, np.uint8),
            offsets=[0, 3],
            split=[0],
            depth=np.zeros((2, 4, 4), np.uint8),
        )
        with pytest.raises(InputError, match=r"for 1 images; .* uint8 .2, 4, 4."):
            load(file)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"crop": (10, 17)}, "which are 12 x 16 .* got .10, 17."),
            ({"maps": (5, 15)}, "at most the crop .10, 14., got .5, 15."),
            ({"label": "height"}, "needs the label 'depth'"),
        ],
    )
    def test_options(self, folder, options, said):
        with pytest.raises(InputError, match=said):
            load(folder, test_mask="drawn", **options)

    def test_shot_lists_of_other_bins(self, folder, monkeypatch):
        monkeypatch.setitem(RULES, "bin_width", 0.2)
        with pytest.raises(InputError, match="depths cannot be binned: the shot lists"):
            load(folder)
