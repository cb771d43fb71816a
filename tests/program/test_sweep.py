"""Studies: every point once, finished ones skipped, one report at the end."""

import ast
import json

import pytest

from dirjax import errors, sweep
from dirjax.cli import config_files
from dirjax.configs.studies import (
    common,
    compare,
)
from dirjax.sweeping import jobs
from dirjax.workdir import lock

TINY = (
    ("data.limit", 64),
    ("data.batch_size", 32),
    ("stage.main.steps", 2),
    ("model.encoder", {"width": 4, "depth": 1}),
)


def study(**fields):
    made = common.get_config().to_dict()
    return made | {"seeds": (0, 1), "options": ("smoke",), "fields": TINY} | fields


def test_the_grid_is_a_product_with_folders_of_its_own():
    made = study(methods=("vanilla", "fds"), grid=(("data.bin_width", (5.0, 10.0)),))
    every = list(jobs.jobs(made))
    assert len(every) == len({j.folder for j in every}) == 8
    one = every[0]
    assert str(one.folder) == "bikeshare/vanilla/data.bin_width=5.0/seed_0"
    config = jobs.build(one)
    assert config["data"]["bin_width"] == 5.0
    assert config["model"]["encoder"]["width"] == 4


def test_a_study_takes_the_fields_of_ones_own_data(tmp_path, capsys):
    """One command: --config.data.path and others reach every run."""
    table = tmp_path / "my.csv"
    rows = (f"{x % 7},{x % 11},{x % 13}" for x in range(200))
    table.write_text("\n".join(["a,b,price", *rows]))
    made = compare.get_config()
    with pytest.raises(errors.InputError, match=r"data\.path is missing"):
        sweep.run(made.to_dict(), tmp_path / "study", dry_run=True)
    given = {"data.path": str(table), "data.label": "price", "data.bin_width": 2.0}
    made.update_from_flattened_dict(given)
    made.seeds = (0, 1)
    every = list(jobs.jobs(made.to_dict()))
    assert [j.folder.parts[1] for j in every] == [*compare.METHODS] * 2
    assert {
        m: dict(j.fields) for m, j in zip(compare.METHODS, every, strict=False)
    } == {m: {**given, "seed": 0} for m in compare.METHODS}
    sweep.run(made.to_dict(), tmp_path / "study", dry_run=True)
    assert capsys.readouterr().out.count("todo") == 14
    assert compare.get_config("bikeshare").configs == ("configs/bikeshare.py",)


def test_the_time_of_a_study():
    assert sweep._left([], 3) == ""
    assert sweep._left([2.0], 3) == ", about 6 s left"
    assert sweep._left([100.0, 140.0], 14) == ", about 28 min left"
    assert sweep._left([3600.0], 5) == ", about 5 h left"


def test_a_method_may_have_a_name_of_the_study():
    made = study(
        methods=("vanilla", "plain"),
        arguments=(("plain", "vanilla,mse"),),
        seeds=(0,),
    )
    first, named = jobs.jobs(made)
    assert str(named.folder) == "bikeshare/plain/seed_0"
    assert named.argument == "vanilla,mse,smoke"
    config = jobs.build(named)
    assert config["method"] == "plain"
    assert set(config["objective"]["terms"]) == {"mse"}
    assert jobs.build(first)["method"] == "vanilla"
    assert "--config.method=plain" in jobs.command(named, named.folder)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"methods": ("vanila",)}, "Did you mean 'vanilla'"),
        ({"configs": ("configs/no.py",)}, "does not exist"),
        ({"fields": (("data.bin_widht", 1.0),)}, "bin_widht"),
        ({"grid": (("data.bin_width", ("x",)),)}, "bin_width='x'"),
        ({"methods": ()}, r"a list, as in --config\.methods=lds"),
        (
            {"grid": ("data.bin_width", "5")},
            r"\(field, values\), got 'data.bin_width' in it. Type .*\(5\.0,10\.0\)",
        ),
        ({"methods": ("lds",)}, r"base must be one of the methods lds, or empty"),
    ],
)
def test_a_wrong_study_stops_before_the_first_run(fields, said, tmp_path):
    with pytest.raises(errors.InputError, match=said):
        sweep.run(study(**fields), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "methods"),
    [
        ("--config.methods=vanilla,lds", ["vanilla", "lds"]),
        ("--config.methods=vanilla, lds", ["vanilla", "lds"]),
        ("--config.methods=('vanilla','lds')", ["vanilla", "lds"]),
        ("--config.methods=vanilla", ["vanilla"]),
    ],
)
def test_lists_are_typed_with_commas(typed, methods):
    made = config_files.load("configs/studies/compare.py")
    made.lock()
    *_, last = config_files._fitted(["sweep", typed], made)
    made.methods = ast.literal_eval(last.partition("=")[2])
    found = dict.fromkeys(j.argument for j in jobs.jobs(made.to_dict()))
    assert list(found) == methods


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_wrong_share_is_refused(share, tmp_path):
    with pytest.raises(errors.InputError, match="--job must be K/N"):
        sweep.run(study(), tmp_path, job=share)


@pytest.mark.slow
def test_shares_skip_finish_and_report(tmp_path, capsys):
    made = study(methods=("vanilla", "sqinv"), seeds=(0,))
    sweep.run(made, tmp_path, dry_run=True)
    assert capsys.readouterr().out.count("todo") == 2
    # A run that is in use elsewhere is left to whom it belongs.
    with lock.Lock(tmp_path / "bikeshare" / "vanilla" / "seed_0"):
        sweep.run(made, tmp_path, job="1/2")
    assert "skipped: " in capsys.readouterr().err
    sweep.run(made, tmp_path, job="1/2")
    assert "1 of 1 runs to do; after the first" in capsys.readouterr().out
    assert not (tmp_path / "report").exists()
    done = sorted(tmp_path.glob("*/*/*/result.json"))
    assert len(done) == 1
    times = {f: f.stat().st_mtime_ns for f in done}
    sweep.run(made, tmp_path, job="2/2")
    assert {f: f.stat().st_mtime_ns for f in done} == times
    table = (tmp_path / "report" / "table.txt").read_text()
    assert "sqinv minus vanilla" in table
    result = json.loads(done[0].read_text())
    assert "--config.data.limit=64" in result["command"]

    # A finished run of another config is not taken for this one.
    other = made | {"fields": (("data.limit", 63), *TINY[1:])}
    with pytest.raises(errors.InputError, match=r"data.limit 64 -> 63"):
        sweep.run(other, tmp_path)
