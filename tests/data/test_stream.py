"""Streams: pure functions of (seed, step), the same for every reader and process."""

import dataclasses
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import data
from dirjax.cli import config_files
from dirjax.data import sources, stream
from tests import depth_folder, own_data, runs


def split_of(size, kind="table"):
    rows = np.arange(size)
    if kind == "dense":
        split = split_of(size, "images")
        maps = np.float32(rows[:, None, None] + np.arange(6).reshape(2, 3))
        return dataclasses.replace(
            split, label=maps, value=maps, bin=np.int32(maps), mask=maps % 4 > 0
        )
    if kind == "images":
        pixels = np.random.default_rng(0).integers(0, 256, (size, 5, 4, 1))
        inputs = pixels.astype(np.uint8)
    else:
        inputs = {
            "numeric": np.float32(rows[:, None] * [1.0, -0.1]),
            "categorical": np.int32(rows[:, None] % 3),
        }
    return sources.Split(
        inputs=inputs,
        label=np.float32(rows * 0.5),
        value=np.float32(rows * 0.5),
        bin=np.int32(rows // 4),
        weight=np.float32(1 + rows % 2),
        index=np.int32(rows * 10),
    )


def stream_of(size=23, batch_size=6, **options):
    options = {"seed": 5} | options
    return stream.Stream(split_of(size), batch_size=batch_size, **options)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


sizes = st.integers(1, 40)


class TestOrder:
    @settings(max_examples=50, deadline=None)
    @given(sizes, st.integers(1, 15), st.integers(0, 3))
    def test_each_epoch_is_a_permutation(self, size, batch_size, seed):
        steps = -(-3 * size // batch_size)
        flat = stream.indices(
            seed=seed, step=0, steps=steps, batch_size=batch_size, size=size
        ).ravel()
        for epoch in range(3):
            here = flat[epoch * size : (epoch + 1) * size]
            np.testing.assert_array_equal(np.sort(here), np.arange(size))

    @settings(max_examples=50, deadline=None)
    @given(sizes, st.integers(1, 15), st.integers(0, 20), st.integers(1, 9))
    def test_from_step_k_is_from_0_without_k(self, size, batch_size, k, steps):
        options = {"seed": 1, "batch_size": batch_size, "size": size}
        whole = stream.indices(step=0, steps=k + steps, **options)
        assert whole.shape == (k + steps, batch_size)
        part = stream.indices(step=k, steps=steps, **options)
        np.testing.assert_array_equal(part, whole[k:])

    def test_orders_differ_between_epochs_and_seeds(self):
        orders = [stream.permutation(s, e, 50) for s in (0, 1) for e in (0, 1)]
        assert len({tuple(o) for o in orders}) == 4

    def test_an_order_cannot_be_spoiled(self):
        with pytest.raises(ValueError, match="read-only"):
            stream.permutation(0, 0, 5)[0] = 3

    def test_a_late_step_costs_no_walk(self):
        """A step far in the future: nothing is generated in between."""
        rows = stream.indices(seed=0, step=10**9, steps=1, batch_size=4, size=10)
        assert rows.shape == (1, 4)
        assert set(rows.ravel()) <= set(range(10))

    def test_a_batch_larger_than_the_set_wraps(self):
        rows = stream.indices(seed=0, step=0, steps=1, batch_size=7, size=3)[0]
        assert sorted(rows[:3]) == sorted(rows[3:6]) == [0, 1, 2]

    @pytest.mark.parametrize(
        "wrong", [{"batch_size": 0}, {"size": 0}, {"steps": 0}, {"step": -1}]
    )
    def test_wrong_sizes(self, wrong):
        options = {"seed": 0, "step": 0, "steps": 1, "batch_size": 2, "size": 3}
        with pytest.raises(ValueError, match="must be positive"):
            stream.indices(**(options | wrong))


class TestProcesses:
    @settings(max_examples=30, deadline=None)
    @given(sizes, st.integers(1, 4), st.sampled_from([1, 2, 3, 4]), st.integers(0, 9))
    def test_blocks_concatenate_to_the_global_batch(self, size, each, count, step):
        batch_size = each * count
        whole = stream_of(size, batch_size).rows(step, 2)
        parts = [
            stream_of(size, batch_size, process=k, processes=count).rows(step, 2)
            for k in range(count)
        ]
        assert all(p.shape == (2, each) for p in parts)
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)

    def test_a_batch_that_does_not_divide(self):
        with pytest.raises(ValueError, match=r"4 processes.* 6 rows.*batch_size"):
            stream_of(batch_size=6, process=0, processes=4).rows(0, 1)


class TestReaders:
    def test_rows_are_those_of_the_split(self):
        reader = stream_of()
        (batch,) = reader.read(iter([(2, 3)]))
        rows = reader.rows(2, 3)
        assert batch["label"].shape == (3, 6)
        np.testing.assert_array_equal(batch["index"], rows * 10)
        np.testing.assert_array_equal(batch["label"], np.float32(rows * 0.5))
        np.testing.assert_array_equal(batch["bin"], rows // 4)
        np.testing.assert_array_equal(batch["weight"], 1 + rows % 2)
        np.testing.assert_array_equal(batch["inputs"]["numeric"][..., 0], rows)
        assert batch["inputs"]["numeric"].shape == (3, 6, 2)
        np.testing.assert_array_equal(batch["mask"], np.ones((3, 6), np.float32))

    @pytest.mark.parametrize("kind", ["table", "images", "dense"])
    def test_tensorflow_reads_the_same_bits(self, kind):
        chunks = [(0, 2), (2, 1), (3, 4), (5, 4)]
        split = split_of(23, kind)
        options = {"seed": 5, "batch_size": 6, "process": 1, "processes": 2}
        array, tf = (
            list(stream.Stream(split, reader=r, **options).read(iter(chunks)))
            for r in ("array", "tf")
        )
        assert len(array) == len(tf) == 4
        for a, b in zip(array, tf, strict=True):
            assert_same(a, b)

    def test_images_text_and_depth_are_read_by_tensorflow(self):
        for argument, reader in {
            "agedb_dir": "tf",
            "images": "tf",
            "mnist5k": "tf",
            "nyud2_dir": "tf",
            "stsb_dir": "tf",
            "csv": "array",
            "bikeshare": "array",
        }.items():
            config = config_files.load(f"configs/{argument}.py", "vanilla")
            assert config.data.reader == reader, argument
        config = config_files.load("configs/stsb_dir.py", "vanilla,embeddings")
        assert config.data.reader == "array"

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["stsb_dir", "nyud2_dir", "mnist5k"])
    def test_each_kind_of_data_has_the_same_batches(self, name, tmp_path):
        fields = {"data__batch_size": 4}
        if name == "stsb_dir":
            own_data.write_sentences(tmp_path)
            fields |= {"data__path": str(tmp_path), "data__text__dim": 3}
            fields["data__text__vectors"] = "glove.txt"
        if name == "nyud2_dir":
            fields |= depth_folder.fields(depth_folder.make(tmp_path))
        source = data.from_config(runs.config(name, "vanilla", **fields)["data"])
        array, tf = (
            stream.Stream(source.training, seed=1, batch_size=4, reader=reader)
            for reader in ("array", "tf")
        )
        chunks = [(0, 2), (5, 1)]
        for a, b in zip(array.read(iter(chunks)), tf.read(iter(chunks)), strict=True):
            assert_same(a, b)

    @pytest.mark.parametrize("reader", ["array", "tf"])
    @pytest.mark.parametrize("kind", ["table", "dense"])
    def test_members_read_in_the_order_of_their_seeds(self, kind, reader):
        split, chunks = split_of(23, kind), [(0, 2), (2, 3)]
        options = {"batch_size": 6, "process": 1, "processes": 2}
        together = stream.Stream(split, seed=5, members=2, reader=reader, **options)
        each = [stream.Stream(split, seed=seed, **options) for seed in (5, 6)]
        found = list(together.read(iter(chunks)))
        for m, alone in enumerate(each):
            for got, want in zip(found, alone.read(iter(chunks)), strict=True):
                assert_same(jax.tree.map(lambda x, m=m: x[:, m], got), want)

    def test_labels_of_pixels(self):
        reader = stream.Stream(split_of(23, "dense"), seed=5, batch_size=6)
        (batch,) = reader.read(iter([(2, 3)]))
        rows = reader.rows(2, 3)
        for name in ("label", "bin", "weight", "mask"):
            assert batch[name].shape == (3, 6, 2, 3), name
        np.testing.assert_array_equal(batch["label"][..., 1, 2], rows + 5)
        np.testing.assert_array_equal(batch["mask"], batch["label"] % 4 > 0)
        weight = np.broadcast_to((1 + rows % 2)[..., None, None], (3, 6, 2, 3))
        np.testing.assert_array_equal(batch["weight"], weight)

    def test_unknown_reader(self):
        with pytest.raises(ValueError, match="'array' or 'tf', got 'csv'"):
            stream_of(reader="csv")


class TestEvalBatches:
    def test_a_padded_row_of_pixels_does_not_count(self):
        split = split_of(5, "dense")
        *_, last = stream.eval_batches(split, batch_size=4)
        np.testing.assert_array_equal(last["mask"][0], split.mask[4])
        assert last["mask"][1:].sum() == 0
        assert last["weight"].shape == last["value"].shape == (4, 2, 3)

    @settings(max_examples=40, deadline=None)
    @given(sizes, st.integers(1, 4), st.sampled_from([1, 2, 4]))
    def test_every_row_counts_once_and_in_order(self, size, each, count):
        split, batch_size = split_of(size), each * count
        parts = [
            list(
                stream.eval_batches(
                    split, batch_size=batch_size, process=k, processes=count
                )
            )
            for k in range(count)
        ]
        assert {len(p) for p in parts} == {-(-size // batch_size)}
        seen = []
        for batches in zip(*parts, strict=True):
            for batch in batches:
                assert batch["value"].shape == batch["mask"].shape == (each,)
                assert batch["inputs"]["numeric"].shape == (each, 2)
                seen += batch["index"][batch["mask"] > 0].tolist()
        assert seen == split.index.tolist()

    def test_padding_is_masked_and_finite(self):
        *_, last = stream.eval_batches(split_of(7), batch_size=4)
        assert last["mask"].tolist() == [1, 1, 1, 0]
        assert last["mask"].dtype == np.float32
        assert last["index"].tolist() == [40, 50, 60, 0]


def imports_after(code):
    """Modules of interest in a fresh interpreter after `code`."""
    script = (
        f"import sys\n{code}\n"
        "names = ('jax', 'tensorflow', 'pandas', 'flax', 'matplotlib')\n"
        "print(*[n for n in names if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_dirjax_is_light():
    assert imports_after("import dirjax") == set()


def test_the_array_path_imports_no_tensorflow():
    code = """
from dirjax import data
from dirjax.configs import bikeshare
config = bikeshare.get_config('vanilla').data.to_dict()
source = data.from_config(config)
reader = data.Stream(source.splits['train'], seed=0, batch_size=8)
assert len(next(reader.read(iter([(0, 1)])))['label'][0]) == 8
assert len(list(data.eval_batches(source.splits['val'], batch_size=1000))) == 2
"""
    assert "tensorflow" not in imports_after(code)


def test_rows_drawn_by_weight():
    """Shares are kept in every epoch, equal weights are a permutation, steps resume."""
    rng = np.random.default_rng(0)
    weights = rng.gamma(1.0, size=50)
    weights[7] = 0
    for epoch in range(3):
        count = np.bincount(stream.drawn(1, epoch, weights), minlength=50)
        assert (np.abs(count - 50 * weights / weights.sum()) < 1).all()
        once = stream.drawn(1, epoch, np.full(50, 0.1))
        assert sorted(once.tolist()) == list(range(50))

    def order(seed, epoch, size):
        return stream.drawn(seed, epoch, weights)

    options = {"seed": 3, "batch_size": 7, "size": 50, "order": order}
    whole = stream.indices(step=0, steps=12, **options)
    np.testing.assert_array_equal(stream.indices(step=5, steps=7, **options), whole[5:])


def test_each_member_has_a_bag_of_its_own():
    weights = np.where(np.arange(200) < 20, 9.0, 1.0)
    split = split_of(200)
    options = {"batch_size": 50, "bags": True, "weights": weights}
    two = stream.Stream(split, seed=3, members=2, **options).rows(0, 40)
    found = [set(two[:, member].ravel()) for member in (0, 1)]
    for member, rows in enumerate(found):
        bag = stream.bag(3 + member, weights)
        assert rows == set(np.flatnonzero(bag))
        # Half of the weight is with a tenth of the rows.
        assert abs(bag[:20].sum() / 200 - 0.5) < 0.1
        # Each epoch has the whole bag in another order.
        epochs = two[:, member].reshape(10, 200)
        np.testing.assert_array_equal(np.bincount(epochs[0], minlength=200), bag)
        assert (epochs[0] != epochs[1]).any()
    assert found[0] != found[1]
    alone = stream.Stream(split, seed=4, **options).rows(0, 40)
    np.testing.assert_array_equal(alone, two[:, 1])


@pytest.mark.parametrize("weights", [None, np.ones(24)])
def test_each_member_makes_the_order_of_an_epoch_once(monkeypatch, weights):
    made = []
    for name in ("permutation", "drawn"):
        make = getattr(stream, name)

        def counted(*args, make=make):
            made.append(args[:2])
            return make(*args)

        monkeypatch.setattr(stream, name, counted)
    reader = stream.Stream(
        split_of(24), seed=0, batch_size=6, members=5, weights=weights
    )
    for step in range(8):  # two epochs
        reader.rows(step, 1)
    assert sorted(made) == [(seed, epoch) for seed in range(5) for epoch in (0, 1)]
