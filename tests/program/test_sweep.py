"""Studies: every point once, finished ones skipped, one report at the end."""

import ast
import json

import jax
import pytest

from dirjax import errors, sweep
from dirjax.cli import config_files
from dirjax.configs.studies import (
    common,
    compare,
)
from dirjax.report import reading
from dirjax.sweeping import jobs, tuning
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
        (
            {"fields": (("data.bin_widht", 1.0),)},
            r"no field data\.bin_widht, .* 1\.0\. Did you mean data\.bin_width",
        ),
        (
            {"grid": (("data.bin_width", ("x",)),)},
            r"data\.bin_width of .* must be a number, got 'x'\.$",
        ),
        ({"methods": ()}, r"a list, as in --config\.methods=lds"),
        (
            {"grid": ("data.bin_width", "5")},
            r"\(field, values\), got 'data.bin_width' in it. Type .*\(5\.0,10\.0\)",
        ),
        (
            {"method_grids": (("vanilla", (("data.many", 5),)),)},
            r"config\.method_grids must be .*got \('data.many', 5\) in it",
        ),
        (
            {"method_grids": (("vanilla", ("data.many", (5, 9))),)},
            r"\(method, grid\), got 'data.many' in it",
        ),
        ({"methods": ("lds",)}, r"base must be one of the methods lds, or empty"),
        (
            {"grid": (("data.bin_width", (5.0, 10.0)),)},
            r"base must be empty, since it has a grid itself \(--config.base=\)",
        ),
        (
            {"methods": ("lds", "vanilla"), "starts": (("lds", "vanilla"),)},
            r"starts must be a method of config.methods before lds",
        ),
        (
            {"methods": ("lds",), "starts": (("lds", "vanilla"),), "base": ""},
            r"starts must be a method of config.methods before lds",
        ),
        (
            {"methods": ("vanilla", "a/b"), "arguments": (("a/b", "lds"),)},
            r"methods must be distinct names without a slash, got 'a/b'",
        ),
        (
            {"configs": ("configs/abalone.py", "other/abalone.py")},
            r"configs must be files of distinct names, .* put into abalone",
        ),
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


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b", "1/0", "²/3"])
def test_a_wrong_share_is_refused(share, tmp_path):
    with pytest.raises(errors.InputError, match="--job must be K/N"):
        sweep.run(study(), tmp_path, job=share)


def test_a_dry_run_says_what_is_left_out(tmp_path, capsys):
    left = (("configs/bikeshare.py", "lds"),)
    made = study(methods=("vanilla", "lds"), left_out=left)
    sweep.run(made, tmp_path, dry_run=True)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "none  bikeshare/lds (config.left_out)"
    assert [line.split()[0] for line in said[1:]] == ["todo"] * 2


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

    # A longer study goes on, in any share.
    longer = made | {"fields": (*TINY[:2], ("stage.main.steps", 3), TINY[3])}
    capsys.readouterr()
    sweep.run(longer, tmp_path, job="1/2")
    said = capsys.readouterr().out
    assert "1 of 1 runs to do" in said
    assert "Runs are left to other jobs" in said
    sweep.run(longer, tmp_path, dry_run=True)
    assert [x.split()[0] for x in capsys.readouterr().out.split("\n")[:2]] == [
        "done",
        "todo",
    ]

    # A finished run of another config is not taken for this one.
    other = made | {"fields": (("data.limit", 63), *TINY[1:])}
    with pytest.raises(errors.InputError, match=r"data.limit 64 -> 63"):
        sweep.run(other, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("tuned", [False, True])
def test_other_data_do_not_join_a_study(tmp_path, tuned):
    table = tmp_path / "my.csv"
    rows = [f"{x % 7},{x % 11},{x % 13}" for x in range(200)]
    table.write_text("\n".join(["a,b,price", *rows]))
    given = {"path": str(table), "label": "price", "bin_width": 2.0}
    made = study(configs=("configs/csv.py",), seeds=(0,), base="")
    made |= {"data": {**made["data"], **given}, "fields": TINY[2:], "options": ()}
    if tuned:
        rates = (("stage.main.learning_rate", (1e-3, 1e-2)),)
        made |= {"tuning": (9,), "grid": rates}
    sweep.run(made, tmp_path / "study")
    before = sorted((tmp_path / "study").rglob("result.json"))
    table.write_text("\n".join(["a,b,price", *rows[::-1]]))
    with pytest.raises(errors.InputError, match="has changed since the run in"):
        sweep.run(made | {"methods": ("vanilla", "sqinv")}, tmp_path / "study")
    assert sorted((tmp_path / "study").rglob("result.json")) == before
    assert not list((tmp_path / "study").rglob(tuning.FAILED))


def test_data_sets_have_options_and_fields_of_their_own():
    made = study(
        configs=("configs/bikeshare.py", "configs/mnist5k.py:rotation"),
        config_fields=(("configs/mnist5k.py:rotation", "stage.main.steps", 1),),
        seeds=(0,),
    )
    bikes, digits = jobs.jobs(made)
    assert str(digits.folder) == "mnist5k-rotation/vanilla/seed_0"
    assert digits.argument == "vanilla,rotation,smoke"
    assert digits.fields["stage.main.steps"] == 1
    assert bikes.fields["stage.main.steps"] == 2
    every = common.several(tuple(common.DATASETS))
    assert len(set(map(jobs.name_of, every.configs))) == len(common.DATASETS)
    assert [jobs.build(j) for j in jobs.jobs(every.to_dict() | {"seeds": (0,)})]


def with_configs(every):
    """Runs with their configs."""
    return [(job, jobs.build(job)) for job in every]


WIDTHS = (("data.bin_width", (5.0, 10.0)), ("data.many", (20, 50)))


def finished(workdir, job, error, split="val"):
    """Writes what a finished run says of its validation error."""
    result = {"dataset": "it", "select": {"metric": "rmse", "shot": "few"}}
    result["select"]["split"] = split
    result["val"] = {"rmse": {"few": error, "all": -error}, "mae": {"few": 0.0}}
    (workdir / job.folder).mkdir(parents=True)
    (workdir / job.folder / "result.json").write_text(json.dumps(result))


def test_tuning_takes_the_point_with_the_smallest_mean(tmp_path):
    made = study(
        methods=("vanilla", "lds"),
        method_grids=(("lds", WIDTHS),),
        tuning=(100, 101),
    )
    tried = list(tuning.jobs(made))
    # One point needs no tuning.
    assert {j.folder.parts[2] for j in tried} == {"lds"}
    assert len(tried) == 8
    errors_of = {(5.0, 20): (1, 4), (5.0, 50): (2.6, 2.4), (10.0, 20): (0.5, 3.5)}
    for job in tried:
        key = (job.fields["data.bin_width"], job.fields["data.many"])
        finished(tmp_path, job, errors_of.get(key, (9, 9))[job.fields["seed"] - 100])
    found = tuning.best(with_configs(tried), made, tmp_path)
    assert found["bikeshare", "lds"].point == [
        ("data.bin_width", 10.0),
        ("data.many", 20),
    ]
    chosen = {key: one.point for key, one in found.items()}
    plain, best, *others = jobs.jobs(made, chosen)
    assert str(best.folder) == "bikeshare/lds/seed_0"
    assert best.fields["data.bin_width"] == 10.0
    assert "data.bin_width" not in plain.fields
    assert len(others) == 2
    said = tuning.record(found)["bikeshare"]["lds"]
    assert said["point"] == {"data.bin_width": 10.0, "data.many": 20}
    assert said["val_error"]["data.bin_width=5.0/data.many=20"] == 2.5
    assert said["val_error"]["data.bin_width=10.0/data.many=20"] == 2.0


def test_a_point_that_fails_is_not_taken(tmp_path):
    made = study(grid=(("data.many", (20, 50)),), tuning=(100,))
    bad, good = tried = list(tuning.jobs(made))
    (_, config), (_, other) = pairs = with_configs(tried)
    tuning.fail(tmp_path / bad.folder, config, "not finite")
    assert tuning.failed(tmp_path / bad.folder, config) == "not finite"
    # Another config is tried again.
    assert not tuning.failed(tmp_path / bad.folder, other)
    finished(tmp_path, good, 9.0)
    ((key, found),) = tuning.best(pairs, made, tmp_path).items()
    assert found.point == [("data.many", 50)]
    entry = tuning.record({key: found})["bikeshare"]["vanilla"]["val_error"]
    assert entry == {"data.many=20": None, "data.many=50": 9.0}
    tuning.fail(tmp_path / good.folder, other, "not finite")
    with pytest.raises(errors.InputError, match="each point of vanilla on bikeshare"):
        tuning.best(pairs, made, tmp_path)


def test_tuning_does_not_look_at_the_test_split(tmp_path):
    made = study(grid=WIDTHS, tuning=(100,))
    tried = list(tuning.jobs(made))
    for job in tried:
        finished(tmp_path, job, 1.0, split="test")
    with pytest.raises(errors.InputError, match="needs a validation split"):
        tuning.best(with_configs(tried), made, tmp_path)
    made["starts"] = (("vanilla", "lds"),)
    with pytest.raises(errors.InputError, match="methods that start by themselves"):
        list(tuning.jobs(made))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"grid": ()}, "tuning needs a method whose grid has several points"),
        ({"grid": (("data.many", (20,)),)}, "whose grid has several points"),
        (
            {"seeds": (9, 10)},
            r"tuning must be other seeds than config.seeds, got \[9\]",
        ),
        (
            {"config_fields": (("csv.py", "data.many", 9),)},
            "config_fields must be abou",
        ),
        (
            {"left_out": (("csv.py", "lds"),)},
            "left_out must be about one of configs/bi",
        ),
        # What needs no tuning is wrong.
        (
            {
                "methods": ("vanilla", "lds"),
                "method_grids": (("vanilla", ()),),
                "method_fields": (("vanilla", "stage.main.learning_rate", -1.0),),
            },
            "must be positive and finite, got -1.0",
        ),
    ],
)
def test_wrong_tuning_stops_before_the_first_run(fields, said, tmp_path):
    made = {"grid": WIDTHS, "tuning": (9,), **fields}
    with pytest.raises(errors.InputError, match=said):
        sweep.run(study(**made), tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("tuned", [(), (9,)])
def test_members_of_several_processes_are_refused(tuned, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    made = study(grid=WIDTHS, tuning=tuned, together=True, base="")
    with pytest.raises(errors.InputError, match="together is for one process"):
        sweep.run(made, tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("error", "remembered"),
    [
        (errors.Diverged("not finite."), True),
        (errors.InputError("too many groups."), True),
        (errors.Failed("no space left."), False),
    ],
)
def test_what_makes_a_point_bad(error, remembered, tmp_path, monkeypatch, capsys):
    """A full disk does not: the same command tries again."""
    made = study(grid=(("data.many", (20, 50)),), tuning=(9,), seeds=(0,), base="")
    good, _ = tuning.jobs(made)
    config = jobs.build(good)
    monkeypatch.setattr(sweep, "_check_data", lambda *_: None)

    def train(units, workdir):
        first, *_ = units
        return [(first, f"it: {error}", error)]

    monkeypatch.setattr(sweep, "_train", train)
    if remembered:
        sweep.run(made, tmp_path)
        assert "Another point is taken." in capsys.readouterr().err
    else:
        with pytest.raises(errors.Failed, match="1 run failed: it: no space left"):
            sweep.run(made, tmp_path)
    assert bool(tuning.failed(tmp_path / good.folder, config)) == remembered


def test_the_report_is_on_the_runs_that_did_not_fail(tmp_path, monkeypatch):
    made = study(
        methods=("vanilla", "bad", "after"),
        arguments=(("bad", "vanilla"), ("after", "vanilla")),
        starts=(("after", "bad"),),
        base="",
    )
    monkeypatch.setattr(sweep, "_check_data", lambda *_: None)
    monkeypatch.setattr(
        sweep.units_lib, "done", lambda d, j, _: (d / j.folder / "result.json").exists()
    )

    def train(units, workdir):
        broken = []
        for unit in units:
            ((job, _),) = unit
            error = errors.Diverged("not finite.")
            if "bad" in job.folder.parts:
                broken.append((unit, f"{job.folder}: {error}", error))
            elif job.start is None:
                finished(workdir, job, 1.0)
        return broken

    monkeypatch.setattr(sweep, "_train", train)
    reported = []
    monkeypatch.setattr(sweep, "_report", lambda _, every, __: reported.append(every))
    with pytest.raises(errors.Failed, match=r"2 runs.*report is on the others"):
        sweep.run(made, tmp_path)
    ((zero, one),) = reported
    assert [str(j.folder) for j in (zero, one)] == [
        "bikeshare/vanilla/seed_0",
        "bikeshare/vanilla/seed_1",
    ]
    # Runs of another job are not there yet.
    with pytest.raises(errors.Failed, match=r"2 runs.*those that are finished"):
        sweep.run(made, tmp_path / "part", job="2/3")
    assert len(reported) == 1


@pytest.mark.slow
def test_a_point_that_diverges_is_told_and_left(tmp_path, capsys):
    rates = (("stage.main.learning_rate", (1e30, 1e-2)),)
    made = study(grid=rates, tuning=(9,), seeds=(0,), base="")
    sweep.run(made, tmp_path)
    assert "Another point is taken." in capsys.readouterr().err
    sweep.run(made, tmp_path)  # It is not tried again.
    assert "Another point" not in capsys.readouterr().err
    tuned = json.loads((tmp_path / "tuned.json").read_text())["bikeshare"]["vanilla"]
    assert tuned["val_error"]["stage.main.learning_rate=1e+30"] is None
    assert tuned["point"] == {"stage.main.learning_rate": 1e-2}


@pytest.mark.slow
def test_a_study_tunes_and_then_runs_the_best(tmp_path, capsys):
    rates = (("stage.main.learning_rate", (1e-7, 1e-2)),)
    made = study(methods=("vanilla", "sqinv"), grid=rates, tuning=(9,), seeds=(0,))
    sweep.run(made, tmp_path, dry_run=True)
    assert capsys.readouterr().out.count("todo  tuning/") == 4
    sweep.run(made, tmp_path, job="1/2")
    assert "Tuning goes on in other jobs" in capsys.readouterr().out
    sweep.run(made, tmp_path, job="2/2")
    sweep.run(made, tmp_path)
    tuned = json.loads((tmp_path / "tuned.json").read_text())["bikeshare"]
    for method in made["methods"]:
        found = json.loads(
            (tmp_path / "bikeshare" / method / "seed_0" / "config.json").read_text()
        )
        rate = found["stage"]["main"]["learning_rate"]
        errors_of = tuned[method]["val_error"]
        best = min(errors_of, key=lambda k, of=errors_of: of[k])
        assert best == f"stage.main.learning_rate={rate}"
    # Reports over the study do not count what it was tuned with.
    assert len(reading.find_runs(tmp_path)) == 2
    assert len(reading.find_runs(tmp_path / "tuning")) == 4
    table = (tmp_path / "report" / "table.txt").read_text()
    assert "sqinv minus vanilla" in table
