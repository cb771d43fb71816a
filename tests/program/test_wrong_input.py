"""Wrong input of one's own: exit 2, one sentence, and nothing on disk has changed.

What concerns flags alone is in config/test_presets.py, cli/test_status.py and
test_train.py.
"""

import json
import re

import pytest

from dirjax.config import frozen
from tests import commands, own_data, runs
from tests.own_data import ROWS, changed, table
from tests.program.wrong_arrays import ARRAYS, IMAGES
from tests.program.wrong_tables import TABLES

CASES = {
    f"{kind}: {name}": case
    for kind, cases in (("table", TABLES), ("array", ARRAYS), ("image", IMAGES))
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_a_sentence_and_nothing_is_changed(name, tmp_path, capsys):
    case = CASES[name]
    for file, content in case.files.items():
        own_data.write(tmp_path, file, content)
    path = tmp_path / (case.path or next(iter(case.files), ""))
    # A run that should not have begun is short, at least.
    short = {"stage__main__steps": 4, "train__chunk": 2}
    made = own_data.config(path, case.config, **short | case.fields)
    own_data.write(tmp_path, "run/notes.txt", "what was there before")
    before = own_data.snapshot(tmp_path)
    line = own_data.sentence(capsys, lambda: own_data.trained(made, tmp_path / "run"))
    for pattern in case.said:
        assert re.search(pattern, line), line
    assert own_data.snapshot(tmp_path) == before


class TestDirectory:
    def test_of_another_config(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", table())
        before = own_data.config(file, seed=3, stage__main__learning_rate=0.5)
        own_data.write(tmp_path, "run/config.json", json.dumps(before))
        own_data.write(tmp_path, "run/metrics.jsonl", '{"step": 1}\n')
        disk = own_data.snapshot(tmp_path)
        now = own_data.config(file, seed=4, data__label="x")
        line = own_data.sentence(
            capsys, lambda: own_data.trained(now, tmp_path / "run")
        )
        for word in (
            "holds a run with a different config",
            "seed 3 -> 4",
            "data.label 'y' -> 'x'",
            "stage.main.learning_rate 0.5 -> 0.002",
            "another --workdir",
        ):
            assert word in line
        assert "batch_size" not in line
        assert own_data.snapshot(tmp_path) == disk

    def test_that_is_a_file(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", table())
        disk = own_data.snapshot(tmp_path)
        made = own_data.config(file)
        line = own_data.sentence(capsys, lambda: own_data.trained(made, file))
        assert re.search(r"--workdir must be a directory, .*mine\.csv is a file", line)
        assert own_data.snapshot(tmp_path) == disk

    def test_with_a_config_that_is_none(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", table())
        own_data.write(tmp_path, "run/config.json", '{"seed": ')
        disk = own_data.snapshot(tmp_path)
        made = own_data.config(file)
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"config\.json is no config.*another --workdir", line)
        assert own_data.snapshot(tmp_path) == disk

    def test_with_a_result_that_is_none(self, tmp_path, capsys):
        made = own_data.config(own_data.write(tmp_path, "mine.csv", table()))
        own_data.write(tmp_path, "run/config.json", json.dumps(frozen.to_json(made)))
        own_data.write(tmp_path, "run/result.json", '{"test": ')
        disk = own_data.snapshot(tmp_path)
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"result\.json is damaged .*Delete it", line)
        assert own_data.snapshot(tmp_path) == disk

    def test_that_is_new_is_not_made(self, tmp_path, capsys):
        file = own_data.write(tmp_path, "mine.csv", changed(61, "0.1,r,seven"))
        disk = own_data.snapshot(tmp_path)
        made = own_data.config(file)
        own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "new" / "run")
        )
        assert own_data.snapshot(tmp_path) == disk


class TestCommand:
    """The same by the command itself."""

    # Its like is in test_train.py.
    @pytest.mark.slow
    def test_wrong_input(self, tmp_path):
        file = own_data.write(tmp_path, "mine.csv", changed(61, "0.1,r,seven"))
        disk = own_data.snapshot(tmp_path)
        done = commands.run(
            *("-m", "dirjax.main", "--config=configs/csv.py:lds"),
            *(f"--config.data.path={file}", "--config.data.label=y"),
            f"--workdir={tmp_path / 'run'}",
        )
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert re.search(r"^dirjax: 'y' must hold numbers, row 61 of .*'seven'", line)
        assert own_data.snapshot(tmp_path) == disk

    @pytest.mark.slow
    def test_what_the_sentences_say_helps(self, tmp_path):
        rows = [f"{-999 if i % 9 == 4 else i},2024-01-02,{i % 10}" for i in range(60)]
        rows[7] = "1,2024-01-02,seven"
        file = own_data.write(tmp_path, "mine.csv", table(rows, "x,when,y"))
        done = commands.run(
            *("-m", "dirjax.main", "--config=configs/csv.py:lds"),
            *(f"--config.data.path={file}", "--config.data.label=y"),
            *("--config.data.drop=when", "--config.data.missing=-999"),
            *("--config.data.on_bad=skip", "--config.stage.main.steps=4"),
            *("--config.model.encoder.width=8", "--config.model.encoder.depth=1"),
            f"--workdir={tmp_path / 'run'}",
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        # What was found is printed: gaps that are filled, rows that are left out.
        assert re.search(r"filled and marked by indicators: 'x'", done.stdout)
        assert re.search(r"rows left out: 1 text in a numeric column", done.stdout)


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """The folder of a run that left rows out."""
    folder = tmp_path_factory.mktemp("skip")
    rows = [*ROWS, "1,r", "1,r,5,5", "abc,r,5", "1,r,", "1,r,inf", "-inf,r,5"]
    file = own_data.write(folder, "mine.csv", table(rows))
    made = own_data.config(file, data__on_bad="skip", **own_data.TINY)
    runs.run(made, folder / "run")
    return folder


class TestSkip:
    @pytest.mark.slow
    def test_the_result_counts_rows_by_reason(self, skipping):
        result = json.loads((skipping / "run" / "result.json").read_text())
        assert result.get("skipped") == {
            "row length": 2,
            "text in a numeric column": 1,
            "no label": 2,
            "infinite feature": 1,
        }

    def test_the_other_rows_are_used(self, skipping):
        source = own_data.load(skipping / "mine.csv", on_bad="skip")
        assert own_data.whole(source, "index").tolist() == list(range(60))

    def test_nothing_is_skipped_of_a_good_table(self, tmp_path):
        file = own_data.write(tmp_path, "mine.csv", table())
        source = own_data.load(file, on_bad="skip")
        assert not source.skipped
        assert "left out" not in own_data.notes(source)

    def test_nothing_left_is_a_sentence(self, tmp_path, capsys):
        rows = [f"{i},r," for i in range(60)]
        file = own_data.write(tmp_path, "mine.csv", table(rows))
        made = own_data.config(file, data__on_bad="skip")
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"mine\.csv has no usable row", line)

    def test_no_training_row_left_is_a_sentence(self, tmp_path, capsys):
        rows = [f"{i},{'' if i < 50 else i},{'tv'[i > 49]}" for i in range(60)]
        text = table(rows, "x,y,split").replace(",t\n", ",train\n")
        file = own_data.write(tmp_path, "mine.csv", text.replace(",v\n", ",val\n"))
        made = own_data.config(file, data__on_bad="skip")
        line = own_data.sentence(
            capsys, lambda: own_data.trained(made, tmp_path / "run")
        )
        assert re.search(r"no training row is left of .*mine\.csv", line)
