"""Every table and figure of the papers is one study that builds."""

import collections
import functools
import json
from typing import Any

import pytest

from dirjax import data
from dirjax.config import validation
from dirjax.configs.studies import common, group, published
from dirjax.sweeping import jobs
from tests import runs

SMALL = ("utkface", "stsb_bilstm", "nyud2", "bikeshare")
# Runs of the published form, of one seed.
RUNS = {
    "ssir_table1": 13,
    "ssir_table2": 13,
    "ssir_table3": 4,
    "ssir_table4": 3 + 8,
    "ssir_table5": 3 + 12 + 20,
    "ssir_table6": 1 + 12 + 4,
    "ssir_noise": 2 + 4,
    "ssir_steps": 1 + 3,
    "ssir_fig2b": 1,
    "ssir_fig3a": 1 + 20,
    "ssir_fig3b": 1,
    "ssir_fig4": 1,
    "ssir_fig5ab": 2,
    "ssir_fig5cd": 2,
    "ssir_fig6": 3,
    "ssir_fig7": 3,
    "group_dir_table1": 8,
    "group_dir_table2": 5,
    "group_dir_table3": 8,
    "group_dir_fig2": 1,
    "group_dir_fig3": 2,
    "group_dir_fig4": 1,
    "group_dir_fig5": 3,
    "group_dir_fig6": 5,
    "group_dir_fig7": 3 * 8,
    "group_dir_fig8": 8,
    "group_dir_supplement_table1": 5 * 8,
    "group_dir_supplement_fig1": 2,
    "group_dir_supplement_fig2": 2,
    "frobenius_fig1": 7,
    "frobenius_fig2": 7,
    "frobenius_fig3": 5,
    "frobenius_fig4": 5,
    "frobenius_fig5": 7,
    "frobenius_norms": 7,
}


def first_jobs(made):
    """Of each method its first job, and the number of jobs of one seed."""
    first = {}
    every = list(jobs.jobs(made.to_dict() | {"seeds": (0,)}))
    assert len({job.folder for job in every}) == len(every)
    for job in every:
        first.setdefault(job.folder.parts[1], job)
    left_out = [method for _, method in made.left_out]
    assert tuple(first) == tuple(m for m in made.methods if m not in left_out)
    assert not made.base or made.base in first
    return first, len(every)


def built(job):
    config: Any = jobs.build(job)
    config["data"]["path"] = config["data"]["path"] or "folder"
    validation.validate(config)
    # That labels are one per pixel shows only in the data.
    resampled = any(config["stage"][name]["resample"] for name in config["stages"])
    assert not (resampled and job.file in common.MAPS)
    return config


@pytest.mark.parametrize("table", RUNS)
def test_the_published_form(table):
    first, number = first_jobs(published.get_config(table))
    assert number == RUNS[table]
    configs = {name: built(job) for name, job in first.items()}
    for name, config in configs.items():
        assert config["data"]["name"].endswith("_dir")
        if "group_dir_" in table and "contrast" in config["stages"]:
            assert config["stage"]["contrast"]["epochs"] == 300.0, name


def test_all_are_named():
    assert {*RUNS, published.PROGRAM} == set(published.KNOWN)
    said = published.__doc__
    assert published.get_config(published.PROGRAM).program
    counts = collections.Counter(name.partition("_")[0] for name in published.KNOWN)
    assert set(counts) == {"ssir", "group", "frobenius"}
    for name in ("ssir_table1", "ssir_noise", "ssir_steps", "frobenius_norms"):
        assert name in said
    for wrong, why in (
        ("ssir_table7", "unknown table 'ssir_table7'"),
        ("ssir_fig2a,utkface", "makes its own data"),
        ("ssir_table1,recipes/ssir_table2", "recipes/ssir_table2 is a recipe"),
        ("ssir_table1,utkface,x", "must be TABLE"),
        ("ssir_fig4,nyud2", "under noise of ssir_fig4 are for one"),
    ):
        with pytest.raises(ValueError, match=why):
            published.get_config(wrong)


@pytest.mark.parametrize("dataset", SMALL)
@pytest.mark.parametrize("table", RUNS)
@pytest.mark.quick(
    "ssir_table5-utkface",
    "ssir_table1-nyud2",
    "ssir_table6-nyud2",
    "group_dir_table3-stsb_bilstm",
    "group_dir_supplement_table1-utkface",
    "frobenius_fig1-stsb_bilstm",
    "frobenius_fig5-bikeshare",
)
def test_the_small_form(table, dataset):
    if dataset == "nyud2" and table in published.PROBES:
        with pytest.raises(ValueError, match="one per pixel"):
            published.get_config(f"{table},{dataset}")
        return
    made: Any = published.get_config(f"{table},{dataset}")
    first, number = first_jobs(made)
    assert number == RUNS[table] - len(made.left_out)
    for name, job in first.items():
        config = built(job)
        if "contrast" in config["stages"]:
            # Those of the data set where it was tuned, not the paper's 300.
            tuned = group.TUNED.get(dataset, {}).get("epochs")
            epochs = config["stage"]["contrast"]["epochs"]
            assert epochs == tuned or (tuned is None and epochs < 300), name


def test_on_maps_rows_that_make_rows_are_left_out():
    for table in ("ssir_table1", "ssir_table2"):
        made: Any = published.get_config(f"{table},nyud2")
        file = made.configs[0]
        names = ("smoter", "smogn", "smogn_lds_fds")
        assert made.left_out == tuple((file, name) for name in names)
        faces: Any = published.get_config(f"{table},utkface")
        assert not faces.left_out
        whole: Any = published.get_config(table)
        assert not whole.left_out


@pytest.mark.slow
@pytest.mark.parametrize("dataset", SMALL)
def test_every_row_of_the_small_form_fits_its_data(dataset, data_dir, monkeypatch):
    """All stages of all rows are built and their losses traced, on rows of the file."""
    del data_dir  # for the others than bikeshare
    load = data.from_config

    @functools.cache
    def read(fields):
        return load(json.loads(fields))

    monkeypatch.setattr(data, "from_config", lambda fields: read(json.dumps(fields)))
    seen = set()
    for table in RUNS:
        if dataset == "nyud2" and table in published.PROBES:
            continue
        first, _ = first_jobs(published.get_config(f"{table},{dataset}"))
        for name, job in first.items():
            if (name, job.argument) not in seen:
                config: Any = jobs.build(job)
                config["data"].update(limit=2000, reader="array")
                runs.built(config)
            seen.add((name, job.argument))
    assert len(seen) > 20
