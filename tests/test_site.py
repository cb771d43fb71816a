"""The documentation site builds, and the notebooks run."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as CI builds it."""
    for module in ("mkdocs", "material", "mkdocstrings", "mkdocs_gen_files"):
        pytest.importorskip(module, reason="pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_each_method_has_a_page_with_presets_and_results(site):
    objectives = (ROOT / "dirjax" / "objectives").glob("[!_]*.py")
    for name in {f.stem for f in objectives} - {"base"}:
        page = (site / "methods" / name / "index.html").read_text()
        assert f'id="dirjax.objectives.{name}.make"' in page
        assert 'id="measured"' in page
    page = (site / "methods" / "reweight" / "index.html").read_text()
    assert "sqinv minus vanilla" in page
    assert "../../results/#bikeshare" in page


def test_links_to_sources_lead_to_pages(site):
    assert (
        "../source/configs/common.py/" in (site / "own-data" / "index.html").read_text()
    )
    assert (site / "source" / "configs" / "common.py" / "index.html").exists()


def test_examples_are_programs(site):
    page = (site / "reference" / "labels" / "index.html").read_text()
    assert page.count("gp") > 20  # prompts, as the highlighter marks them
    assert "<blockquote>" not in page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="pip install -e '.[docs]'")
    nbclient = pytest.importorskip("nbclient", reason="pip install -e '.[docs]'")
    for module in ("ipykernel", "pandas"):
        pytest.importorskip(module, reason="pip install -e '.[docs]'")
    # Compiled well, as users do.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    shutil.copy(path, tmp_path)
    book = nbformat.read(tmp_path / path.name, as_version=4)
    nbclient.NotebookClient(book, timeout=500, kernel_name="python3").execute(
        cwd=str(tmp_path)
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_are_small_and_executed(path):
    assert path.stat().st_size < 100_000
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)]
    assert all(o["output_type"] != "error" for c in code for o in c["outputs"])
