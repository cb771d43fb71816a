"""What is said of labels, bins and splits before a run."""

import numpy as np
import pytest

from dirjax import labels
from dirjax.data.describe import advice, checks
from tests.data.describe.looks import names, sentence, table


class TestFacts:
    def test_labels(self, tmp_path):
        label = table(tmp_path, {"y": [1, 2, 3, 4, 5, 5, 5, 39]})["label"]
        # Quartiles 2.75 and 5: the box is 2.25 long, and 39 is beyond 5 + 6.75.
        assert label == {
            "name": "y",
            "scale": "linear",
            "min": 1.0,
            "max": 39.0,
            "mean": 8.0,
            "quartiles": [2.75, 4.5, 5.0],
            "distinct": 6,
            "whole": True,
            "far": 1,
        }

    def test_bins_and_splits(self, tmp_path):
        y = [0.5] * 5 + [2.5] * 3 + [2.5, 1.5]
        split = ["train"] * 8 + ["val", "test"]
        facts = table(tmp_path, {"y": y, "split": split}, many=4, few=2)
        bins = facts["bins"]
        assert bins["edges"] == [0, 1, 2, 3]
        assert bins["train_count"] == [5, 0, 3]
        assert bins["shots"] == ["many", "few", "median"]
        assert (bins["number"], bins["empty"], bins["width"]) == (3, 1, 1.0)
        assert facts["splits"] == {
            "train": {"rows": 8, "many": 5, "median": 3, "few": 0},
            "val": {"rows": 1, "many": 0, "median": 1, "few": 0},
            "test": {"rows": 1, "many": 0, "median": 0, "few": 1},
        }

    def test_edges_of_logarithms_are_in_label_units(self, tmp_path):
        y = np.exp([0.5, 0.5, 1.5, 2.5])
        bins = table(tmp_path, {"y": y}, label_scale="log")["bins"]
        assert bins["width"] == 1.0
        np.testing.assert_allclose(bins["edges"], np.exp([0, 1, 2, 3]), rtol=1e-6)

    def test_columns(self, tmp_path):
        columns = {
            "y": range(6),
            "gaps": [1, "", 3, "", 5, 7],
            "color": ["r", "g", "", "g", "r", "r"],
            "kept": [3, 1, 4, 1, 5, 9],
            "gone": range(6),
            "same": [7] * 6,
        }
        facts = table(tmp_path, columns, drop=("gone",))
        inputs = facts["inputs"]
        assert inputs["numeric"] == ["x", "gaps", "kept"]
        assert inputs["categorical"] == {"color": 2}
        assert inputs["missing"] == {"gaps": 2, "color": 1}
        assert inputs["dropped"] == ["gone"]
        assert any("'same' is left out" in note for note in facts["notes"])

    def test_duplicates(self, tmp_path):
        x = [1, 1, 2, 2, 2, 3, 1, 2, 1, 9]
        y = [5, 5, 6, 8, 9, 7, 5, 1, 6, 6]
        split = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
        found = table(tmp_path, {"x": x, "y": y, "split": split})["duplicates"]
        # The inputs 2 have the labels 6, 8, 9: 2 + 0 + 1 from 8, over 6 rows.
        assert found["train"] == {"copies": 1, "conflicts": 3, "floor": 0.5}
        assert found["val"] == {"same_label": 1, "other_label": 1}
        assert found["test"] == {"same_label": 0, "other_label": 1}


LEVELS = np.repeat(np.arange(100.0), 2)


def heaped(step, times=4):
    """Labels 0 to 99 twice, multiples of a step so many times as often."""
    return np.concatenate([LEVELS, *[np.arange(0, 100, step)] * 2 * (times - 1)])


FRACTIONS = np.arange(1, 201) / 8

LABELS = {
    # name: (labels, that show it; labels that do not; arguments; words)
    "outside": (
        np.append(LEVELS, 101),
        LEVELS,
        {"ends": (0.0, 99.0)},
        "1 label lies outside data.label_range 0 to 99",
    ),
    "class_like": (
        np.arange(9.0),
        np.arange(10.0),
        {},
        "only 9 distinct values (0, 1, 2",
    ),
    # Five times the two rows of each label beside it.
    "cap": (
        np.append(LEVELS, [99] * 8),
        np.append(LEVELS, [99] * 7),
        {},
        "10 rows have the largest label 99 (4.8 %)",
    ),
    "floor": (
        np.append(LEVELS, [0] * 8),
        np.append(LEVELS, [0] * 7),
        {},
        "10 rows have the smallest label 0 (4.8 %)",
    ),
    # 10 of 200 are 5 %.
    "common_value": (
        np.append(FRACTIONS[10:], [12.5] * 10),
        np.append(FRACTIONS[8:], [12.5] * 8),
        {},
        "11 rows have the same label 12.5 (5.5 %)",
    ),
    # Quartiles 24.75 and 74.25, a box of 49.5: 248 is far, and 149 from the others.
    "outliers": (
        np.append(LEVELS, 248.0),
        np.append(LEVELS, [148.0, 197.0, 246.0]),
        {},
        "1 label lies far from the others, which range from 0 to 99: 248.",
    ),
    "long_tail": (
        np.exp(np.linspace(0, 6, 200)),
        np.exp(np.linspace(0, 6, 200)) - 2,
        {},
        "--config.data.label_scale=log --config.data.bin_width=",
    ),
    "heaping": (heaped(5), LEVELS, {}, "multiples of 5: they have 4.0 times"),
}


def of_labels(value, width=1.0, **options):
    edges = np.arange(value.min(), value.max() + 2 * width, width).tolist()
    return dict(advice.of_labels(value, edges=edges, **options))


class TestLabels:
    @pytest.mark.parametrize("name", LABELS)
    def test_finding(self, name):
        odd, fine, options, words = LABELS[name]
        found = of_labels(odd, **options)
        assert list(found) == [name]
        assert words in found[name]
        assert not of_labels(fine, **options)

    def test_a_cap_is_cut_off_below_it(self):
        text = of_labels(np.append(LEVELS, [99] * 8))["cap"]
        assert "(--config.data.label_range=0,98 --config.data.outside=error " in text
        # Bins of 4 stay as they are: 100 would keep the cap, 96 lose 97 and 98.
        text = of_labels(np.append(LEVELS, [99] * 8), width=4.0)["cap"]
        assert "--config.data.label_range=0,98 " in text

    def test_outliers_are_cut_off_at_an_edge(self):
        text = of_labels(np.append(LEVELS, 248.0), width=10.0)["outliers"]
        assert "--config.data.label_range=0,100 " in text

    def test_outliers_below(self):
        found = of_labels(np.append(LEVELS, -149.0))
        assert "1 label lies far from" in found["outliers"]
        assert "from 0 to 99: -149." in found["outliers"]
        assert "--config.data.label_range=0,100 " in found["outliers"]

    @pytest.mark.parametrize(
        ("beside", "rows", "pile"),
        # Ten rows, and five times those beside.
        [(1, 9, False), (1, 10, True), (3, 14, False), (3, 15, True)],
    )
    def test_what_is_a_pile(self, beside, rows, pile):
        counts = np.array([beside] * 9 + [rows])
        assert checks.piled(counts) == (False, pile)
        assert checks.piled(counts[::-1]) == (pile, False)

    def test_a_cut_between_labels(self):
        assert checks.cut(0.5, 0.7, [0.0, 0.5, 1.0]) == 0.5
        assert checks.cut(0.5, 0.7, [0.0, 1.0]) == 0.6
        assert checks.cut(7.0, 7.5, [0.0, 10.0]) == 7.0
        assert checks.cut(12.0, -99.0, [-100.0, -50.0, 0.0, 50.0]) == 0.0

    def test_many_far_labels_are_a_tail(self):
        assert not of_labels(np.append(LEVELS, [248.0] * 3))

    def test_an_outlier_makes_no_heap(self):
        value = np.append(FRACTIONS, 1e9).astype(np.float32).astype(float)
        found = dict(advice.of_labels(value, edges=[0.0, 1e9]))
        assert list(found) == ["outliers"]
        distinct, counts = np.unique(value, return_counts=True)
        assert checks.heap(distinct, counts) == (0.0, 0.0)

    def test_outliers_of_logarithms(self):
        value = np.exp(np.append(LEVELS, 248.0) / 10)
        assert list(of_labels(value, scale=labels.Scale("log"), width=1e8)) == [
            "outliers"
        ]

    @pytest.mark.parametrize(
        ("step", "width"), [(2, 2.0), (5, 5.0), (10, 10.0), (10, 20.0)]
    )
    def test_heaps_do_no_harm_in_wide_bins(self, step, width):
        (found,) = of_labels(heaped(step)).values()
        assert f"--config.data.bin_width={step} " in found
        assert not of_labels(heaped(step), width=width)

    def test_heaps_of_tenths(self):
        value = (heaped(5) / 10).astype(np.float32).astype(float)
        distinct, counts = np.unique(value, return_counts=True)
        multiple, times = checks.heap(distinct, counts)
        assert multiple == pytest.approx(0.5)
        assert times == pytest.approx(4.0)


class TestBins:
    def test_no_many_shot_bin(self, tmp_path):
        facts = table(tmp_path, {"y": [1] * 100 + [2] * 19 + [3] * 40})
        # A third of 19, 40, 100 is a third of the way from 19 to 40 above 19.
        assert "no bin holds more than 100 training rows, and 1 of 3 hold fewer" in (
            sentence(facts, "no_many")
        )
        assert "--config.data.many=40 --config.data.few=40 " in sentence(
            facts, "no_many"
        )
        facts = table(tmp_path, {"y": [1] * 101 + [2] * 19 + [3] * 40})
        assert "no_many" not in names(facts)

    def test_wider_bins_are_proposed(self, tmp_path):
        facts = table(tmp_path, {"y": np.repeat(np.arange(20), 30)})
        assert "--config.data.bin_width=5" not in sentence(
            facts, "no_many"
        )  # four bins
        facts = table(tmp_path, {"y": np.repeat(np.arange(40), 30)})
        assert "from 1 with --config.data.bin_width=5" in sentence(facts, "no_many")

    def test_only_many_shot_bins(self, tmp_path):
        facts = table(tmp_path, {"y": [1] * 101 + [3] * 101})
        assert "every bin holds more than 100" in sentence(facts, "no_few")
        assert "no_few" not in names(table(tmp_path, {"y": [1] * 101 + [3] * 100}))

    def test_many_few_shot_bins(self, tmp_path):
        facts = table(tmp_path, {"y": [1] * 160 + [2] * 19 + [3] * 21 + [4] * 0})
        assert "few_bins" not in names(facts)
        facts = table(tmp_path, {"y": [1] * 164 + [2] * 19 + [3] * 17})
        assert sentence(facts, "few_bins").startswith(
            "2 of 3 bins hold fewer than 20 training rows, 18 % of the rows in total"
        )

    def test_fixed_shots_are_left_alone(self, tmp_path):
        lists = {"many": (0,), "median": (1,), "few": (2,)}
        facts = table(tmp_path, {"y": [1, 2, 3]}, shot_lists=lists)
        assert facts["bins"]["fixed"]
        assert not {"no_many", "few_bins"} & set(names(facts))

    def test_empty_bins(self, tmp_path):
        facts = table(tmp_path, {"y": [0, 4, 9]})
        assert sentence(facts, "empty_bins").startswith(
            "7 of 10 bins hold no training row: widen the bins with --config.data.bin_"
        )
        assert "empty_bins" not in names(table(tmp_path, {"y": [0, 1, 2, 7, 9]}))
        facts = table(tmp_path, {"y": [0, 1, 2]}, label_range=(0.0, 10.0))
        assert sentence(facts, "empty_bins").endswith(
            "0 to 3, narrow the bins to them with --config.data.label_range=0,3."
        )


def parts(train, val=(), test=()):
    """Labels 0, 1, ... so many times in each split."""
    columns = {"y": [], "split": []}
    for name, counts in (("train", train), ("val", val), ("test", test)):
        for y, n in enumerate(counts):
            columns["y"] += [y] * n
            columns["split"] += [name] * n
    return columns


class TestSplits:
    def test_missing_splits(self, tmp_path):
        found = names(table(tmp_path, parts([30, 10])))
        assert {"no_val", "no_test"} < set(found)
        found = names(table(tmp_path, parts([30, 10], [5, 5], [5, 5])))
        assert not {"no_val", "no_test"} & set(found)

    def test_a_test_as_imbalanced_as_training(self, tmp_path):
        train = [160, 20, 20]
        facts = table(tmp_path, parts(train, [9, 9], [80, 10, 10]))
        assert "unbalanced_test" in names(facts)
        facts = table(tmp_path, parts(train, [9, 9], [33, 33, 34]))
        assert "unbalanced_test" not in names(facts)
        # Nearer to an even test (0.07) than to training (0.17).
        facts = table(tmp_path, parts([30, 20, 12, 8], [2, 2], [3, 3, 3, 2]))
        assert "unbalanced_test" not in names(facts)
        # Even training leaves nothing to balance.
        facts = table(tmp_path, parts([60, 70, 70], [9, 9], [30, 35, 35]))
        assert "unbalanced_test" not in names(facts)

    @pytest.mark.parametrize(
        ("rows", "words"),
        [(0, "no test row lies"), (1, "only 1 test row lies"), (19, "only 19 test")],
    )
    def test_few_test_rows(self, tmp_path, rows, words):
        facts = table(tmp_path, parts([120, 19], [9, 9], [40, rows]))
        assert words in sentence(facts, "few_test")

    def test_test_rows_in_bins_that_training_has_not(self, tmp_path):
        facts = table(tmp_path, parts([120, 0, 30], [9, 9], [40, 3]))
        assert "only 3 test rows lie" in sentence(facts, "few_test")

    def test_enough_test_rows(self, tmp_path):
        facts = table(tmp_path, parts([120, 19], [9, 9], [40, 20]))
        assert "few_test" not in names(facts)
        facts = table(tmp_path, parts([120, 20], [9, 9], [40, 2]))
        assert "few_test" not in names(facts)  # There is no few-shot bin.

    def test_batch(self, tmp_path):
        columns = parts([16, 4])
        assert "batch" not in names(table(tmp_path, columns))
        assert "batch" not in names(table(tmp_path, columns, batch_size=20))
        facts = table(tmp_path, columns, batch_size=21)
        assert "21 rows but the training split only 20" in sentence(facts, "batch")
        assert "batch" in names(table(tmp_path, parts([8, 7])))
