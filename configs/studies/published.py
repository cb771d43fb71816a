"""Tables and figures of the three papers, one command each.

    python -m dirjax.sweep --config configs/studies/published.py:ssir_table2 \
        --config.data.path=FOLDER --workdir runs/table2
    python -m dirjax.sweep --config configs/studies/published.py:ssir_table2,utkface \
        --workdir runs/small

The argument is a table or figure, and optionally a data set of `common.py` or another
file in configs/, no recipe, whose form, length and optimiser then replace those of the
table's: the small form. Groups and ordered norms have the fields that `group.py` and
`frobenius.py` list for it. `--dry_run` lists the runs. The report in WORKDIR/report
shows published numbers beside ours and draws the figures. Seeds are 0 to 2,
`--config.seeds=0` for one as in the papers; the studies of Frobenius figures keep their
own.

    ssir_table1, 2, 3    methods on IMDB-WIKI-DIR, AgeDB-DIR, NYUD2-DIR
    ssir_table4, 5, 6    radius and factor on the same
    ssir_noise           section 8.1, random noise
    ssir_steps           section 8.2, one to three steps
    ssir_fig2a           motivation experiment
    ssir_fig2b, 3b, 4    predictions and inputs under noise (one study; RUN/report)
    ssir_fig3a           radius and factor on FOCAL-R
    ssir_fig5ab, 5cd     losses by epoch on IMDB-WIKI-DIR, AgeDB-DIR
    ssir_fig6, 7         variance of features by shot, by label (one study)
    group_dir_table1, 2, 3       methods on AgeDB-DIR, IMDB-WIKI-DIR, STS-B-DIR
    group_dir_fig2, 4, 5         groups predicted with cross-entropy, with logit
                                 adjustment; distances from the true group
    group_dir_fig3               squared errors by epoch, whole and decomposed
    group_dir_fig6               balanced MAE by shot on IMDB-WIKI-DIR
    group_dir_fig7, 8            group accuracy and MAE by number of groups
    group_dir_supplement_table1  criteria by number of groups, ResNet-18
    group_dir_supplement_fig1, 2 training labels; errors by label (one study)
    frobenius_fig1, 2    split of the epochs on AgeDB-DIR, IMDB-WIKI-DIR
    frobenius_fig3, 4    alpha, beta
    frobenius_fig5       ablation of the phases, with controls of equal length
    frobenius_norms      norms and errors by label, of the main text's figures

Rows of methods that dirjax lacks are left out, and so are Figs. 1 and 9 to 13 and
Tables 4 to 6 of Group-DIR: the first is a drawing, the others are in no text that was
available. Predictions under noise are of one label per row, not of depth maps; SMOTER
and SMOGN make rows with one label, so that on depth maps their rows are left out
(`left_out`), which `--dry_run` says.
"""

import importlib
from typing import Any, NamedTuple

from dirjax.configs import methods as presets
from dirjax.configs.recipes import groups
from dirjax.configs.studies import (
    common,
    frobenius,
    frobenius_grid,
    group,
    group_curves,
    ssir_grid,
    ssir_motivation,
)


class Entry(NamedTuple):
    """A table or figure: the rows of a recipe, and what varies.

    Attributes:
      recipe: module in configs/recipes.
      rows: its rows, by default all in the table.
      fields: fields of all runs, (path, value).
      grid: fields and values of all rows.
      row_grids: row -> its own grid.
      noise: whether to measure predictions under input noise at the end.
    """

    recipe: str
    rows: tuple = ()
    fields: tuple = ()
    grid: tuple = ()
    row_grids: dict[str, Any] = {}  # noqa: RUF012
    noise: bool = False


def _ssir_grids(table, *bases):
    """Grids of SSIR on some bases, which themselves run once."""
    return {
        f"{base}_ssir" if base != "vanilla" else "ssir": ssir_grid.GRIDS[table][base]
        for base in bases
    }


def _once(grids, *rows):
    return dict.fromkeys(rows, ()) | grids


_AGES = ("sqinv_ssir", "focal_r_ssir")
_BASES = ("vanilla", "sqinv", "focal_r")
_FEATURES = (("eval.features", True),)
_CRITERIA = ("group_ce", "group_la", "group_dir")
_NUMBER = (("groups.num", groups.NUMBERS),)
_NOISES = (("objective.ssir.noise", ("gradient", "random")),)
_PROBED = Entry("ssir_table2", ("focal_r_ssir",), noise=True)
_VARIANCES = Entry("ssir_table1", ("vanilla", "sqinv", "sqinv_ssir"), _FEATURES)
_BY_LABEL = Entry("group_dir_resnet18", ("vanilla", "group_dir"))
TABLES = {
    "ssir_table1": Entry("ssir_table1"),
    "ssir_table2": Entry("ssir_table2"),
    "ssir_table3": Entry("ssir_table3"),
    "ssir_table4": Entry(
        "ssir_table1",
        ("vanilla", "sqinv", "focal_r", *_AGES),
        row_grids=_once(_ssir_grids("imdb", "sqinv", "focal_r"), *_BASES),
    ),
    "ssir_table5": Entry(
        "ssir_table2",
        ("vanilla", "sqinv", "focal_r", *_AGES),
        row_grids=_once(_ssir_grids("agedb", "sqinv", "focal_r"), *_BASES),
    ),
    "ssir_table6": Entry(
        "ssir_table3",
        ("vanilla", "ssir", "inv_ssir"),
        row_grids=_once(_ssir_grids("nyud2", "vanilla", "inv"), "vanilla"),
    ),
    "ssir_noise": Entry(
        "ssir_table2",
        ("sqinv", "focal_r", *_AGES),
        row_grids=dict.fromkeys(_AGES, _NOISES),
    ),
    "ssir_steps": Entry(
        "ssir_table2",
        ("sqinv", "sqinv_ssir"),
        row_grids={"sqinv_ssir": (("objective.ssir.n_steps", (1, 2, 3)),)},
    ),
    "ssir_fig2b": _PROBED,
    "ssir_fig3a": Entry(
        "ssir_table2",
        ("focal_r", "focal_r_ssir"),
        row_grids=_ssir_grids("agedb", "focal_r"),
    ),
    "ssir_fig3b": _PROBED,
    "ssir_fig4": _PROBED,
    "ssir_fig5ab": Entry("ssir_table1", _AGES),
    "ssir_fig5cd": Entry("ssir_table2", _AGES),
    "ssir_fig6": _VARIANCES,
    "ssir_fig7": _VARIANCES,
    "group_dir_table1": Entry("group_dir_agedb"),
    "group_dir_table2": Entry("group_dir_imdb_wiki"),
    "group_dir_table3": Entry("group_dir_stsb"),
    "group_dir_fig2": Entry("group_dir_agedb", ("group_ce",)),
    "group_dir_fig4": Entry("group_dir_agedb", ("group_la",)),
    "group_dir_fig5": Entry("group_dir_agedb", _CRITERIA),
    "group_dir_fig6": Entry("group_dir_imdb_wiki"),
    "group_dir_fig7": Entry("group_dir_agedb", _CRITERIA, grid=_NUMBER),
    "group_dir_fig8": Entry("group_dir_agedb", ("group_dir",), grid=_NUMBER),
    "group_dir_supplement_table1": Entry(
        "group_dir_resnet18",
        ("group_ce", "group_la", "group_etf", "soft_asymmetric", "group_dir"),
        grid=_NUMBER,
    ),
    "group_dir_supplement_fig1": _BY_LABEL,
    "group_dir_supplement_fig2": _BY_LABEL,
}
# Figures with a study of their own -> study, recipe, rest of its argument.
STUDIES = {
    "group_dir_fig3": (group_curves, "group_dir_agedb", ""),
    "frobenius_fig1": (frobenius_grid, "frobenius_agedb", ",phases"),
    "frobenius_fig2": (frobenius_grid, "frobenius_imdb_wiki", ",phases"),
    "frobenius_fig3": (frobenius_grid, "frobenius_agedb", ",alpha"),
    "frobenius_fig4": (frobenius_grid, "frobenius_agedb", ",beta"),
    "frobenius_fig5": (frobenius, "frobenius_agedb", ""),
    "frobenius_norms": (frobenius, "frobenius_agedb", ""),
}
PROGRAM = "ssir_fig2a"
KNOWN = (*TABLES, *STUDIES, PROGRAM)
PROBES = {name for name, entry in TABLES.items() if entry.noise}
# Rows of the group recipes that no table has.
_MORE = set(groups.CRITERIA) - {"group_dir"}


def _resamples(method):
    """Whether a preset makes training rows, of columns or of features."""
    preset = presets.PRESETS[method]
    return any("resample" in p for p in (preset, *preset.get("stage", {}).values()))


def _small(study, dataset, rows):
    """Puts the rows of a recipe on the data set of a study, in its own form."""
    methods = {row: rows[row][0].partition(",")[0] for row in study.methods}
    if common.maps(study):
        study.left_out = tuple(
            (study.configs[0], row) for row, m in methods.items() if _resamples(m)
        )
    study.arguments = tuple((r, m) for r, m in methods.items() if r != m)
    of_objective = tuple(
        (row, path, value)
        for row in methods
        for path, value in rows[row][1].items()
        if path.startswith("objective.")
    )
    grouped = tuple(row for row in methods if row in groups.CRITERIA)
    study.method_fields = of_objective + group.tuned(dataset, grouped)


def _of_entry(table, dataset):
    entry = TABLES[table]
    if dataset.startswith("recipes/"):
        raise ValueError(
            f"DATA of {table} must be a data set of configs/studies/common.py or "
            f"another file in configs/, {dataset} is a recipe with rows of its own. "
            f"Leave it out for the recipe of {table}, or name the table of that one."
        )
    rows = importlib.import_module(f"dirjax.configs.recipes.{entry.recipe}").ROWS
    study = common.data(dataset or f"recipes/{entry.recipe}")
    study.seeds = study.seeds[:3]
    study.methods = entry.rows or tuple(row for row in rows if row not in _MORE)
    if dataset:
        _small(study, dataset, rows)
    study.fields += entry.fields
    study.grid = entry.grid
    if entry.grid == _NUMBER:
        study.grid = (("groups.num", common.numbers_of_groups(study, groups.NUMBERS)),)
    study.method_grids = tuple(entry.row_grids.items())
    study.noise = entry.noise
    if "vanilla" not in study.methods or entry.grid:
        study.base = ""
    return study


def get_config(arg="ssir_table2"):
    """The study of TABLE[,DATA]."""
    table, dataset = common.parts(arg, "TABLE[,DATA]")
    common.chosen("table", table, KNOWN)
    if table == PROGRAM:
        if dataset:
            raise ValueError(f"{table} makes its own data. Leave {dataset} out.")
        return ssir_motivation.get_config()
    if dataset and table in PROBES:
        common.of_rows(dataset, f"predictions under noise of {table}")
    if table in STUDIES:
        study, recipe, question = STUDIES[table]
        return study.get_config(f"{dataset or 'recipes/' + recipe}{question}")
    return _of_entry(table, dataset)
