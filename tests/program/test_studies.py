"""The studies of methods: each run is what its name says, on any data set."""

import collections

import pytest

from dirjax import sweep
from dirjax.config import validation
from dirjax.configs import methods
from dirjax.configs.studies import (
    any_prior,
    baselines,
    benchmarks,
    common,
    frobenius,
    frobenius_grid,
    frobenius_posthoc,
    group,
    group_ablation,
    group_curves,
    group_grid,
    group_number,
    proof,
    ssir,
    ssir_grid,
    ssir_readings,
    ssir_steps,
)
from dirjax.sweeping import jobs, tuning


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
        for name, bases in ssir.WITH.items():
            if base in bases:
                epsilon, lam = tuned[name]
                epsilon = 2e-3 if base == "sqinv_ssir" else epsilon
                noise = fields["ssir"]
                assert (noise["epsilon"], noise["lam"]) == (epsilon, lam)
                seen += 1
    assert seen == 6
    assert len(list(jobs.jobs(ssir_grid.get_config("bikeshare,sqinv")))) == 12
    assert len(list(jobs.jobs(ssir_steps.get_config("bikeshare,sqinv")))) == 15
    # Table 6 has 12 points on vanilla.
    made = ssir_grid.get_config("nyud2,vanilla,nyud2").to_dict()
    paths = (ssir_grid.EPSILON, ssir_grid.LAM)
    points = [tuple(j.fields[p] for p in paths) for j in jobs.jobs(made)]
    assert len(set(points)) == len(points) == 12
    assert {lam for epsilon, lam in points if epsilon == 1e-3} == {0.1, 0.3, 0.5, 1.0}
    for question in ssir_readings.QUESTIONS:
        study = ssir_readings.get_config(f"rotation,{question}").to_dict()
        assert [jobs.build(j) for j in jobs.jobs(study)]


@pytest.mark.parametrize(
    ("arg", "points"), [("bikeshare,spread", 5), ("bikeshare,bins", 7)]
)
def test_the_questions_to_the_histogram_head(arg, points):
    every = list(jobs.jobs(any_prior.get_config(arg).to_dict()))
    assert len({str(job.folder) for job in every}) == len(every) == 3 * points
    for job in every[:points]:
        made = jobs.build(job)
        assert (made["support"]["num"] == 0) == (made["support"]["spacing"] == "bins")
        assert made["seed"] == 100


@pytest.mark.parametrize(
    ("arg", "points"),
    # Every base alone, and its grid for each of two targets.
    [("rotation,pixel", 3 + 2 * (20 + 12 + 20)), ("nyud2,pixel", 2 + 2 * (12 + 4))],
)
def test_the_grid_of_a_reading(arg, points):
    made = ssir_readings.get_config(arg).to_dict()
    every = {str(j.folder): j for j in jobs.jobs(made)}
    assert len(every) == len(list(jobs.jobs(made))) == points
    of_readings(every.values(), made)


@pytest.mark.parametrize("arg", ["rotation,pixel", "nyud2,bins", "utkface,pixel"])
def test_a_reading_has_controls(arg, monkeypatch):
    """Two steps, one step and random noise, of one radius and factor, five seeds."""
    of_data = {"vanilla": {"stopped": (0.5, 0.25)}}
    dataset, reading = arg.split(",")
    monkeypatch.setitem(ssir.TUNED_AS[reading], dataset, of_data)
    made = ssir.get_config(arg).to_dict()
    bases = 2 if dataset == "nyud2" else 3
    assert made["seeds"] == (0, 1, 2, 3, 4)
    every = list(jobs.jobs(made))
    assert len(every) == 5 * bases * (1 + 2 * 3)
    found = of_readings(every, made)
    for name, noise in found.items():
        if noise and name.startswith(("ssir_stopped", "random_noise_stopped")):
            assert (noise["epsilon"], noise["lam"]) == (0.5, 0.25)
        elif noise and reading == "bins":
            assert noise["epsilon"] == 1.0
            assert noise["units"] == "bins"


def of_readings(every, made):
    """The fields of SSIR by method, of the first job of each."""
    first, found = {}, {}
    for job in every:
        first.setdefault(job.folder.parts[1], job)
    assert set(first) == set(made["methods"])
    for name, job in first.items():
        noise = found[name] = jobs.build(job)["objective"].get("ssir")
        assert (noise is None) == (name in ssir.WITH)
        if noise:
            assert noise["norm"] == "pixel" or noise["units"] == "bins"
            assert noise["target"] == ("stopped" if "stopped" in name else "both")
            assert noise["n_steps"] == (1 if "one_step" in name else 2)
            assert noise["noise"] == ("random" if "random" in name else "gradient")
    return found


def test_the_study_of_benchmarks_builds():
    """With what the studies of methods found best, where they looked."""
    made = benchmarks.get_config("mnist5k").to_dict() | {"seeds": (0,)}
    found = {j.argument.split(",")[0]: jobs.build(j) for j in jobs.jobs(made)}
    assert set(found) == set(benchmarks.METHODS)
    epsilon, lam = ssir.TUNED["mnist5k"]["vanilla"]
    noise = found["ssir"]["objective"]["ssir"]
    assert (noise["epsilon"], noise["lam"]) == (epsilon, lam)
    assert found["group_dir"]["groups"]["num"] == group.TUNED["mnist5k"]["num"]
    terms = found["frobenius"]["stage"]["tune"]["objective"]["terms"]
    assert terms["norm_target"]["weight"] == frobenius.TUNED["mnist5k"]["gamma"]
    assert benchmarks.get_config("nyud2").methods == benchmarks.DENSE


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
            epochs, num = (group.TUNED["utkface"][n] for n in ("epochs", "num"))
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


@pytest.mark.slow
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
    made = group_number.get_config("agedb_dir,equal_count")
    assert set(found(made, "groups.label_range")) == {None}
    # Any other file, whose length may be in steps, and recipes with published grids.
    made = group_grid.get_config("abalone")
    assert dict(made.grid) == {
        "stage.contrast.steps": (300, 900, 3000, 9000, 18000),
        "groups.num": (5, 10, 20),  # It has 29 bins.
    }
    assert jobs.build(next(jobs.jobs(made.to_dict())))["groups"]["num"] == 5
    made = group_grid.get_config("recipes/group_dir_imdb_wiki,rate")
    for stage in ("contrast", "main"):
        rates = found(made, f"stage.{stage}.learning_rate")
        assert rates == [1e-4, 1e-5, 1e-6, 1e-7, 1e-8]
    for question in group_grid.KNOWN:
        first, *others = jobs.jobs(
            group_grid.get_config(f"utkface,{question},group_la").to_dict()
        )
        assert others
        length = jobs.build(first)["stage"]["contrast"]["epochs"]
        assert (length == group.TUNED["utkface"]["epochs"]) == (question != "length")
    made = group_ablation.get_config("bikeshare,beta")
    path = "objective.terms.group_dir.beta"
    assert found(made, path) == [0.5, 1.0, 2.0, 4.0]
    for module, wrong in (
        (group_number, "full,exakt"),
        (group_ablation, "gamma"),
        (group_grid, "numbers"),
        (group_grid, "length,group_soft"),
    ):
        with pytest.raises(ValueError, match=f"unknown .*{wrong.split(',')[-1]}"):
            module.get_config(f"bikeshare,{wrong}")


def configs(made):
    """The configs of a study by method, of one seed and one point."""
    every = jobs.jobs(made.to_dict() | {"seeds": (0,)})
    return {c["method"]: c for c in map(jobs.build, every)}


@pytest.mark.parametrize(
    "module", [group, group_ablation, group_curves, group_grid, group_number]
)
def test_groups_of_depth_maps(module):
    """Each method builds; the contrast draws pixels."""
    for method, one in configs(module.get_config("nyud2")).items():
        validation.validate(one)
        assert one["model"]["head"] in ("dense", "experts"), method
        contrast = one["stage"].get("contrast")
        if contrast is not None:
            terms = contrast["objective"]["terms"]
            assert terms["group_contrast"]["pixels"] == 1024


def at(config, path):
    for key in path.split("."):
        config = config[key]
    return config


def test_the_four_models_of_the_frobenius_method():
    made = frobenius.get_config("utkface")
    assert tuple(made.seeds) == (0, 1, 2)
    every = configs(made)
    assert tuple(every) == (*frobenius.METHODS, *frobenius.CONTROLS)
    assert made.base == "vanilla"
    for name, config in every.items():
        assert config["model"]["label_scaling"] == "deviation"
        assert config["eval"]["features"]
        stages = config["stage"].values()
        # The line has a share of the length and takes no step.
        line = 0.6 if len(stages) == 2 or name == "vanilla_80" else 0.0
        assert sum(s["epochs"] for s in stages) + line == pytest.approx(3.0)
        order = config["objective"]["terms"].get("norm_order", {"weight": 0.0})
        ordered = name.startswith("frobenius") and name != "frobenius_tune"
        assert (order["weight"] > 0) == ordered
        phases = name.endswith(("tune", "target")) or name == "frobenius"
        assert ("tune" in config["stage"]) == phases
        if phases:
            target = config["stage"]["tune"]["objective"]["terms"]["norm_target"]
            assert (target["weight"] == 0) == (name in frobenius.CONTROLS)


def test_fine_tuning_of_finished_runs(data_dir, tmp_path, capsys):
    del data_dir  # diamonds do not ship
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
    over = frobenius_posthoc.get_config("diamonds,gamma").to_dict()
    first, *rest = [job.within(tmp_path) for job in jobs.jobs(over | {"seeds": (3,)})]
    found = [jobs.build(job) for job in rest]
    assert [c["init_from"] for c in found] == [str(tmp_path / first.folder)] * 7
    found = [at(config, frobenius_posthoc.TARGET) for config in found]
    assert [t["weight"] for t in found] == list(frobenius_posthoc.GAMMAS)
    assert {t["unit"] for t in found} == {"deviation"}
    # A start that is not there, or not finished, is waited for.
    sweep.run(made, tmp_path, job="2/6")
    assert (
        "starts from diamonds/vanilla/seed_3, which is not" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
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
    assert found("abalone,bins", "data.bin_width") == {1.0, 2.0, 5.0, 10.0}
    made = frobenius_grid.get_config("recipes/frobenius_agedb,phases")
    first = jobs.build(next(jobs.jobs(made.to_dict())))
    assert first["model"]["name"] == "resnet18"
    lengths = [s["epochs"] for s in first["stage"].values()]
    assert lengths == pytest.approx([70.0, 10.0])
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
        ("stsb,bins", "stsb has lists of bins as shots"),
        ("csv,bins", "csv has no bin width"),
    ):
        with pytest.raises(ValueError, match=said):
            frobenius_grid.get_config(wrong)


@pytest.mark.parametrize(
    ("study", "arg"),
    [
        (group_grid, "bikeshare,length,group_dir,x"),
        (group_grid, ""),
        (frobenius_grid, "bikeshare,alpha,frobenius,x"),
        (frobenius_grid, ",alpha"),
        (ssir_grid, "bikeshare,focal_r,agedb,x"),
    ],
)
def test_no_part_of_an_argument_is_ignored(study, arg):
    with pytest.raises(ValueError, match=f"must be DATASET.*got '{arg}'"):
        study.get_config(arg)


def test_the_data_set_of_a_study_has_a_name():
    with pytest.raises(ValueError, match=r"must be one of bikeshare, .* got none"):
        common.data("")


def test_the_proof_tunes_every_preset_alike():
    """Three points for each method on each data set, of a factor that it has."""
    made = proof.get_config().to_dict()
    every = set(methods.PRESETS) - set(proof.NOT)
    assert set(made["methods"]) == every | set(proof.CORRECTED)
    tried = list(tuning.jobs(made))
    points = collections.Counter(j.folder.parts[1:3] for j in tried)
    assert set(points.values()) == {3}
    assert len(points) == len(made["methods"]) * 5 - len(made["left_out"])
    for job in tried[::3]:
        if job.folder.parts[1] != "mnist5k-rotation":
            continue
        config = jobs.build(job)  # The factor exists.
        if "fds" in job.argument:  # In both stages, if there are two.
            stages = [config, *config["stage"].values()]
            found = {s["objective"]["fds"]["sigma"] for s in stages if s["objective"]}
            assert len(found) == 1
        else:
            assert config["stage"]["main"]["learning_rate"] in proof.RATE[1]
    alone = proof.get_config("abalone").to_dict()
    first = next(tuning.jobs(alone))
    assert jobs.build(first)["stage"]["main"]["steps"] == 600
    with pytest.raises(ValueError, match="unknown data set 'nyud2'"):
        proof.get_config("nyud2")
