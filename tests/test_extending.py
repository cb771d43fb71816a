"""docs/extending.md: its files and its commands, as they stand there."""

import json
import pathlib
import re
import shlex
import sys

import numpy as np
import pytest

from dirjax import dotted, evaluate, objectives, predict, train
from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.data import label_rules, labelling, new_rows, readers, row_checks, sources
from dirjax.errors import InputError
from dirjax.training.overview import overview
from tests import commands, runs

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^python -m .*$", PAGE, re.MULTILINE)
# Runs of the page in a few steps.
SHORT = {
    "stage.main.steps": 6,
    "train.chunk": 2,
    "log.every": 1,
    "data.batch_size": 32,
}
# And of the models that dirjax has.
SMALL = {"model.encoder.width": 8, "model.encoder.depth": 1}


def rows(count, seed):
    rng = np.random.default_rng(seed)
    speed, load = rng.gamma(2.0, size=count), rng.normal(size=count)
    wear = np.round(speed + 0.1 * load + 5, 3)
    table = zip(speed, load, wear, strict=True)
    return [{"speed": s, "load": x, "wear": w} for s, x, w in table]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the page and data for them."""
    made = tmp_path_factory.mktemp("extending")
    for name, content in FILES.items():
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(content)
    (made / "mine" / "l1.py").write_text("def make():\n    return None\n")
    lines = [",".join(map(str, r.values())) for r in rows(400, 0)]
    (made / "rows.csv").write_text("\n".join(["speed,load,wear", *lines]))
    (made / "rows.jsonl").write_text("\n".join(map(json.dumps, rows(400, 0))))
    new = [{k: v for k, v in r.items() if k != "wear"} for r in rows(5, 1)]
    (made / "new.jsonl").write_text("\n".join(map(json.dumps, new)))
    return made


@pytest.fixture
def inside(folder, monkeypatch):
    """As in that folder: modules of it can be imported."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "mine"]:
        del sys.modules[name]


def run(command):
    """Trains as a command of the page says, in a few steps."""
    words = shlex.split(command)[3:]
    path, _, argument = words[words.index("--config") + 1].partition(":")
    config = config_files.load(path, argument or None)
    given = dict(w[9:].split("=", 1) for w in words if w.startswith("--config."))
    config.lock()
    for name, value in given.items():
        before = config
        for part in name.split("."):
            before = before[part]
        kind = float if isinstance(before, float) else type(before)
        value = kind(value) if before is not None else value
        config.update_from_flattened_dict({name: value})
    config.update_from_flattened_dict(SHORT)
    if "." not in config.model.name:
        config.update_from_flattened_dict(SMALL)
    made = frozen.plain(config)
    workdir = pathlib.Path(words[words.index("--workdir") + 1])
    return made, train.train_and_evaluate(made, workdir, show="nothing"), workdir


def command_of(*words):
    (found,) = [c for c in COMMANDS if all(w in c for w in words) and "main" in c]
    return found


def log(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["split"] == "train"]


@pytest.mark.slow
def test_a_term(inside):
    made, result, workdir = run(command_of(":mine.pair_gap"))
    assert result["method"] == "pair_gap"
    assert made["objective"]["terms"]["pair_gap"] == {
        "module": "mine.pair_gap",
        "eps": 1e-6,
        "weight": 0.3,
    }
    for line in log(workdir):
        total = line["loss/l1"] + 0.3 * line["loss/pair_gap"]
        assert line["loss"] == pytest.approx(total, rel=1e-5)
        assert line["loss/pair_gap"] > 0


@pytest.mark.slow
def test_a_term_with_a_parameter(inside, capsys):
    made, _, workdir = run(command_of(":mine.gauss_nll"))
    lines = log(workdir)
    for line in lines:
        assert line["loss"] == pytest.approx(line["loss/gauss_nll"], rel=1e-5)
    assert lines[0]["nll/sigma"] != lines[-1]["nll/sigma"]
    pieces, programs = runs.built(made)
    said = overview(pieces, programs)
    assert "loss of main: gauss_nll + 0 l1\n" in said
    assert re.search(r"objective/gauss_nll/log_sigma +1\n", said)


@pytest.mark.slow
def test_a_wrapper(inside):
    made, result, workdir = run(command_of(":mine.label_noise"))
    assert made["objective"]["wrappers"] == ("label_noise",)
    assert made["objective"]["label_noise"]["std"] == 0.5
    assert result["method"] == "label_noise"
    plain = {**made, "objective": {**made["objective"], "wrappers": ()}}
    train.train_and_evaluate(plain, inside / "runs" / "plain", show="nothing")
    first, other = log(workdir)[0], log(inside / "runs" / "plain")[0]
    assert first["loss"] != other["loss"]


@pytest.mark.slow
def test_a_preset(inside):
    made, result, workdir = run(command_of("my_config.py"))
    assert result["method"] == "lds_pair_gap"
    assert made["objective"]["terms"]["gap"]["module"] == "mine.pair_gap"
    assert all(line["loss/gap"] > 0 for line in log(workdir))


@pytest.mark.slow
def test_a_model(inside):
    made, _, workdir = run(command_of("model=mine.residual_mlp"))
    assert made["model"]["name"] == "mine.residual_mlp"
    assert made["model"]["encoder"] == {"width": 64, "depth": 3}
    again = evaluate.evaluate(workdir)
    stored = json.loads((workdir / "result.json").read_text())
    assert again["test"]["mae"] == pytest.approx(stored["test"]["mae"])


def test_a_kind_of_data(inside):
    made, result, workdir = run(command_of("kind=mine.json_lines"))
    assert made["data"]["kind"] == "mine.json_lines"
    assert result["dataset"] == "rows"
    again = evaluate.evaluate(workdir)
    assert again["test"]["mae"] == pytest.approx(result["test"]["mae"])
    predict.predict(workdir, inside / "new.jsonl", inside / "out.csv")
    lines = (inside / "out.csv").read_text().splitlines()
    assert lines[0] == "index,prediction"
    assert len(lines) == 6


@pytest.mark.slow
def test_a_kind_of_data_is_described(inside):
    argv = shlex.split(next(c for c in COMMANDS if "describe" in c))[2:]
    done = commands.run("-m", *argv, cwd=inside)
    assert done.returncode == 0, done.stderr
    assert "rows: 400 rows" in done.stdout
    assert "2 numeric columns: load, speed" in done.stdout


class TestRefused:
    @pytest.mark.parametrize(
        ("argument", "said"),
        [
            ("mine.nothing", r"the method 'mine.nothing' must be"),
            ("mine.json_lines", r"with make, it lacks make"),
            ("vanilla,model=mine.nothing", r"the model 'mine.nothing' must be"),
            ("vanilla,kind=mine.nothing", r"the reader 'mine.nothing' must be"),
            ("lds,mine.pair_gap", r"'mine.pair_gap' looks like a module"),
            ("mine.l1", r"has the name of a base loss"),
        ],
    )
    def test_by_the_door(self, argument, said, inside):
        with pytest.raises(InputError, match=said):
            config_files.load("configs/csv.py", argument)

    def test_a_kind_of_data_at_the_door(self, inside):
        config = config_files.load("configs/csv.py", "vanilla")
        for kind in ("mine.nothing", "mine.pair_gap"):
            config.data.kind = kind
            with pytest.raises(InputError, match=r"data.kind 'mine\."):
                frozen.plain(config)

    def test_inputs_unlike_those_of_training(self):
        record = {"shapes": {"inputs": [3, 2]}}
        good = np.ones((4, 3, 2), np.float32)
        new_rows._check_like_training(good, record, "new")
        bad = np.where(np.arange(4)[:, None, None] == 1, np.nan, good)
        with pytest.raises(InputError, match="must be finite, row 1 of new"):
            new_rows._check_like_training(bad, record, "new")
        with pytest.raises(InputError, match="shapes of training"):
            new_rows._check_like_training(good[:, :2], record, "new")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"record": {"kind": "x"}}, "it lacks encoder"),
            ({"inputs": np.ones((7, 2))}, "'inputs' has 7"),
            ({"inputs": np.full((8, 2), np.inf)}, "inputs must be finite, row 0"),
            ({"record": {"kind": "x", "encoder": np.ones(2)}}, "must be plain JSON"),
        ],
    )
    def test_a_source_that_a_reader_makes(self, changes, said):
        rows = row_checks.Rows(np.arange(8), "mine.bin")
        rules = label_rules.Rules("y", bin_width=1.0)
        part = np.array([0, 0, 0, 0, 1, 1, 2, 2], np.int8)
        labelled = labelling.label_rows(np.arange(8.0), rows, rules, part=part)
        made = {"inputs": np.ones((8, 2)), "record": {"kind": "x", "encoder": {}}}
        assert sources.assemble("a", labelled=labelled, **made).record["shapes"]
        with pytest.raises(InputError, match=said):
            sources.assemble("a", labelled=labelled, **(made | changes))

    def test_what_make_returns(self, inside):
        (inside / "mine" / "plain.py").write_text("def make():\n    return len\n")
        with pytest.raises(ValueError, match="must return an Objective"):
            objectives.from_config({"a": {"module": "mine.plain"}})

    def test_a_reader_without_a_function(self, inside):
        with pytest.raises(ValueError, match="lacks load and read_new"):
            readers.find("mine.pair_gap")
        with pytest.raises(ValueError, match="nowhere cannot be found"):
            readers.find("nowhere.at_all")

    def test_an_error_in_the_module_itself_is_shown(self, inside):
        (inside / "mine" / "broken.py").write_text("import not_installed_anywhere")
        with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
            readers.find("mine.broken")
        with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
            dotted.find("the method", "mine.broken")
