"""Fields on the command line: unknown ones, lists, and what can be pasted."""

import ast
import pathlib
import re
import shlex

import pytest
from ml_collections import ConfigDict, config_dict

from dirjax import errors, sweep
from dirjax.cli import config_files
from dirjax.config import fields
from dirjax.configs import common
from tests import commands, runs

ROOT = pathlib.Path(__file__).resolve().parents[2]


def config():
    made = config_files.load("configs/bikeshare.py", "lds")
    made.lock()
    return made


def refused(*args):
    with pytest.raises(errors.InputError) as raised:
        config_files._fitted(["main", *args], config())
    return str(raised.value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("epochs=5", "--config.stage.main.epochs=5?"),
        ("wd=0.1", "--config.stage.main.weight_decay=0.1?"),
        ("data.pth=a", "--config.data.path=a?"),
        ("stage.main.epoch=3", "--config.stage.main.epochs=3?"),
        ("data.labl=my label", "'--config.data.label=my label'?"),
    ],
)
def test_meant_in_any_branch_and_can_be_pasted(typed, meant):
    assert f"Did you mean {meant}" in refused(f"--config.{typed}")


def test_learning_rate_by_its_initials():
    line = refused("--config.lr=0.1")
    assert "the config has no field lr." in line
    assert "--config.stage.main.learning_rate=0.1" in line


def test_nothing_like_it():
    assert "Did you mean" not in refused("--config.zzzz=1")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("my column, b c", ("my column", "b c")),
        ('"a,b",c', ("a,b", "c")),
        ("?,-999", ("?", "-999")),
        ("('a,b', 'c')", ("a,b", "c")),
    ],
)
@pytest.mark.parametrize("form", ["=", " "])
def test_lists(typed, read, form):
    words = [f"--config.data.drop={typed}"]
    if form == " ":
        words = ["--config.data.drop", typed]
    *_, last = config_files._fitted(["main", *words], config())
    value = last.partition("=")[2] if form == "=" else last
    assert ast.literal_eval(value) == read


def test_other_fields_stay_as_typed():
    words = ["main", "--config.data.label=a,b", "--config.data.label_range=0,5"]
    assert config_files._fitted(words, config()) == words


@pytest.mark.parametrize(
    "names", [("a",), ("my column", "b"), ("a,b", "it's"), ("$x",)]
)
def test_a_setting_can_be_pasted(names):
    (word,) = shlex.split(errors.setting("data.drop", *names))
    *_, last = config_files._fitted(["main", word], config())
    assert ast.literal_eval(last.partition("=")[2]) == names


def test_advice_in_sentences_can_be_pasted():
    """`Set data.many=20` would have to be completed by whoever reads it."""
    short = re.compile(r"\b([sS]et|[uU]se|[tT]ry|with)[ (]+(data|model|stage)\.\w+=")
    for file in (ROOT / "dirjax").glob("*/**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not short.search(node.value), f"{file}:{node.lineno}"


def test_a_missing_file_suggests_the_nearest():
    with pytest.raises(errors.InputError, match=r"Did you mean configs/bikeshare\.py"):
        config_files.find("configs/bikshare.py")


def test_an_error_of_a_config_file_is_one_sentence(tmp_path, capsys):
    words = ("--config", "configs/studies/group_grid.py:nowhere", "--workdir")
    assert commands.here(sweep.main, "sweep", *words, str(tmp_path / "run")) == 2
    assert capsys.readouterr().err.startswith("dirjax: --config must be a file, ")


def test_an_error_without_words_has_its_name(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("def get_config(argument=None):\n    assert argument\n")
    words = ("--config", str(file), "--workdir", str(tmp_path / "run"))
    assert commands.here(sweep.main, "sweep", *words) == 2
    said = "dirjax: --config raises AssertionError; --debug shows where.\n"
    assert capsys.readouterr().err == said


class TestFields:
    """A field that nothing reads is refused, from one's own config file, too."""

    def refused(self, change):
        made = common.table()
        change(made)
        with pytest.raises(errors.InputError) as raised:
            fields.check(common.finish(made, "vanilla").to_dict())
        return str(raised.value)

    def test_data(self):
        def change(made):
            made.data.pth = "my.csv"

        line = self.refused(change)
        assert "nothing reads, data.pth. Did you mean data.path?" in line

    def test_stages(self):
        def change(made):
            made.stage.main.lr = 0.1

        assert "stage.main.lr. Did you mean stage.main.learning_rate?" in (
            self.refused(change)
        )

    def test_the_top(self):
        def change(made):
            made.sed = 1

        assert "nothing reads, sed. Did you mean seed?" in self.refused(change)

    def test_a_table_of_a_table(self):
        def change(made):
            made.data.augment.flipp = True

        assert "Did you mean data.augment.flip?" in self.refused(change)

    def test_what_makers_check_is_theirs(self):
        made = common.table()
        made.model.encoder.anything = 1
        made.data.shot_lists = ConfigDict({"many": (0, 1)})
        made.groups = ConfigDict({"num": 3})
        fields.check(common.finish(made, "group_dir").to_dict())

    def test_parameters_of_the_reader(self):
        for name in ("nyud2_dir", "stsb_dir"):
            made = config_files.load(f"configs/{name}.py", "vanilla")
            assert {"depth", "text"} & set(made.data)
            fields.check(made.to_dict())

    def test_placeholders_and_presets(self):
        made = common.get_config()
        made.data.weight = config_dict.placeholder(str)
        fields.check(common.finish(made, "frobenius").to_dict())
        fields.check(runs.tiny("group_dir,smoke"))
