"""The door: every preset builds, and wrong input is answered with a sentence."""

import json
import math
import pathlib
import subprocess
import sys

import jax
import pytest
from ml_collections import ConfigDict

from dirjax import objectives
from dirjax.cli import config_files
from dirjax.config import frozen, validation
from dirjax.config import plan as plan_lib
from dirjax.configs import common, methods
from dirjax.errors import InputError
from dirjax.objectives import base
from tests import toy

FOLDER = pathlib.Path(common.__file__).parent
FILES = sorted(
    f.stem
    for f in FOLDER.glob("*.py")
    if f.stem not in ("__init__", "common", "methods")
)


# What a user has to say of data of their own.
OWN = {
    "csv": {"data.path": "mine.csv.gz", "data.label": "y"},
    "npz": {"data.path": "mine.npz"},
    "images": {"data.path": "folder/mine"},
    "tfds": {"data.name": "mine", "data.label": "y"},
}


def made(name, argument):
    config = config_files.load(f"configs/{name}.py", argument)
    config.update_from_flattened_dict(OWN.get(name, {}))
    if config.init_from == "":  # What a preset that begins with another run asks for.
        config.init_from = "/runs/other"
    return config


def plain(name="bikeshare", argument="vanilla", **fields):
    """Plain values; `fields` are paths with `__` for dots."""
    config = made(name, argument)
    config.unlock()
    for path, value in fields.items():
        config.update_from_flattened_dict({path.replace("__", "."): value})
    return frozen.plain(config)


class TestPresets:
    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.quick("csv", "mnist5k", "nyud2_dir")
    def test_every_file_takes_every_preset(self, name):
        for method in methods.PRESETS:
            config = plain(name, method)
            validation.validate(config)
            assert config["method"] == method
            assert config["data"]["name"] == ("mine" if name in OWN else name)
            plan = plan_lib.plan(config, 5000)
            assert len(plan.stages) == len(config["stages"])
            assert all(s.steps > 0 for s in plan.stages)
            # What is written to config.json is what is used.
            wanted = json.loads(json.dumps(config))
            if path := config["data"]["path"]:
                wanted["data"]["path"] = str(pathlib.Path(path).resolve())
            assert frozen.to_json(config) == wanted, method

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.quick("mnist5k")
    def test_smoke_is_at_most_100_steps(self, name):
        for method in methods.PRESETS:
            config = plain(name, f"{method},smoke")
            validation.validate(config)
            assert plan_lib.plan(config, 1024).stop <= 100

    @pytest.mark.parametrize("name", FILES)
    def test_the_default_preset_is_known(self, name):
        config = made(name, "sqinv_lds")
        assert config.method in methods.PRESETS

    @pytest.mark.parametrize("term", ["l1", "mse", "huber"])
    @pytest.mark.parametrize("method", methods.PRESETS)
    @pytest.mark.quick("huber")
    def test_every_objective_builds_with_every_base_loss(self, method, term):
        config = common.get_config()
        config.base.term = term
        config.base.beta = 0.7
        config.data.batch_size = 256
        config = frozen.plain(common.finish(config, method))
        for stage in plan_lib.plan(config, 1000).stages:
            record = stage.objective
            assert methods.BASE not in record["terms"]
            objective = objectives.from_config(
                record["terms"], record["wrappers"], record
            )
            shapes = jax.eval_shape(
                lambda key, o=objective: o.init(key, toy.SPEC), jax.random.key(0)
            )
            assert isinstance(shapes, base.Variables)

    def test_stages_of_a_preset(self):
        config = plain(argument="rrt_lds_fds")
        main, head = plan_lib.plan(config, 6547).stages
        assert (main.name, head.name) == ("main", "head")
        assert head.start == main.stop
        assert main.objective["wrappers"] == ("fds",)
        assert head.objective["wrappers"] == ("lds", "fds")
        assert head.trainable == head.reinit == ("head",)
        assert head.init_from == "best"
        assert head.encoder_mode == "eval"
        assert main.trainable == main.reinit == ()

    def test_further_stages_follow_the_length_of_the_main_one(self):
        for fields, epochs, steps in (
            ({"stage__main__epochs": 30.0}, 10.0, 0),
            ({"stage__main__steps": 70}, 100 / 3, 23),
            # Unless they are set themselves, in whatever order.
            ({"stage__main__epochs": 30.0, "stage__head__epochs": 7.0}, 7.0, 0),
            ({"stage__head__epochs": 7.0, "stage__main__epochs": 30.0}, 7.0, 0),
        ):
            head = plain(argument="rrt", **fields)["stage"]["head"]
            assert head["epochs"] == pytest.approx(epochs)
            assert head["steps"] == steps

    def test_presets_are_not_shared(self):
        first = made("bikeshare", "fds")
        first.objective.fds.sigma = 99.0
        assert made("bikeshare", "fds").objective.fds.sigma != 99.0

    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ("sqinv_ldss", ["method 'sqinv_ldss'", "Did you mean 'sqinv_lds'", "fds"]),
            ("lds,smoek", ["option 'smoek'", "Did you mean 'smoke'"]),
            ("zzz", ["method 'zzz'", "Known:", "vanilla"]),
            ("", ["method ''"]),
        ],
    )
    def test_unknown_arguments(self, argument, words):
        for name in FILES:
            with pytest.raises(InputError) as raised:
                made(name, argument)
            for word in words:
                assert word in str(raised.value)

    def test_there_is_one_form_of_input(self):
        with pytest.raises(InputError, match=r"one of the options small and embedd"):
            config_files.load("configs/stsb_dir.py", "fds,embeddings,small")
        found = [made("stsb_dir", f"fds{form}") for form in ("", ",small")]
        assert {form.model.name for form in found} == {"bilstm"}
        assert made("stsb_dir", "fds,embeddings").model.name == "pair_mlp"

    def test_a_data_set_changes_wrappers_and_terms(self):
        objective = made("stsb_dir", "lds_fds").objective
        assert objective.lds.clip is None
        assert (objective.fds.clip, objective.fds.whole_rows) == ((0.5, 2.0), True)
        focal = made("stsb_dir", "focal_r,huber").objective.terms.focal_r
        assert (focal.beta, focal.unit, focal.gamma) == (4.0, "label", 1.0)
        assert made("stsb_dir", "vanilla,huber").objective.terms.huber.beta == 1.5
        conr = made("nyud2_dir", "conr").objective.terms.conr
        assert (conr.weight, conr.window, conr.rate, conr.push, conr.unit) == (
            *(0.2, 0.2, 0.2),
            *("linear", "label"),
        )
        term = made("nyud2_dir", "bni_lds").objective.terms.balanced_mse
        assert (term.padding, term.first_bin, term.form) == ("edge", 7, "bni")
        term = made("nyud2_dir", "gai").objective.terms.balanced_mse
        assert (term.components, term.sigma, term.unit) == (16, 1.0, "label")
        assert term.learning_rate == 0

    def test_labels_of_the_digits(self):
        for option in ("slant", "rotation"):
            config = plain("mnist5k", f"lds,{option},smoke")
            validation.validate(config)
            assert config["data"]["label"] == f"{option}_deg"
            assert config["data"]["limit"] > 0


class TestFind:
    def test_a_config_of_the_package_from_any_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        found = config_files.find("configs/bikeshare.py:lds,smoke")
        path, _, argument = found.partition(":")
        assert pathlib.Path(path).samefile(FOLDER / "bikeshare.py")
        assert argument == "lds,smoke"

    def test_a_file_here_comes_first(self, tmp_path, monkeypatch):
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / "bikeshare.py").write_text("")
        monkeypatch.chdir(tmp_path)
        assert config_files.find("configs/bikeshare.py") == "configs/bikeshare.py"

    @pytest.mark.parametrize("path", ["configs/none.py", "none.py:lds", "configs"])
    def test_no_such_file(self, path, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match=r"does not exist\..*configs/bikeshare"):
            config_files.find(path)


WRONG = {
    "data__label": (None, "given"),
    "data__bin_width": (0.0, "positive"),
    "data__label_low": (math.nan, "finite"),
    "data__batch_size": (0, "at least 1"),
    "data__reader": ("csv", "'array' or 'tf'"),
    "data__views": (3, "1 or 2"),
    "data__augment__flip": (1, "True or False"),
    "data__augment__crop": (-1, "at least 0"),
    "data__augment__padding": ("wrap", "'zero' or 'edge'"),
    "train__chunk": (0, "at least 1"),
    "train__average_decay": (1.0, "in"),
    "eval__batch_size": (0, "at least 1"),
    "log__every": (0, "at least 1"),
    "model__dtype": ("float16", "'float32' or 'bfloat16'"),
    "model__encoder__dropout": (2.0, "in [0, 1)"),
    "model__label_scaling": ("log", "'standard', 'deviation', 'range'"),
    "select__metric": ("mea", "mae"),
    "select__shot": ("medium", "median"),
    "stages": ((), "distinct names"),
    "stage__main__optimizer": ("lion", "adam, adamw, sgd"),
    "stage__main__schedule": ("linear", "constant, cosine, step"),
    "stage__main__decay": ("none", "kernels, all"),
    "stage__main__init_from": ("first", "last, best"),
    "stage__main__encoder_mode": ("test", "train, eval"),
    "stage__main__views": (3, "empty, 0, 1, 2"),
    "stage__main__epochs": (0.0, "positive"),
    "stage__main__learning_rate": (-1.0, "positive"),
    "stage__main__weight_decay": (-1.0, "from 0"),
    "stage__main__momentum": (2.0, "in [0, 1)"),
    "stage__main__b2": (1.0, "in [0, 1)"),
    "stage__main__clip": (-1.0, "from 0"),
    "stage__main__accumulate": (0, "at least 1"),
}


class TestValidate:
    @pytest.mark.parametrize("field", WRONG)
    def test_the_sentence_names_field_expectation_and_value(self, field):
        value, expected = WRONG[field]
        config = frozen.plain(made("bikeshare", "vanilla"))
        *path, last = field.split("__")
        inner = config
        for key in path:
            inner = inner[key]
        inner[last] = value
        with pytest.raises(InputError) as raised:
            validation.validate(config)
        text = str(raised.value)
        assert f"config.{field.replace('__', '.')} must be" in text
        assert expected in text
        assert repr(value) in text
        assert "\n" not in text

    def test_a_stage_that_is_not_defined(self):
        config = plain() | {"stages": ("main", "extra")}
        with pytest.raises(InputError, match=r"config\.stage\.extra"):
            validation.validate(config)


class TestPlan:
    def test_epochs_are_steps_rounded_up(self):
        config = plain(stage__main__epochs=2.5, data__batch_size=32)
        # 2.5 * 100 / 32 = 7.8.
        assert plan_lib.plan(config, 100).stop == 8
        config = plain(stage__main__epochs=2.0, data__batch_size=50)
        assert plan_lib.plan(config, 100).stop == 4
        config = plain(stage__main__epochs=1.15, data__batch_size=19)
        # 115 rows are six batches and one row.
        assert plan_lib.plan(config, 100).stop == 7

    def test_steps_come_before_epochs(self):
        config = plain(stage__main__epochs=2.5, stage__main__steps=17)
        plan = plan_lib.plan(config, 1000)
        assert plan.stop == 17
        assert plan.stages[0].schedule["steps"] == 17

    def test_the_schedule_counts_updates(self):
        config = plain(stage__main__steps=60, stage__main__accumulate=4)
        (stage,) = plan_lib.plan(config, 1000).stages
        assert stage.steps == 60
        assert stage.schedule["steps"] == 15

    def test_part_of_an_epoch_is_a_step_at_least(self):
        config = plain(stage__main__epochs=1e-4, data__batch_size=32)
        assert plan_lib.plan(config, 100).stop == 1

    def test_a_batch_larger_than_the_set(self):
        config = plain(data__batch_size=128)
        with pytest.raises(
            InputError, match=r"at most the number of training rows, 100"
        ):
            plan_lib.plan(config, 100)


class TestCheckSame:
    def write(self, folder, config):
        (folder / "config.json").write_text(json.dumps(config))
        return folder / "config.json"

    @pytest.mark.parametrize("method", methods.PRESETS)
    @pytest.mark.quick("vanilla", "sqinv_lds_fds", "ssir", "group_dir", "frobenius")
    def test_equal_configs(self, method, tmp_path):
        file = self.write(tmp_path, plain(argument=method))
        frozen.check_same(plain(argument=method), file)
        with pytest.raises(InputError, match="seed 0 -> 1"):
            frozen.check_same(plain(argument=method, seed=1), file)

    def test_the_fields_that_differ_are_named(self, tmp_path):
        file = self.write(tmp_path, plain(seed=1, data__batch_size=64))
        with pytest.raises(InputError) as raised:
            frozen.check_same(plain(seed=2, data__batch_size=32), file)
        text = str(raised.value)
        for word in ("seed 1 -> 2", "data.batch_size 64 -> 32", str(tmp_path)):
            assert word in text
        assert "learning_rate" not in text
        assert "--workdir" in text

    def test_a_field_that_one_of_them_lacks(self, tmp_path):
        file = self.write(tmp_path, plain(argument="lds"))
        with pytest.raises(InputError, match=r"method 'lds' -> 'vanilla'"):
            frozen.check_same(plain(argument="vanilla"), file)

    @pytest.mark.parametrize("lacks", ["before", "now"])
    def test_a_field_that_is_new_or_gone(self, tmp_path, lacks):
        config, without = plain(seed=7), plain()
        del without["seed"]
        before, now = (without, config) if lacks == "before" else (config, without)
        said = "None -> 7" if lacks == "before" else "7 -> None"
        with pytest.raises(InputError, match=rf"\(seed {said}\)"):
            frozen.check_same(now, self.write(tmp_path, before))

    def test_a_long_list_is_cut(self, tmp_path):
        file = self.write(tmp_path, plain("bikeshare"))
        with pytest.raises(InputError, match=r", \.\.\."):
            frozen.check_same(plain("mnist5k"), file)


def test_plain_values():
    data = {"kind": "table", "name": None, "path": "a/b.csv"}
    model = {"name": "mlp", "encoder": {"b": (1, 2)}}
    config = ConfigDict({"model": model, "init_from": None, "data": data})
    got = frozen.plain(config)
    assert got.pop("data") == data | {"name": "b"}
    assert got == {"model": model, "init_from": None}
    assert type(got["model"]) is dict
    assert type(got["model"]["encoder"]["b"]) is tuple


BIKE = "--config=configs/bikeshare.py:sqinv_lds"
# Arguments -> words of the sentence, or values of config fields.
CASES = {
    "unknown field": (
        [BIKE, "--config.data.batch_sise=3"],
        ["batch_sise", "Did you mean --config.data.batch_size=3?"],
    ),
    "unknown stage": (
        [BIKE, "--config.stage.mian.epochs=3"],
        ["mian", "Did you mean --config.stage.main.epochs=3?"],
    ),
    "a field of another preset": ([BIKE, "--config.objective.fds.sigma=1"], ["fds"]),
    "no number": ([BIKE, "--config.data.batch_size=many"], ["batch_size", "many"]),
    "no whole number": ([BIKE, "--config.seed=1.5"], ["seed", "1.5"]),
    "unknown flag": ([BIKE, "--wrkdir=x"], ["wrkdir", "workdir"]),
    "stray word": ([BIKE, "lds"], ["'lds'", "--"]),
    "unknown preset": (
        ["--config=configs/bikeshare.py:sqinv_ld"],
        ["'sqinv_ld'", "Did you mean 'sqinv_lds'"],
    ),
    "unknown option": (
        ["--config", "configs/bikeshare.py:lds,smok"],
        ["'smok'", "Did you mean 'smoke'"],
    ),
    "unknown file": (["--config=configs/bikes.py"], ["bikes.py", "bikeshare.py"]),
    "values": (
        [
            BIKE,
            "--config.seed=3",
            "--config.objective.lds.sigma=1",
            "--config.eval.every=2",
            "--config.data.path=x.csv",
            "--config.stage.main.trainable=('head',)",
            "--config.data.label_range=(1.0,2.5)",
        ],
        {
            "seed": 3,
            "objective.lds.sigma": 1.0,
            "eval.every": 2.0,
            "data.path": "x.csv",
            "stage.main.trainable": ["head"],
            "data.label_range": [1.0, 2.5],
        },
    ),
    "two words": (
        ["--config", "configs/bikeshare.py:fds", "--config.seed", "4"],
        {"seed": 4, "method": "fds"},
    ),
}
SCRIPT = """
import json, multiprocessing, sys
from dirjax import errors
from dirjax.cli import config_files

def answer(args):
    # Where ml_collections looks for overrides.
    sys.argv = ["dirjax", "--workdir=x", *args]
    try:
        made, _ = config_files.parse(sys.argv)
        return json.loads(made.to_json())
    except errors.InputError as error:
        return str(error)

cases = json.load(sys.stdin)
fork = multiprocessing.get_context("fork")
with fork.Pool(1, maxtasksperchild=1) as pool:  # Flags are global.
    answers = pool.map(answer, cases.values(), chunksize=1)
json.dump(dict(zip(cases, answers)), sys.stdout)
"""


@pytest.fixture(scope="module")
def parsed():
    """The answers to all cases, each of which parses in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps({name: args for name, (args, _) in CASES.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_the_command_line(parsed, case):
    got, want = parsed[case], CASES[case][1]
    if isinstance(want, list):
        assert isinstance(got, str), "the arguments were accepted"
        for word in want:
            assert word in got
        assert "\n" not in got
        assert "\\n" not in got
        assert "Traceback" not in got
    else:
        assert isinstance(got, dict), got
        for path, value in want.items():
            inner = got
            for key in path.split("."):
                inner = inner[key]
            assert inner == value, path


def test_a_run_of_another_version_is_told():
    """Its config may lack a field."""
    made = plain()
    del made["stage"]["main"]["resample"]
    with pytest.raises(InputError, match=r"stage\.main lacks 'resample': the run was"):
        plan_lib.plan(made, 1000)
