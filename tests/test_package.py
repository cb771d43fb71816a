"""The wheel: what is in it, and that it works from an empty folder."""

import ast
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built through the sdist as PyPI would."""
    source = tmp_path_factory.mktemp("source")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if files.returncode:
        pytest.skip("needs a git checkout to tell sources from leftovers")
    for name in filter(None, files.stdout.split("\0")):
        target = source / name
        if (ROOT / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((source / "dist").glob("*.tar.gz"))) == 1
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_wheel_holds_data_configs_and_notices(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "dirjax/py.typed",
        "dirjax/data/embedded/bikeshare.csv.gz",
        "dirjax/data/embedded/mnist5k.npz",
        "dirjax/data/embedded/NOTICE.md",
        "dirjax/data/builders/agedb_dir/README.md",
        "dirjax/data/builders/imdb_wiki_dir/CITATIONS.bib",
        "dirjax/configs/bikeshare.py",
        "dirjax/configs/studies/baselines.py",
        "dirjax/report/__main__.py",
        "dirjax/report/published.csv",
        "dirjax/report/published.md",
    ):
        assert name in names
    packages = {p.parent for p in ROOT.glob("dirjax/**/*.py")}
    for package in packages:
        inside = package.relative_to(ROOT).as_posix()
        assert any(n.startswith(f"{inside}/") for n in names), inside


def test_wheel_works_from_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    # The wheel comes first on the path, before the checkout that is installed here.
    environment = os.environ | {"PYTHONPATH": str(site)}
    code = (
        "import dirjax, dirjax.configs, sys; from dirjax import cli, main;"
        f"assert dirjax.__file__.startswith({str(site)!r}), dirjax.__file__;"
        f"assert dirjax.configs.__file__.startswith({str(site)!r});"
        "sys.exit(cli.run(main.main, ['main', "
        "'--config=configs/bikeshare.py:vanilla,smoke', '--workdir=run']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert (empty / "run" / "result.json").exists()


def imports(file):
    """Top-level names of the modules a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_rooms_keep_to_themselves():
    for file in ROOT.glob("dirjax/**/*.py"):
        room = file.relative_to(ROOT / "dirjax").parts[0]
        names = set(imports(file))
        if file.name not in ("pipeline.py", "registered.py"):
            assert not any(n.split(".")[0] == "tensorflow" for n in names), file
        if room != "models":
            assert not any(n.startswith("flax.linen") for n in names), file
        if room == "objectives":
            assert not any("ml_collections" in n for n in names), file
        if room not in ("main.py", "sweep.py", "train.py"):
            assert "dirjax.train" not in names, file
        assert not re.search(r"\b(TODO|FIXME)\b", file.read_text()), file
        assert file.stem not in ("utils", "helpers", "misc")


def test_light_imports():
    for module, absent in (
        ("dirjax", ("jax", "tensorflow", "numpy")),
        ("dirjax.report", ("jax", "tensorflow")),
        ("dirjax.train", ("tensorflow",)),
    ):
        code = f"import {module}, sys; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.split())
        assert not loaded & set(absent), (module, loaded & set(absent))
