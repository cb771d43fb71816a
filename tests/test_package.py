"""The wheel: what is in it, and that it works from an empty folder."""

import configparser
import os
import pathlib
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


@pytest.mark.slow
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
        "dirjax/report/page.html.jinja",
    ):
        assert name in names
    packages = {p.parent for p in ROOT.glob("dirjax/**/*.py")}
    for package in packages:
        inside = package.relative_to(ROOT).as_posix()
        assert any(n.startswith(f"{inside}/") for n in names), inside


@pytest.mark.slow
def test_wheel_works_from_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    # The wheel comes first on the path, before the checkout that is installed here.
    environment = os.environ | {"PYTHONPATH": str(site)}
    code = (
        "import dirjax, dirjax.configs, sys; from dirjax import main;"
        "from dirjax.cli import status;"
        f"assert dirjax.__file__.startswith({str(site)!r}), dirjax.__file__;"
        f"assert dirjax.configs.__file__.startswith({str(site)!r});"
        # ml_collections looks there for overrides.
        "sys.argv = ['main', "
        "'--config=configs/bikeshare.py:vanilla,smoke', '--workdir=run', "
        "'--config.model.encoder.width=8', '--config.model.encoder.depth=1'];"
        "sys.exit(status.run(main.main, sys.argv))"
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


@pytest.mark.slow
def test_light_imports():
    for module, absent in (
        ("dirjax", ("jax", "tensorflow", "numpy")),
        ("dirjax.report, dirjax.describe", ("jax", "tensorflow")),
        ("dirjax.train", ("tensorflow",)),
    ):
        code = f"import {module}, sys; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.split())
        assert not loaded & set(absent), (module, loaded & set(absent))


def test_every_room_is_packaged():
    """The wheel holds what `setup.cfg` lists; an editable install does not tell."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    rooms = {p.parent.relative_to(ROOT) for p in ROOT.glob("dirjax/**/*.py")}
    wanted = {".".join(room.parts) for room in rooms}
    configs = {name for name in listed if name.startswith("dirjax.configs")}
    assert listed - configs == {n for n in wanted if "configs" not in n.split(".")}
