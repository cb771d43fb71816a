"""Runs on pairs of embeddings, and predictions of new ones."""

import csv
import re

import numpy as np
import pytest

from dirjax import predict
from tests import own_data, runs

pytestmark = pytest.mark.usefixtures("read_once")


def train(folder, method):
    fields = own_data.TINY | {"data__path": str(folder)}
    made = runs.config("stsb_dir", f"{method},embeddings", **fields)
    for stage in made["stage"].values():
        stage["steps"] = 4
    workdir = folder / method
    return runs.run(made, workdir), workdir


@pytest.fixture(scope="session")
def folder(shared):
    """Arrays, and a finished run on them."""

    def make(folder):
        arrays = own_data.to_npz(**own_data.pairs())
        own_data.write(folder, "minilm_l6_v2_embeddings.npz", arrays)
        train(folder, "vanilla")

    return shared("pairs", make)


@pytest.fixture
def vanilla(folder):
    return runs.result(folder / "vanilla"), folder / "vanilla"


def errors(workdir):
    with np.load(workdir / "predictions.npz") as found:
        return found["prediction"] - found["label"]


class TestRuns:
    def test_vanilla(self, vanilla):
        result, workdir = vanilla
        assert (result["dataset"], result["method"]) == ("stsb_dir", "vanilla")
        assert result["select"]["metric"] == "mse"
        mse = result["test"]["mse"]["all"]
        np.testing.assert_allclose(mse, (errors(workdir) ** 2).mean(), rtol=1e-5)

    @pytest.mark.slow
    def test_ssir_moves_both_embeddings_by_epsilon_together(self, folder):
        _, workdir = train(folder, "ssir")
        last = runs.log(workdir)[-1]
        np.testing.assert_allclose(last["ssir/noise"], 1e-3, rtol=1e-4)
        np.testing.assert_allclose(last["ssir/moved"], 1e-3, rtol=1e-3)

    @pytest.mark.slow
    @pytest.mark.parametrize("method", ["fds", "group_dir"])
    def test_others_end(self, folder, method):
        result, workdir = train(folder, method)
        assert result["method"] == method
        assert np.isfinite(errors(workdir)).all()
        assert result["test"]["count"]["all"] == 24


def answers(workdir, path, **options):
    output = workdir / "out.csv"
    predict.predict(workdir, path, output, **options)
    with output.open() as file:
        return list(csv.DictReader(file))


class TestPredict:
    def test_as_in_evaluation_by_name_and_row(self, vanilla, folder):
        _, workdir = vanilla
        found = answers(workdir, folder / "minilm_l6_v2_embeddings.npz")
        assert len(found) == 72 + 24 + 24
        test = [row for row in found if row["part"] == "test_new"]
        assert [row["index"] for row in test] == [str(i) for i in range(24)]
        with np.load(workdir / "predictions.npz") as stored:
            want = stored["prediction"]
        got = [float(row["prediction"]) for row in test]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)

    def test_new_pairs_need_no_scores(self, vanilla, tmp_path):
        old = own_data.pairs()
        new = {f"mine_{i}": old[f"test_new_{i}"] for i in (1, 2)}
        new["mine_1"][3] = np.nan
        file = own_data.write(tmp_path, "new.npz", own_data.to_npz(**new, other=[1]))
        with pytest.raises(predict.errors.InputError, match=r"row 3 of mine in .*skip"):
            answers(vanilla[1], file)
        found = answers(vanilla[1], file, on_bad="skip")
        assert {row["part"] for row in found} == {"mine"}
        assert [i for i, row in enumerate(found) if not row["prediction"]] == [3]

    @pytest.mark.parametrize(
        ("arrays", "options", "said"),
        [
            ({"x": np.ones((4, 6))}, {}, r"no array 'NAME_1'; it has x"),
            ({"a_1": np.ones((4, 6))}, {}, r"no array 'a_2'; it has a_1"),
            (
                {"a_1": np.ones((4, 5)), "a_2": np.ones((4, 5))},
                {},
                r"6 values, as in training; those of 'a' in .*new\.npz have 5",
            ),
            (own_data.pairs(), {"keep": ("score",)}, "--keep needs a table"),
            (None, {}, r"takes pairs of embeddings, .* is a folder"),
        ],
    )
    def test_wrong_input(self, vanilla, tmp_path, capsys, arrays, options, said):
        path = tmp_path / "new.npz"
        if arrays is None:
            path.mkdir()
        else:
            own_data.write(tmp_path, "new.npz", own_data.to_npz(**arrays))
        output = tmp_path / "out.csv"
        line = own_data.sentence(
            capsys, lambda: predict.predict(vanilla[1], path, output, **options)
        )
        assert re.search(said, line), line
        assert not output.exists()
