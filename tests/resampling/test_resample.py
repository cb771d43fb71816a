"""SMOTER and SMOGN on whole tables: what is kept, what is made, what is refused."""

import numpy as np
import pytest

from dirjax import resampling
from dirjax.resampling import distances, synthetic
from tests.resampling import reference


def skewed(rows=300, seed=0):
    """A table whose labels are outliers on both sides; the last column are codes."""
    rng = np.random.default_rng(seed)
    X = np.concatenate(
        [rng.normal(size=(rows, 3)), rng.integers(0, 3, (rows, 1))], axis=1
    )
    return X, X[:, 0] + rng.standard_t(2, size=rows)


BOTH = pytest.mark.parametrize("method", [resampling.smoter, resampling.smogn])


@BOTH
def test_rare_rows_stay_and_all_sizes_are_equal(method):
    X, y = skewed()
    found = method(X, y, categorical=[3])
    old, new = ~found.synthetic, found.synthetic
    np.testing.assert_array_equal(found.X[old], X[found.seed[old]])
    np.testing.assert_array_equal(found.y[old], y[found.seed[old]])
    assert len(np.unique(found.seed[old])) == old.sum()
    parts = reference.bumps(y.tolist(), phi_of(y), 0.5)
    low, common, high = map(np.array, parts)
    assert np.isin([*low, *high], found.seed[old]).all()
    in_parts = [np.isin(found.seed, part).sum() for part in parts]
    assert in_parts == [100, 100, 100]
    assert not np.isin(found.seed[new], common).any()
    made = np.bincount(found.seed[new], minlength=300)
    assert np.ptp(made[low]) <= 1
    assert np.ptp(made[high]) <= 1
    again = method(X, y, categorical=[3])
    np.testing.assert_array_equal(again.X, found.X)
    assert (method(X, y, categorical=[3], seed=1).X != found.X).any()
    whole = method(X, y, categorical=[3], under_sample=False)
    np.testing.assert_array_equal(whole.X[: len(X)], X)


def phi_of(y):
    """Relevance by the box plot, label by label."""
    first, third = np.quantile(y, [0.25, 0.75], method="midpoint")
    median, reach = np.median(y), 1.5 * (third - first)
    inside = [v for v in y if first - reach <= v <= third + reach]
    ends = min(inside), max(inside)
    found = []
    for v in y:
        t = (v - median) / ((ends[1] if v > median else ends[0]) - median)
        t = min(t, 1.0)
        found.append(t * t * (3 - 2 * t))
    return found


def test_smoter_rows_lie_between_their_seed_and_a_neighbour():
    X, y = skewed()
    found = resampling.smoter(X, y, categorical=[3], neighbors=3)
    span = [*np.ptp(X[:, :3], axis=0), 1]
    numeric = [True] * 3 + [False]
    parts = reference.bumps(y.tolist(), phi_of(y), 0.5)
    for new in np.flatnonzero(found.synthetic)[::7]:
        seed = found.seed[new]
        part = next(p for p in parts if seed in p)
        order = sorted(
            (j for j in part if j != seed),
            key=lambda j: reference.heom(X[seed], X[j], numeric, span),
        )
        fits = []
        for j in order[:3]:
            way = X[j, :3] - X[seed, :3]
            share = (found.X[new, :3] - X[seed, :3]) / way
            on_it = np.ptp(share) < 1e-6 and -1e-9 <= share[0] <= 1 + 1e-9
            pair = (X[seed], X[j], found.X[new], y[seed], y[j])
            label = reference.label(*pair, numeric, span)
            fits.append(on_it and abs(label - found.y[new]) < 1e-9)
        assert any(fits)


def test_smogn_adds_noise_where_the_neighbour_is_far():
    """Two clusters of one segment: near rows are interpolated, lone ones get noise."""
    rng = np.random.default_rng(3)
    near = rng.normal(size=(30, 2))
    lone = np.array([[40.0, 40.0]])
    segment = synthetic.Rows(
        np.concatenate([near, lone]), np.zeros((31, 0), int), np.arange(31.0)
    )
    span = np.ptp(segment.numeric, axis=0)
    made, seeds = synthetic.synthesise(
        segment,
        31 * 40,
        rng,
        scale=span,
        neighbors=5,
        steps="row",
        perturbation=0.02,
    )
    alone = made.numeric[seeds == 30] - lone
    # Its neighbours are as far as the median: deviation 0.02 of that of the columns.
    width = 0.02 * segment.numeric.std(axis=0)
    assert (np.abs(alone) < 6 * width).all()
    np.testing.assert_allclose(alone.std(axis=0), width, rtol=0.4)
    label = made.label[seeds == 30] - 30
    np.testing.assert_allclose(label.std(), 0.02 * segment.label.std(), rtol=0.4)
    table = distances.points(segment.numeric, segment.codes, span)
    half = distances.half_medians(table, np.arange(31), rng)
    # A larger deviation is that of half the median distance.
    widths = []
    for perturbation in (2.0, 200.0):
        wide, seeds_of = synthetic.synthesise(
            segment,
            31 * 40,
            np.random.default_rng(4),
            scale=span,
            neighbors=5,
            steps="row",
            perturbation=perturbation,
        )
        widths.append((wide.numeric[seeds_of == 30] - lone).std(axis=0))
    assert half[30] < 2.0
    np.testing.assert_array_equal(*widths)
    np.testing.assert_allclose(
        widths[0], half[30] * segment.numeric.std(axis=0), rtol=0.4
    )
    close = distances.neighbours(table, 5)
    away = np.sqrt(distances.squares(table, table))
    reach = np.take_along_axis(away, close, axis=1) < half[:, None]
    inner = np.flatnonzero(reach.all(axis=1))
    assert len(inner)
    for i in inner:  # all its rows are on the way to a neighbour
        ways = segment.numeric[close[i]] - segment.numeric[i]
        x, y = (made.numeric[seeds == i] - segment.numeric[i]).T[:, :, None]
        cross = x * ways[None, :, 1] - y * ways[None, :, 0]
        assert (np.abs(cross).min(axis=1) < 1e-9).all()


@BOTH
def test_one_rare_row_and_equal_rows_are_no_trouble(method):
    X = np.concatenate([np.zeros((20, 2)), [[1.0, 5.0]]])
    y = np.array([0.0] * 20 + [9.0])
    found = method(X, y, control_points=[(0, 0), (9, 1)])
    made = found.synthetic
    assert made.sum() == 9
    np.testing.assert_array_equal(found.X[made], [[1.0, 5.0]] * 9)
    assert (found.y[made] == 9).all()
    alike = method(np.ones((21, 2)), y + np.arange(21) / 21, relevance="density")
    assert (alike.X == 1).all()


def test_columns_without_negative_values_keep_none():
    rng = np.random.default_rng(0)
    X = np.stack([rng.exponential(size=200), rng.normal(size=200)], axis=1)
    y = rng.lognormal(sigma=1.5, size=200)
    found = resampling.smogn(X, y, perturbation=5.0, neighbors=40)
    made = found.X[found.synthetic]
    assert (made[:, 0] >= 0).all()
    assert (made[:, 0] == 0).any()
    assert (made[:, 1] < 0).any()
    assert (found.y >= 0).all()


def test_relevance_of_ones_own_and_by_density():
    X, y = skewed()
    own = resampling.smoter(X, y, relevance=np.asarray(phi_of(y)))
    np.testing.assert_allclose(own.X, resampling.smoter(X, y).X)
    dense = resampling.smoter(X, y, relevance="density", threshold=0.8)
    assert len(dense.y) == 300


class Frame:
    """What a data frame of pandas does here, of numpy arrays."""

    def __init__(self, columns_of, columns=None):
        del columns
        self._of = {k: np.asarray(v) for k, v in columns_of.items()}
        self.columns = list(self._of)
        self.iloc = self

    def __getitem__(self, key):
        if isinstance(key, tuple):
            return self._of[self.columns[key[1]]]
        return self._of[key]

    def astype(self, dtypes):
        return Frame({k: v.astype(dtypes[k]) for k, v in self._of.items()})


def frame(make):
    rng = np.random.default_rng(0)
    place = np.array(["north", "south", None], object)[rng.integers(0, 3, 120)]
    columns = {
        "size": rng.normal(size=120),
        "rooms": rng.integers(1, 9, 120),
        "place": place,
    }
    return make(columns), rng.lognormal(size=120)


@pytest.mark.parametrize("make", [Frame, "pandas"])
def test_frames_keep_columns_types_and_values(make):
    if make == "pandas":
        make = pytest.importorskip("pandas").DataFrame
    X, y = frame(make)
    found = resampling.smogn(X, y)
    assert type(found.X) is make
    assert list(found.X.columns) == ["size", "rooms", "place"]
    assert found.X["rooms"].dtype == X["rooms"].dtype
    assert found.synthetic.any()
    known = set(map(str, X["place"]))
    assert set(map(str, found.X["place"])) <= known
    rooms = np.asarray(found.X["rooms"])
    assert rooms.min() >= 1
    assert rooms.max() <= 8


def test_types_of_pandas_and_arrow_are_kept():
    pd = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    X, y = frame(pd.DataFrame)
    words = pd.array(["p", None, "q", "p"] * 30, dtype="string")
    X = X.assign(
        nullable=pd.array(range(120), dtype="Int64"),
        real=pd.array(y, dtype="Float64"),
        small=pd.array([0, 255] * 60, dtype="UInt8"),
        arrow=pd.array(range(120), dtype=pd.ArrowDtype(pa.int64())),
        words=words,
        known=pd.array([True, None] * 60, dtype="boolean"),
        level=pd.Categorical(["a", "b", None] * 40),
    )
    found = resampling.smogn(X, y, perturbation=3.0)
    assert dict(found.X.dtypes) == dict(X.dtypes)
    old = ~found.synthetic
    pd.testing.assert_frame_equal(
        found.X[old], X.iloc[found.seed[old]].reset_index(drop=True)
    )
    assert set(found.X["words"].dropna()) == {"p", "q"}
    assert found.X["words"].isna().any()
    assert found.X["small"].between(0, 255).all()
    assert not found.X[["nullable", "real", "arrow"]].isna().any(axis=None)
    X.loc[3, "nullable"] = pd.NA
    with pytest.raises(ValueError, match="row 3 has nan in nullable"):
        resampling.smogn(X, y)
    table = pa.Table.from_pandas(X[["size", "place"]])
    made = resampling.smogn(table, pd.Series(y)).X
    assert list(made.columns) == ["size", "place"]
    assert len(made) == 120


def test_noise_stays_within_the_type_of_a_column():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    y = rng.lognormal(size=200)
    X = pd.DataFrame({"a": rng.choice([0, 255], 200).astype(np.uint8)})
    made = resampling.smogn(X, y, perturbation=5.0).X["a"]
    assert made.dtype == np.uint8
    # Rounded and kept within 0 to 255: around the corner, noise on 255 were small.
    assert (made == 255).sum() > 0.3 * len(made)
    half = (60000 * rng.choice([-1, 1], (200, 1))).astype(np.float16)
    assert np.isfinite(resampling.smogn(half, y, perturbation=5.0).X).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": np.arange(120).astype(str)}, "'id' of X has another value in each"),
        ({"when": np.arange(120).astype("M8[D]")}, "make it a number if it is a time"),
        ({"list": [[1]] * 120}, "'list' of X must hold numbers or categories"),
    ],
)
def test_columns_that_say_nothing_are_refused(change, said):
    pd = pytest.importorskip("pandas")
    X, y = frame(pd.DataFrame)
    with pytest.raises(ValueError, match=said):
        resampling.smogn(X.assign(**change), y)


def test_frames_that_are_not_clear_are_refused():
    pd = pytest.importorskip("pandas")
    X, y = frame(pd.DataFrame)
    with pytest.raises(ValueError, match="'size' names 2"):
        resampling.smogn(pd.concat([X, X[["size"]]], axis=1), y)
    with pytest.raises(ValueError, match="at least one column"):
        resampling.smogn(X[[]], y)
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match="toarray"):
        resampling.smogn(sparse.csr_matrix(np.ones((120, 2))), y)


@BOTH
def test_which_rows_are_kept_depends_on_labels_alone(method):
    X, y = skewed()
    few, many = (method(x, y) for x in (X[:, :1], X))
    old = ~few.synthetic
    np.testing.assert_array_equal(few.seed[old], many.seed[~many.synthetic])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X": np.full((4, 1), np.nan)}, "X must be finite"),
        ({"X": np.zeros(4)}, "X must have two axes"),
        ({"X": np.array([["a"]] * 4, object)}, "must hold numbers"),
        ({"X": np.array([[1], [2**60], [2], [3]])}, "row 1 has 1.15292e"),
        ({"X": np.array([[1.0], [2], [1e200], [3]])}, "within 1e.100, row 2 has 1e"),
        ({"X": np.zeros((4, 0))}, "at least one column, it has none"),
        ({"X": np.zeros((0, 1)), "y": []}, "one label for each of the 0 rows"),
        ({"y": [1, 2, 3]}, r"one label for each of the 4 rows.*got shape \(3,\)"),
        ({"y": [1, 2, 3, np.nan]}, "y must be finite.*row 3 has nan"),
        ({"y": [1, 1e300, 3, 4]}, "y must be .* within 1e.100, row 1 has 1e"),
        ({"y": ["a", "b", "c", "d"]}, "y must hold numbers"),
        ({"y": [1, 2, 3, 4]}, "nothing is rare"),
        ({"categorical": ["b"]}, "categorical must name columns"),
        ({"relevance": "auto"}, "relevance must be one of boxplot, density"),
        ({"relevance": [1, 2]}, "a number for each of the 4 labels, got shape"),
        ({"relevance": [0, 1, 2, 0]}, "relevance must be from 0 to 1, row 2 has 2"),
        ({"relevance": [0, np.nan, 1, 0]}, "from 0 to 1, row 1 has nan"),
        ({"neighbors": 0}, "neighbors must be a whole number from 1"),
        ({"neighbors": 1.5}, "neighbors must be a whole number from 1, got 1.5"),
        ({"threshold": "high"}, "threshold must be a number"),
        ({"amount": "much"}, "amount must be one of balance, extreme"),
        ({"distance": "l1"}, "distance must be one of"),
        ({"steps": "both"}, "steps must be one of"),
        ({"perturbation": 0.0}, "perturbation must be"),
        ({"perturbation": None}, "perturbation must be a number above 0, got None"),
        ({"neighbours": 3}, "Did you mean 'neighbors'"),
    ],
)
def test_wrong_input_is_refused(change, said):
    given = {"X": np.eye(4)[:, :1], "y": [1, 1, 1, 90], **change}
    if "amount" in change:
        given["control_points"] = [(1, 0), (90, 1)]
    with pytest.raises(ValueError, match=said):
        resampling.smogn(given.pop("X"), given.pop("y"), **given)
