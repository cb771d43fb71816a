"""Seeds of a study in one program: each is the run that it would be alone."""

import json

import numpy as np
import pytest

from dirjax import sweep, train
from dirjax.configs.studies import common
from dirjax.sweeping import jobs
from dirjax.sweeping import units as units_lib
from dirjax.workdir import run_files
from tests import runs

FIELDS = (
    ("data.limit", 96),
    ("data.batch_size", 32),
    ("data.drop", runs.DROPPED),
    ("train.chunk", 2),
    ("train.average_decay", 0.0),
    ("eval.every", 1.0),
    ("stage.main.steps", 6),
    ("model.encoder", {"width": 8, "depth": 1}),
)


def study(**fields):
    made = common.get_config().to_dict() | {"fields": FIELDS, "together": True}
    return made | {"options": ("smoke",)} | fields


def units(made, tmp_path):
    every = list(jobs.jobs(made))
    found = units_lib.units([(j, jobs.build(j)) for j in every], tmp_path, True)
    return [[j.folder.as_posix() for j, _ in unit] for unit in found]


def test_what_is_trained_together(tmp_path):
    made = study(methods=("vanilla", "fds", "again"), seeds=(0, 1, 3))
    made |= {"arguments": (("again", "vanilla"),), "starts": (("again", "vanilla"),)}
    # A run that has started alone goes on alone.
    (tmp_path / "bikeshare" / "fds" / "seed_0" / "checkpoints").mkdir(parents=True)
    names = {"vanilla": ((0, 1), (3,)), "fds": ((0,), (1,), (3,))}
    names["again"] = ((0,), (1,), (3,))
    want = [
        [f"bikeshare/{m}/seed_{s}" for s in seeds]
        for m, found in names.items()
        for seeds in found
    ]
    assert sorted(units(made, tmp_path)) == sorted(want)
    # One that was taken out of a run with members does not.
    (tmp_path / "bikeshare" / "fds" / "together_0-1").mkdir()
    assert ["bikeshare/fds/seed_0", "bikeshare/fds/seed_1"] in units(made, tmp_path)
    made["fields"] += (("train.patience", 2),)
    assert all(len(unit) == 1 for unit in units(made, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["vanilla", "fds"])
def test_each_is_the_run_alone(tmp_path, method, capsys, monkeypatch):
    made = study(methods=(method,), base="", seeds=(3, 4))
    folder = tmp_path / "bikeshare" / method
    # Killed after the first seed: it goes on with the members that are there.
    whole, done = train.train_and_evaluate, []

    def killed(config, workdir, **kwargs):
        if workdir.name == "seed_4" and not done:
            done.append(workdir)
            raise KeyboardInterrupt
        return whole(config, workdir, **kwargs)

    monkeypatch.setattr(train, "train_and_evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(made, tmp_path)
    assert (folder / "together_3-4" / run_files.RESULT).exists()
    sweep.run(made, tmp_path)
    assert not (folder / "together_3-4").exists()
    said = capsys.readouterr().out
    assert f"bikeshare/{method}/seed_3 to seed_4, in one program" in said
    for job in jobs.jobs(made):
        config = jobs.build(job)
        alone = whole(config, tmp_path / "alone" / job.folder, show="nothing")
        found = json.loads((tmp_path / job.folder / run_files.RESULT).read_text())
        assert found["best_step"] == alone["best_step"]
        assert (found["steps"], found["seed"]) == (alone["steps"], job.fields["seed"])
        assert found["members"] is None
        one, two = (
            run_files.read_predictions(where / job.folder, "test")["prediction"]
            for where in (tmp_path, tmp_path / "alone")
        )
        np.testing.assert_allclose(one, two, rtol=1e-5)
