"""Published numbers: the file, the look-up, and where the report shows them."""

import csv

import numpy as np
import pytest

from dirjax import report
from dirjax.configs.studies import baselines
from dirjax.report import formats, published
from tests.fake_runs import write_run

AGEDB = {
    "dataset": "agedb_dir",
    "counts": (1530, 448, 162),
    "model": {"name": "resnet50"},
    "examples": 400,
}


def ssir(epsilon, lam, **settings):
    return {"ssir": {"epsilon": epsilon, "lam": lam, **settings}}


def agedb(folder, method, **kwargs):
    return write_run(folder, method=method, **{**AGEDB, **kwargs})


def test_file_is_sound():
    text = published.importlib.resources.files("dirjax.report") / "published.csv"
    rows = list(csv.DictReader(text.read_text().splitlines()))
    assert len(rows) > 1000
    for row in rows:
        assert all(row.values()), row
        value = float(row["value"])
        assert value > 0
        assert row["dataset"] in published.DATASETS.values()
        assert row["metric"] in {"mae", "gm", "mse", "rmse", "delta1", "pearson"}
        assert row["shot"] in {"all", "many", "median", "few"}
        assert "bMAE" not in row["note"]
        assert value <= 1 or row["metric"] != "delta1"
    keys = [tuple(v for k, v in row.items() if k != "value") for row in rows]
    assert len(set(keys)) == len(keys)
    assert {r.backbone for r in published.records()} <= set(
        published.BACKBONES.values()
    )


def test_names_of_methods():
    """The baselines are mapped, and each mapped name is in the file."""
    assert set(baselines.METHODS) <= set(published.METHODS)
    names = {record.method for record in published.records()}
    assert set(published.METHODS.values()) <= names


def test_ssir_tables_are_found():
    """Cells of tables 2, 5 and 6 and of section 8, read by hand."""
    algorithm = {"steps": 2, "noise": "gradient"}
    for method, eps, lam, shot, value in (
        ("FOCAL-R+SSIR", 1e-3, 1.0, "all", "7.35"),
        ("FOCAL-R+SSIR", 5e-3, 1.5, "few", "17.79"),
        ("SQINV+SSIR", 5e-4, 0.1, "median", "8.32"),
    ):
        point = {"eps": eps, "lambda": lam, **algorithm}
        (row,) = published.lookup("AgeDB-DIR", method, "ResNet-50", point)
        assert row.values["mae"][shot] == value
    point = {"eps": 5e-4, "lambda": 2.0, **algorithm}
    network = "ResNet-50 encoder-decoder"
    (row,) = published.lookup("NYUD2-DIR", "VANILLA+SSIR", network, point)
    assert (row.values["rmse"]["all"], row.values["delta1"]["few"]) == (
        "1.402",
        "0.625",
    )
    point = {"eps": 1e-3, "lambda": 0.1, "steps": 1, "noise": "random"}
    (row,) = published.lookup("AgeDB-DIR", "SQINV+SSIR", "ResNet-50", point)
    assert row.values == {"mae": {"all": "7.71"}}
    (row,) = published.lookup(
        "AgeDB-DIR", "SQINV+SSIR", "ResNet-50", {**point, "noise": "gradient"}
    )
    assert row.values == {"mae": {"all": "7.62"}}, "one step"


def test_group_dir_is_found():
    """Its row of each table of its paper, read by hand."""
    for dataset, backbone, metrics, numbers in (
        ("AgeDB-DIR", "ResNet-50", "mae gm", "6.87 6.54 6.96 9.83 4.30 4.10 4.39 6.45"),
        (
            "IMDB-WIKI-DIR",
            "ResNet-50",
            "mae gm",
            "7.22 6.71 11.42 20.25 3.88 3.68 5.74 11.13",
        ),
        (
            "STS-B-DIR",
            "BiLSTM+GloVe",
            "mse pearson",
            "0.887 0.897 0.891 0.779 0.7740 0.7490 0.7070 0.8580",
        ),
    ):
        (row,) = published.lookup(dataset, "Group-DIR", backbone)
        shots = ("all", "many", "median", "few")
        read = [row.values[m][s] for m in metrics.split() for s in shots]
        assert read == numbers.split()
        assert row.source.startswith("paper: Pu et al., Group-DIR, AAAI 2025 Table")
        # Of the other rows of the paper, those that have all cells.
        same = [r for r in published.records() if r.source == row.source]
        assert len(same) >= 15


def test_rows_that_do_not_add_up():
    """Those of section A.4 and of the reference's own check, and no other of SSIR."""
    bad = {(r.dataset, r.name): published.gaps(r) for r in published.records()}
    bad = {key: found for key, found in bad.items() if found}
    copied = "published (Yang et al. in SSIR Table 2)"
    assert set(bad["AgeDB-DIR", f"SMOTER, {copied}"]) == {"mae", "gm"}
    printed, together = bad["AgeDB-DIR", f"FOCAL-R, {copied}"]["mae"]
    # (1530 * 6.68 + 448 * 9.22 + 162 * 13.00) / 2140
    np.testing.assert_allclose((printed, together), (7.64, 7.6902), atol=1e-4)
    assert not any("+SSIR" in name for _, name in bad)
    assert len(bad) == 16


@pytest.mark.slow
def test_shown_beside_the_same_point(tmp_path, quick):
    folders = [agedb(tmp_path / f"v{k}", "vanilla", seed=k) for k in range(2)]
    for eps, lam in ((1e-3, 1.0), (1e-3, 0.7)):
        for seed in range(2):
            folder = tmp_path / f"{eps}-{lam}-{seed}"
            point = ssir(eps, lam, n_steps=2, noise="gradient")
            folders.append(
                agedb(folder, "focal_r_ssir", seed=seed, shrink=0.2, objective=point)
            )
    path = report.write_report(folders, tmp_path / "out", published=True)
    text = (tmp_path / "out" / "table.txt").read_text()
    assert text.count("FOCAL-R+SSIR, published (SSIR Table 2)") == 2, "MAE and GM"
    lines = text.splitlines()
    ours = next(k for k, ln in enumerate(lines) if ln.startswith("focal_r_ssir [lam=1"))
    assert lines[ours + 1].split()[-5:] == ["-", "7.35", "6.53", "8.51", "11.81"]
    assert "VANILLA, published (Yang et al. in SSIR Table 2)" in text
    assert "VANILLA, published (SRL Table 2)" in text
    assert "training and selection may differ" in " ".join(text.split())
    assert "No published numbers" not in text, "a study says nothing of the others"
    assert "published (SSIR Table 2)" in path.read_text()
    table = (tmp_path / "out" / "table.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    (row,) = (
        r
        for r in rows
        if r["method"].startswith("FOCAL-R+SSIR")
        and (r["metric"], r["shot"]) == ("mae", "few")
    )
    assert (row["mean"], row["std"], row["seeds"]) == ("11.81", "", "")
    plain = report.write_report(folders, tmp_path / "plain").read_text()
    assert "published" not in plain


def test_inconsistent_row_is_said(tmp_path, quick, capsys):
    folder = agedb(tmp_path / "run", "focal_r")
    assert report.main(["--published", str(folder)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "MAE: FOCAL-R, published (Yang et al. in SSIR Table 2) 7.64 6.68" in out
    assert "is printed as 7.64, but the shots give 7.69" in out


@pytest.mark.parametrize(
    ("method", "changes", "reason"),
    [
        ("vanilla", {"dataset": "bikeshare"}, "not bikeshare"),
        ("vanilla", {"counts": (1500, 448, 162)}, "not 1500/448/162"),
        ("vanilla", {"model": {"name": "resnet34"}}, "model.name = resnet34"),
        ("vanilla", {"model": {}}, "model.name = None"),
        ("ranksim", {}, "ranksim has no counterpart"),
        ("sqinv_ssir", {}, "none for SQINV+SSIR on AgeDB-DIR, eps=None"),
        ("sqinv_ssir", {"objective": ssir(1e-3, 0.2)}, "lambda=0.2"),
        ("sqinv_ssir", {"objective": ssir(1e-3, 0.1, n_steps=3)}, "steps=3"),
    ],
)
@pytest.mark.quick(
    "vanilla-changes0-not bikeshare",
    "vanilla-changes2-model.name = resnet34",
    "ranksim-changes4-ranksim has no counterpart",
    "sqinv_ssir-changes7-steps=3",
)
def test_otherwise_one_sentence(tmp_path, quick, capsys, method, changes, reason):
    folder = agedb(tmp_path / "run", method, **changes)
    assert report.main([str(folder), "--published"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("No published numbers are shown") == 1
    assert reason in out
    assert ", published (" not in out
    assert report.main([str(folder)]) == 0
    assert "ublished" not in capsys.readouterr().out


def test_text_has_mse_and_pearson_as_a_fraction(tmp_path):
    folder = write_run(
        tmp_path / "run",
        method="inv",
        dataset="stsb_dir",
        model={"name": "bilstm"},
        examples=400,
    )
    (table,) = report.table([report.read_run(folder)], ("mae", "mse", "pearson"))
    table = published.attach(table)
    (row,) = table.published["inv"]
    assert row.source == "Pu et al., Group-DIR, AAAI 2025 Table 3"
    text = formats.to_text([table])
    assert "Pearson: INV, published (Group-DIR Table 3)" in text
    assert 0 < float(row.values["pearson"]["all"]) < 1
    small = write_run(
        tmp_path / "small",
        method="inv",
        dataset="stsb_dir",
        model={"name": "bilstm", "encoder": {"width": 128}},
    )
    found, why = published.of_run(report.read_run(small))
    assert not found
    assert why == "they are for model.encoder.width = 1500, not 128"
