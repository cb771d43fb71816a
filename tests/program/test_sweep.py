"""Studies: every point once, finished ones skipped, one report at the end."""

import ast
import json

import pytest

from dirjax import errors, sweep
from dirjax.cli import config_files
from dirjax.configs.studies import (
    baselines,
    benchmarks,
    common,
    compare,
    frobenius,
    frobenius_grid,
    frobenius_posthoc,
    group,
    group_ablation,
    group_curves,
    group_number,
    ssir,
    ssir_grid,
    ssir_readings,
    ssir_steps,
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


def test_the_published_study_builds():
    assert len(list(jobs.jobs(baselines.get_config().to_dict()))) == 165


def test_the_studies_of_ssir_build():
    """With what the grid found best; the control has the same."""
    made = ssir.get_config("rotation").to_dict()
    made["method_fields"] += (("sqinv_ssir", "objective.ssir.epsilon", 2e-3),)
    every = list(jobs.jobs(made))
    assert len(every) == 45
    tuned, seen = ssir.TUNED["rotation"], 0
    for one in every[:9]:
        base, fields = one.folder.parts[1], jobs.build(one)["objective"]
        for name, methods in ssir.WITH.items():
            if base in methods:
                epsilon, lam = tuned[name]
                epsilon = 2e-3 if base == "sqinv_ssir" else epsilon
                noise = fields["ssir"]
                assert (noise["epsilon"], noise["lam"]) == (epsilon, lam)
                seen += 1
    assert seen == 6
    assert len(list(jobs.jobs(ssir_grid.get_config("bikeshare,sqinv")))) == 12
    assert len(list(jobs.jobs(ssir_steps.get_config("bikeshare,sqinv")))) == 15
    for question in ssir_readings.QUESTIONS:
        study = ssir_readings.get_config(f"rotation,{question}").to_dict()
        assert [jobs.build(j) for j in jobs.jobs(study)]


def test_the_study_of_benchmarks_builds():
    """With what the studies of methods found best, where they looked."""
    made = benchmarks.get_config("mnist5k").to_dict() | {"seeds": (0,)}
    found = {j.argument.split(",")[0]: jobs.build(j) for j in jobs.jobs(made)}
    assert set(found) == set(benchmarks.METHODS)
    epsilon, lam = ssir.TUNED["mnist5k"]["vanilla"]
    noise = found["ssir"]["objective"]["ssir"]
    assert (noise["epsilon"], noise["lam"]) == (epsilon, lam)
    assert found["group_dir"]["groups"]["num"] == group.TUNED["mnist5k"][1]
    terms = found["frobenius"]["stage"]["tune"]["objective"]["terms"]
    assert terms["norm_target"]["weight"] == frobenius.TUNED["mnist5k"]["gamma"]
    assert benchmarks.get_config("nyud2").methods == benchmarks.DENSE


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


def test_the_studies_of_groups_build():
    """Each arm is what its name says, on any data set."""
    every = {}
    for module in (group, group_curves, group_ablation):
        made = module.get_config("utkface").to_dict()
        assert made["seeds"] == (0, 1, 2)
        assert made["base"] in made["methods"]
        for one in jobs.jobs(made | {"seeds": (0,)}):
            config = jobs.build(one)
            assert config["data"]["name"] == "utkface_dir"
            assert config["data"]["image_size"] == 32
            assert config["stage"]["main"]["epochs"] == 3.0
            epochs, num = group.TUNED["utkface"]
            if "contrast" in config["stages"]:
                assert config["stage"]["contrast"]["epochs"] == epochs
            if module is not group_curves and "groups" in config:
                assert config["groups"]["num"] == num
            every[module, config["method"]] = config
    assert {m for module, m in every if module is group} == {
        "vanilla_mse",
        "vanilla",
        *group.CRITERIA,
    }
    terms = {key: set(c["objective"]["terms"]) for key, c in every.items()}
    assert terms[group, "vanilla"] == {"l1"}
    assert terms[group, "vanilla_mse"] == {"mse"}
    curve = every[group_curves, "decomposition"]
    assert curve["stages"] == ("main",)
    assert curve["groups"]["num"] == 20
    assert curve["objective"]["terms"]["group_dir"]["criterion"] == "ce"
    parts = {m: c for (module, m), c in every.items() if module is group_ablation}
    assert set(parts) == set(group_ablation.PARTS)
    whole = parts["group_dir"]
    assert whole["stages"] == ("contrast", "main")
    for name, path, value in (
        ("without_contrast", "stages", ("main",)),
        ("linear_probing", "stage.main.trainable", ("head",)),
        ("linear_probing", "stage.main.encoder_mode", "eval"),
        ("mixture", "model.head_options.inference", "mixture"),
        ("soft_asymmetric", "objective.terms.group_dir.criterion", "soft_asymmetric"),
    ):
        here, there = parts[name], whole
        for key in path.split("."):
            here, there = here[key], there[key]
        assert here == value != there
    alone = parts["without_classification"]
    assert alone["stages"] == ("contrast", "main")
    assert set(alone["stage"]["contrast"]["objective"]["terms"]) == {"group_contrast"}
    assert set(alone["objective"]["terms"]) == {"mse"}
    assert alone["model"]["head"] == "linear"
    assert parts["single_head"]["stages"] == ("main",)
    assert set(parts["single_head"]["objective"]["terms"]) == {"mse"}
    assert set(parts["joint"]["objective"]["terms"]) == {"group_contrast", "group_dir"}


def test_the_grids_of_groups_build():
    def found(made, path):
        one = [jobs.build(j) for j in jobs.jobs(made.to_dict() | {"seeds": (0,)})]
        for key in path.split("."):
            one = [c[key] for c in one]
        return one

    made = group_number.get_config("bikeshare")
    assert found(made, "groups.num") == [5, 10, 20, 40] * 4
    assert set(found(made, "groups.width_mode")) == {"exact"}
    made = group_number.get_config("bikeshare,full,int_floor")
    assert len(found(made, "groups.num")) == 32
    assert set(found(made, "groups.width_mode")) == {"int_floor"}
    made = group_ablation.get_config("bikeshare,beta")
    path = "objective.terms.group_dir.beta"
    assert found(made, path) == [0.5, 1.0, 2.0, 4.0]
    for module, wrong in ((group_number, "full,exakt"), (group_ablation, "gamma")):
        with pytest.raises(ValueError, match=f"unknown .*{wrong.split(',')[-1]}"):
            module.get_config(f"bikeshare,{wrong}")


def configs(made):
    """The configs of a study by method, of one seed and one point."""
    every = jobs.jobs(made.to_dict() | {"seeds": (0,)})
    return {c["method"]: c for c in map(jobs.build, every)}


def at(config, path):
    for key in path.split("."):
        config = config[key]
    return config


def test_the_four_models_of_the_frobenius_method():
    made = frobenius.get_config("utkface")
    assert tuple(made.seeds) == (0, 1, 2)
    every = configs(made)
    assert tuple(every) == frobenius.METHODS
    assert made.base == "vanilla"
    for name, config in every.items():
        assert config["model"]["label_scaling"] == "deviation"
        assert config["eval"]["features"]
        stages = config["stage"].values()
        # The line has a share of the length and takes no step.
        line = 0.6 if len(stages) == 2 else 0.0
        assert sum(s["epochs"] for s in stages) + line == pytest.approx(3.0)
        order = config["objective"]["terms"].get("norm_order", {"weight": 0.0})
        assert (order["weight"] > 0) == (name in ("frobenius_order", "frobenius"))
        assert ("tune" in config["stage"]) == (name in ("frobenius_tune", "frobenius"))


def test_fine_tuning_of_finished_runs(tmp_path, capsys):
    made = frobenius_posthoc.get_config("diamonds").to_dict()
    made["seeds"] = (3,)
    every = [job.within(tmp_path) for job in jobs.jobs(made)]
    assert len(every) == 3 * len(frobenius_posthoc.BASES)
    for base, norms, longer in zip(every[::3], every[1::3], every[2::3], strict=True):
        assert base.start is None
        before = jobs.build(base)
        assert before["stage"]["main"]["epochs"] == 7.5
        assert before["model"]["label_scaling"] == "deviation"
        weights = []
        for job in (norms, longer):
            config = jobs.build(job)
            assert config["init_from"] == str(tmp_path / base.folder)
            assert config["seed"] == 3
            assert config["stage"]["tune"]["epochs"] == pytest.approx(0.75)
            weights.append(at(config, frobenius_posthoc.GAMMA))
        assert weights == [frobenius.tuned("diamonds")["gamma"], 0.0]
    # A start that is not there, or not finished, is waited for.
    sweep.run(made, tmp_path, job="2/6")
    assert (
        "starts from diamonds/vanilla/seed_3, which is not" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_the_questions_to_the_frobenius_method():
    def found(question, path):
        every = jobs.jobs(frobenius_grid.get_config(question).to_dict())
        return {at(jobs.build(job), path) for job in every}

    order, target = frobenius_grid.ORDER, frobenius_grid.TARGET
    decades = {1e-3, 1e-2, 1e-1, 1.0, 10.0}
    assert found("bikeshare,alpha", f"{order}.alpha") == decades
    assert found("stsb,beta,frobenius_order", f"{order}.weight") == decades
    assert found("bikeshare,alpha", "seed") == {100}
    assert len(found("utkface,bins", "data.bin_width")) == 4
    assert 0.01 in found("bikeshare,gamma,frobenius_tune", f"{target}.weight")
    made = frobenius_grid.get_config("bikeshare,alpha_beta")
    assert len(list(jobs.jobs(made.to_dict()))) == 25

    every = configs(frobenius_grid.get_config("bikeshare,phases"))
    assert len(every) == len(frobenius_grid.SPLITS)
    for name, config in every.items():
        line = at(config, target)
        lengths = (
            config["stage"]["main"]["epochs"],
            line["epochs"],
            config["stage"]["tune"]["epochs"],
        )
        # Of the 50 epochs of bikeshare.
        assert lengths == pytest.approx([int(s) / 2 for s in name.split("_")])
        assert line["fit"] == "sgd"
    every = configs(frobenius_grid.get_config("bikeshare,prototypes"))
    for path in (order, target, frobenius_grid.TUNED_ORDER):
        terms = [at(config, path) for config in every.values()]
        assert [(t["source"], t["reading"]) for t in terms] == [
            ("batch", "prototype"),
            ("batch", "mean_of_norms"),
            ("running", "prototype"),
            ("data", "prototype"),
        ]
    default, *others = configs(frobenius_grid.get_config("bikeshare,readings")).values()
    parts = (order, target, frobenius_grid.TUNED_ORDER)
    for config in others:
        assert [at(config, p) for p in parts] != [at(default, p) for p in parts]
    for wrong, said in (
        ("bikeshare,alfa", "unknown 'alfa'"),
        ("bikeshare,alpha,vanilla", "unknown 'vanilla'"),
        ("bikeshare,gamma,frobenius_order", "no field that gamma varies"),
        ("stsb,bins", "no bin widths"),
    ):
        with pytest.raises(ValueError, match=said):
            frobenius_grid.get_config(wrong)


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
