"""The pages of the site that are derived from the repository; run by mkdocs-gen-files.

- a page for each method: presets, measured results, the docstring of its module;
- a page for each room of the API;
- a page for each notebook, with the outputs that it is committed with;
- documents outside of docs/, and each source file that a page links to. The links are
  written as they work in the repository, and rewritten here.
"""

from __future__ import annotations

import ast
import base64
import json
import pathlib
import posixpath
import re
import runpy

import mkdocs_gen_files
from markdown.extensions.toc import slugify

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PRESETS = runpy.run_path(str(ROOT / "configs" / "methods.py"))["PRESETS"]
# Of documents outside of docs/, the page.
MOVED = {
    "launch/README.md": "launch.md",
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
ROOMS = {
    "interface": (
        *("training.fit", "training.description", "training.Description"),
        *("training.choice", "training.Choice", "model.Model", "model.Distribution"),
        *("estimator.DIRRegressor", "frames.table"),
    ),
    "labels": ("bins", "groups", "scales", "specification", "support", "weights"),
    "objectives": ("base",),
    "metrics": ("regression", "depth", "experts"),
    "correct": ("correction", "priors", "residuals", "conformal", "estimator"),
    "resampling": ("resample",),
    "parallel": (),
}
MORE = {
    "objectives": "Each method: [methods](../methods/index.md).",
    "interface": "`dirjax.fit`, `dirjax.load` (a `Model`), `dirjax.describe` "
    "(`description`), `dirjax.choose` (`choice`) and `dirjax.DIRRegressor`; how to use "
    "them: [Python](../python.md).",
}
LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^(```.*?^```|    .*?)$", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".sh": "bash", ".csv": "text", ".md": "markdown"}
# Linked source files; their pages are written at the end.
_sources: set[str] = set()


def write(page, text):
    """Adds a page to the site."""
    with mkdocs_gen_files.open(page, "w") as file:
        file.write(text)


def methods():
    """Module name -> its docstring, of each method."""
    files = sorted((ROOT / "dirjax" / "objectives").glob("[!_]*.py"))
    trees = {f.stem: ast.parse(f.read_text()) for f in files if f.stem != "base"}
    return {name: ast.get_docstring(tree) or "" for name, tree in trees.items()}


METHODS = methods()


def page_of(path):
    """The page that shows a file of the repository."""
    if path in MOVED:
        return MOVED[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    name = path.removeprefix("dirjax/objectives/").removesuffix(".py")
    if name in METHODS:
        return f"methods/{name}.md"
    file = ROOT / path
    if file.is_dir():
        path = posixpath.join(path, "__init__.py")
    _sources.add(path)
    return f"source/{path}.md"


def on_site(text, path, page):
    """A document as a page, with the links of its place in the repository rewritten.

    Args:
      text: Markdown.
      path: where the document is in the repository.
      page: where it is on the site.
    """

    def link(match):
        target, anchor = match[1], match[2] or ""
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        found = page_of(file)
        return posixpath.relpath(found, posixpath.dirname(page) or ".") + anchor

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    # One program in several blocks (tests/test_docs.py).
    return "".join(parts).replace("```python continued", "```python")


def terms_of(preset):
    """Names of the terms and wrappers of a preset, in all of its stages."""
    stages = preset.get("stage", {}).values()
    found = set()
    for record in (preset.get("objective"), *(s.get("objective") for s in stages)):
        if record:
            found |= {*record["terms"], *record["wrappers"]}
    return found


def presets_of(method):
    """Presets with this method; of the base losses, `vanilla`."""
    if method in ("l1", "mse", "huber"):
        return ["vanilla"]
    return [name for name, preset in PRESETS.items() if method in terms_of(preset)]


def tables(path):
    """`(heading, rows)` of each table of a page, rows as lists of cells."""
    heading, rows = "", []
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([c.strip() for c in cells])
        elif rows:
            yield heading, rows
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()


def name_of(cell):
    """The method that a row is about: "*sqinv\\_lds minus vanilla*" is sqinv_lds."""
    return re.split(r" minus |, ", cell.replace("\\_", "_").strip("*"))[0]


def results_of(presets):
    """Rows of measured tables about these presets, beside those of `vanilla`."""
    wanted, parts = set(presets), []
    for path in sorted(DOCS.glob("*.md")):
        said = set()
        for heading, (header, *rows) in tables(path):
            if not {"all", "few"} <= set(header) or header[0] == "data":
                continue
            own = [row for row in rows if name_of(row[0]) in wanted]
            if not own or heading in said:
                continue
            said.add(heading)
            shown = [row for row in rows[1:] if name_of(row[0]) in {"vanilla", *wanted}]
            lines = [header, rows[0], *shown]
            table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
            anchor = slugify(re.sub(r"[`*\\]", "", heading), "-")
            title = heading.replace("`", "")
            parts.append(f"### [{title}](../{path.name}#{anchor})\n\n{table}\n")
    return "\n".join(parts)


def title_of(said):
    """The name of a method, from the first line of its docstring."""
    return said.split("\n")[0].split(":")[0].rstrip(".")


def method_page(name, said):
    """The page of a method."""
    presets = presets_of(name)
    names = ", ".join(f"`{p}`" for p in presets) or "none; it is a term for your own"
    page = f"# {title_of(said)}\n\n**Presets:** {names}\n\n"
    if presets:
        page += (
            "```bash\npython -m dirjax.main --config configs/bikeshare.py:"
            f"{presets[0]} --workdir runs/{presets[0]}\n```\n\n"
        )
    page += f"::: dirjax.objectives.{name}\n    options:\n      heading_level: 2\n"
    page += "      show_root_heading: false\n      show_root_toc_entry: false\n\n"
    results = results_of(presets) if name not in ("mse", "huber") else ""
    page += "## Measured\n\n" + (
        "Rows from the pages of results, which have commands, seeds and what to make "
        f"of them.\n\n{results}"
        if results
        else "Nothing is measured with it on these pages yet.\n"
    )
    write(f"methods/{name}.md", page)


def method_pages():
    """A page a method, and one with all of them."""
    rows = []
    for name, said in METHODS.items():
        method_page(name, said)
        first = said.split("\n\n")[0].replace("\n", " ")
        presets = ", ".join(f"`{p}`" for p in presets_of(name))
        rows.append(f"| [{name}]({name}.md) | {first} | {presets} |")
    resampled = ", ".join(f"`{p}`" for p in PRESETS if "resample" in PRESETS[p])
    rows.append(
        "| [resampling](../reference/resampling.md) | SMOTER and SMOGN: fewer common "
        f"rows, synthetic rare ones. | {resampled} |"
    )
    staged = ", ".join(f"`{p}`" for p in PRESETS if p.startswith("rrt"))
    rows.append(
        "| [stages](../architecture.md#stages) | RRT: encoder first, then a fresh head "
        f"on re-weighted loss. | {staged} |"
    )
    head = (
        "# Methods\n\nA *term* is a loss; a *wrapper* changes what terms see (weights, "
        "features, inputs). A *preset* combines them and is what `--config "
        "configs/DATA.py:PRESET` and `dirjax.fit(frame, label, method=PRESET)` take. "
        "Which one to use: [choosing](../choosing.md), and what was measured: "
        "[results](../results.md), [any prior](../any-prior.md).\n\n"
        "| module | what it does | presets |\n| --- | --- | --- |\n"
    )
    write("methods/index.md", head + "\n".join(rows) + "\n")
    nav = ["* [All methods](index.md)"]
    nav += [f"* [{title_of(said)}]({name}.md)" for name, said in METHODS.items()]
    write("methods/SUMMARY.md", "\n".join(nav) + "\n")


def reference_pages():
    """A page for each public room."""
    nav = []
    for room, modules in ROOMS.items():
        tree = ast.parse((ROOT / "dirjax" / room / "__init__.py").read_text())
        about = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
        names = [f"dirjax.{room}.{m}" for m in modules] or [f"dirjax.{room}"]
        page = f"# dirjax.{room}\n\n{about}\n\n{MORE.get(room, '')}\n\n"
        write(f"reference/{room}.md", page + "\n\n".join(f"::: {n}" for n in names))
        nav.append(f"* [{room}]({room}.md)")
    write("reference/SUMMARY.md", "\n".join(nav) + "\n")


def output_of(output, name):
    """Markdown of an output of a cell; pictures become files."""
    data = output.get("data", {})
    if "image/png" in data:
        with mkdocs_gen_files.open(f"notebooks/{name}.png", "wb") as file:
            file.write(base64.b64decode("".join(data["image/png"])))
        return f"![Output of the cell above]({name}.png)\n"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```\n" if text.strip() else ""


def notebook_pages():
    """A page for each notebook."""
    nav = []
    books = (ROOT / "notebooks").glob("*.ipynb")
    for path in sorted(books, key=lambda p: (p.stem != "quickstart", p.stem)):
        parts = []
        cells = json.loads(path.read_text())["cells"]
        for i, cell in enumerate(cells):
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                source = f"notebooks/{path.name}"
                parts.append(on_site(text, source, f"notebooks/{path.stem}.md") + "\n")
                continue
            parts.append(f"```python\n{text}\n```\n")
            for j, output in enumerate(cell["outputs"]):
                parts.append(output_of(output, f"{path.stem}_{i}_{j}"))
        write(f"notebooks/{path.stem}.md", "\n".join(parts))
        nav.append(f"* [{parts[0].split(chr(10))[0].lstrip('# ')}]({path.stem}.md)")
    write("notebooks/SUMMARY.md", "\n".join(nav) + "\n")


def documents():
    """Pages of docs/, and documents outside of it."""
    for path in DOCS.glob("*.md"):
        write(path.name, on_site(path.read_text(), f"docs/{path.name}", path.name))
    for path, page in MOVED.items():
        write(page, on_site((ROOT / path).read_text(), path, page))


def source_pages():
    """A page for each source file that a page links to."""
    for path in sorted(_sources):
        file = ROOT / path
        kind = LANGUAGES.get(file.suffix, "text")
        code = file.read_text()
        page = f"# {path}\n\n````{kind}\n{code}\n````\n"
        write(f"source/{path}.md", f"---\nsearch:\n  exclude: true\n---\n\n{page}")


documents()
method_pages()
reference_pages()
notebook_pages()
source_pages()
