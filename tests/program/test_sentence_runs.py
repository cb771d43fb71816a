"""Runs on pairs of sentences, and predictions of new ones."""

import csv
import re
import shutil

import numpy as np
import pytest

from dirjax import evaluate, predict
from dirjax.training import build as build_lib
from tests import own_data, runs

pytestmark = pytest.mark.usefixtures("read_once")


def config(folder, method, **fields):
    fields = own_data.TINY | own_data.TEXT | {"data__path": str(folder)} | fields
    fields["model__encoder"] = {"width": 2, "depth": 1}
    made = runs.config("stsb_dir", method, **fields)
    for stage in made["stage"].values():
        stage["steps"] = 4
    return made


@pytest.fixture(scope="session")
def folder(shared):
    """Files, and a finished run on them."""

    def make(folder):
        own_data.write_sentences(folder)
        runs.run(config(folder, "vanilla"), folder / "vanilla")

    return shared("sentences", make)


@pytest.fixture
def vanilla(folder):
    return runs.result(folder / "vanilla"), folder / "vanilla"


def stored(workdir):
    with np.load(workdir / "predictions.npz") as found:
        return found["prediction"], found["label"]


@pytest.mark.slow
class TestRuns:
    def test_vanilla(self, vanilla):
        result, workdir = vanilla
        assert (result["dataset"], result["method"]) == ("stsb_dir", "vanilla")
        prediction, label = stored(workdir)
        mse = ((prediction - label) ** 2).mean()
        np.testing.assert_allclose(result["test"]["mse"]["all"], mse, rtol=1e-5)
        again = evaluate.evaluate(workdir)
        assert again["test"]["mse"] == pytest.approx(result["test"]["mse"])

    @pytest.mark.parametrize("method", ["random_noise"])
    def test_other_objectives_fit(self, folder, method):
        """They are traced, which finds what does not."""
        made, _ = runs.built(config(folder, method))
        assert made.spec.feature_dim == 16
        assert made.network.domain.split(build_lib._example(made.network, made.source))[
            0
        ].shape == (1, 2, 6, 3)

    def test_a_run_goes_on_from_another_with_the_same_words_only(
        self, vanilla, folder, capsys
    ):
        made = config(folder, "vanilla", data__seed=1, init_from=str(vanilla[1]))
        line = own_data.sentence(capsys, lambda: runs.run(made, folder / "other"))
        assert "(vectors)" in line


def answers(workdir, path, **options):
    output = workdir / "out.csv"
    predict.predict(workdir, path, output, **options)
    with output.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
class TestPredict:
    def test_as_in_evaluation_without_training_data(self, vanilla, folder, tmp_path):
        _, workdir = vanilla
        file = shutil.copy(folder / "test_new.tsv", tmp_path / "new.tsv")
        run = shutil.copytree(workdir, tmp_path / "run")
        text = (run / "config.json").read_text()
        assert str(folder) in text
        text = text.replace(str(folder), str(tmp_path / "none"))
        (run / "config.json").write_text(text)
        found = answers(run, file, keep=("score",))
        assert [row["index"] for row in found] == [str(i) for i in range(24)]
        got = [float(row["prediction"]) for row in found]
        prediction, label = stored(workdir)
        np.testing.assert_allclose(got, prediction, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose([float(row["score"]) for row in found], label)

    def test_commas_quoting_and_new_words(self, vanilla, tmp_path):
        text = 'sentence2,sentence1\n"a ""red"" dog, Mr. x","a cat"\n,a man\n'
        file = own_data.write(tmp_path, "new.csv", text)
        said = r"row 3 of .*'sentence2'.*skip"
        with pytest.raises(predict.errors.InputError, match=said):
            answers(vanilla[1], file)
        one, two = answers(vanilla[1], file, on_bad="skip")
        assert np.isfinite(float(one["prediction"]))
        assert not two["prediction"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("a,b\n1,2\n", r"no column 'sentence1' .*trained with it"),
            ("sentence1\tsentence2\na\tb\tc\n", r"have 2 cells .* row 2 .* has 3"),
            (own_data.to_npz(x=[1]), r"pairs of sentences, --input must be a table"),
            (None, r"columns sentence1 and sentence2, got"),
        ],
        ids=["columns", "row", "npz", "folder"],
    )
    def test_wrong_input(self, vanilla, tmp_path, capsys, content, said):
        path = tmp_path / "new"
        if content is None:
            path.mkdir()
        else:
            own_data.write(tmp_path, "new", content)
        output = tmp_path / "out.csv"
        line = own_data.sentence(
            capsys, lambda: predict.predict(vanilla[1], path, output)
        )
        assert re.search(said, line), line
        assert not output.exists()
