"""Tables to arrays: numbers by hand, fitted on training rows only."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax.data import label_rules
from dirjax.data.preprocess import TablePreprocessor
from dirjax.data.readers import table
from dirjax.errors import InputError

RNG = np.random.default_rng(0)
COLUMNS = {
    "size": RNG.lognormal(size=40),
    "depth": RNG.normal(3.0, 2.0, 40),
    "color": np.array(["red", "blue", "green", "blue"] * 10, dtype=object),
    "rooms": np.array([1, 2, 2, 5] * 10),
}


def fit(columns=COLUMNS, numeric=("size", "depth"), categorical=("color",), **options):
    return TablePreprocessor.fit(
        columns, numeric=numeric, categorical=categorical, **options
    )


class TestScaling:
    def test_standard(self):
        got = fit(scaling="standard").transform(COLUMNS)["numeric"]
        assert got.dtype == np.float32
        for j, name in enumerate(("size", "depth")):
            x = COLUMNS[name]
            want = (x - sum(x) / 40) / np.sqrt(sum((x - sum(x) / 40) ** 2) / 40)
            np.testing.assert_allclose(got[:, j], want, rtol=1e-6)

    def test_robust(self):
        """Median and quartiles of 0..8 and an outlier, then x / sqrt(1 + (x/3)^2)."""
        x = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 1000])
        fitted = fit({"x": x}, ("x",), (), scaling="robust")
        assert fitted.center == (4.0,)
        assert fitted.scale == (4.0,)
        u = (x - 4) / 4
        want = u / np.sqrt(1 + (u / 3) ** 2)
        got = fitted.transform({"x": x})["numeric"][:, 0]
        np.testing.assert_allclose(got, want, rtol=1e-6)
        assert abs(got).max() < 3

    def test_robust_where_the_quartiles_coincide(self):
        """Half of the range stands in: ten zeros and a 4."""
        x = np.array([0.0] * 10 + [4.0])
        fitted = fit({"x": x}, ("x",), (), scaling="robust")
        assert fitted.scale == (2.0,)
        got = fitted.transform({"x": x})["numeric"][-1, 0]
        np.testing.assert_allclose(got, 2 / np.sqrt(1 + 4 / 9), rtol=1e-6)

    @pytest.mark.parametrize("scaling", ["standard", "robust"])
    @pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7, -2.7e5, 1e-9])
    @pytest.mark.parametrize("rows", [1, 3, 10, 1000])
    def test_a_constant_column_gets_scale_one(self, scaling, value, rows):
        x = np.full(rows, value)
        fitted = fit({"x": x}, ("x",), (), scaling=scaling)
        assert fitted.scale == (1.0,)
        got = fitted.transform({"x": x})["numeric"]
        np.testing.assert_allclose(got, 0.0, atol=1e-6)

    def test_integers_are_numbers(self):
        fitted = fit(numeric=("rooms",), categorical=(), scaling="standard")
        assert fitted.center == (2.5,)
        assert fitted.scale == (1.5,)

    def test_unknown(self):
        with pytest.raises(InputError, match="'standard' or 'robust', got 'minmax'"):
            fit(scaling="minmax")


class TestCategories:
    def test_codes(self):
        fitted = fit()
        assert fitted.values == (("blue", "green", "red"),)
        assert fitted.cardinalities == (4,)
        got = fitted.transform(COLUMNS)["categorical"]
        assert got.dtype == np.int32
        assert got[:4, 0].tolist() == [3, 1, 2, 1]

    def test_values_not_seen_in_training_are_0(self):
        rows = {**COLUMNS, "color": np.array(["pink", "red"] * 20, dtype=object)}
        assert fit().transform(rows)["categorical"][:2, 0].tolist() == [0, 3]

    @pytest.mark.parametrize(
        "values", [[1, 2, 2, 5], [1.0, 2.5, 2.5, 0.1], [True, False, False, True]]
    )
    def test_numbers_as_categories(self, values):
        columns = {"k": np.array(values)}
        fitted = fit(columns, (), ("k",))
        assert fitted.cardinalities == (len(set(values)) + 1,)
        got = fitted.transform(columns)["categorical"][:, 0]
        order = sorted(map(str, set(values)))
        assert got.tolist() == [order.index(str(v)) + 1 for v in values]
        assert fitted.transform(columns)["numeric"].shape == (4, 0)

    def test_a_column_may_be_both(self):
        fitted = fit(numeric=("rooms",), categorical=("color", "rooms"))
        got = fitted.transform(COLUMNS)
        assert got["numeric"].shape == (40, 1)
        assert got["categorical"][:4].tolist() == [[3, 1], [1, 2], [2, 2], [1, 3]]
        assert fitted.cardinalities == (4, 4)


class TestEdges:
    def test_training_quantiles_of_standardised_columns(self):
        fitted = fit(scaling="standard", quantiles=4)
        x = fitted.transform(COLUMNS)["numeric"]
        for j in range(2):
            want = np.quantile(x[:, j], [0, 0.25, 0.5, 0.75, 1])
            np.testing.assert_allclose(fitted.edges[j], want, rtol=1e-5)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 8))
    def test_they_ascend_and_are_distinct(self, values, quantiles):
        columns = {"x": np.array(values, np.float64)}
        for scaling in ("standard", "robust"):
            fitted = fit(columns, ("x",), (), scaling=scaling, quantiles=quantiles)
            (edges,) = fitted.edges
            assert 1 <= len(edges) <= quantiles + 1
            assert (np.diff(edges) > 0).all()

    def test_none_by_default(self):
        assert fit().edges == ((), ())


def test_extra_columns_are_ignored_and_missing_ones_named():
    fitted, rows = fit(), {**COLUMNS, "extra": np.zeros(40)}
    for part, want in fitted.transform(COLUMNS).items():
        np.testing.assert_array_equal(fitted.transform(rows)[part], want)
    del rows["depth"]
    with pytest.raises(InputError, match="must have the column 'depth'"):
        fitted.transform(rows)


@pytest.mark.parametrize("scaling", ["standard", "robust"])
@pytest.mark.parametrize("quantiles", [0, 5])
def test_round_trip_through_json(scaling, quantiles):
    categorical = ("color", "rooms")
    fitted = fit(categorical=categorical, scaling=scaling, quantiles=quantiles)
    text = json.dumps(fitted.to_json(), allow_nan=False)
    back = TablePreprocessor.from_json(json.loads(text))
    assert back == fitted
    for part, want in fitted.transform(COLUMNS).items():
        np.testing.assert_array_equal(back.transform(COLUMNS)[part], want)


CSV = "size,color,label,split\n" + "\n".join(
    f"{i * 0.3:.1f},{'ab'[i % 2]},{i % 5},{('train', 'train', 'val', 'test')[i % 4]}"
    for i in range(40)
)


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_val_and_test_rows_teach_nothing(tmp_path, scaling):
    """Other values in val and test leave every training number as it is."""
    lines = CSV.splitlines()
    other = [
        line if line.endswith(("train", "split")) else f"1e6,zzz,4,{line.split(',')[3]}"
        for line in lines
    ]
    made = []
    for name, text in (("a.csv", lines), ("b.csv", other)):
        (tmp_path / name).write_text("\n".join(text))
        made.append(
            table.load(
                "mine",
                tmp_path / name,
                label_rules.Rules(label="label", bin_width=1.0),
                scaling=scaling,
                quantiles=3,
                both=5,
            )
        )
    one, two = made
    assert one.record["content"] != two.record["content"]
    assert {**one.record, "content": ""} == {**two.record, "content": ""}
    np.testing.assert_array_equal(one.spec.counts, two.spec.counts)
    assert one.spec.label_mean == two.spec.label_mean
    for part in ("numeric", "categorical"):
        np.testing.assert_array_equal(
            one.splits["train"].inputs[part], two.splits["train"].inputs[part]
        )
    assert (two.splits["val"].inputs["categorical"][:, 0] == 0).all()
