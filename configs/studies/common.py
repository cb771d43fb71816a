"""Fields of a study, and the data sets of method studies."""

from ml_collections import ConfigDict, config_dict

from dirjax.cli import config_files
from dirjax.configs import common

# Config file, options, number of seeds, epochs of the main stage (None: as in the
# config).
DATASETS = {
    "bikeshare": ("bikeshare", (), 5, 50.0),
    "diamonds": ("diamonds", (), 5, 7.5),
    "mnist5k": ("mnist5k", (), 5, 4.0),
    "rotation": ("mnist5k", ("rotation",), 5, 6.0),
    "stsb": ("stsb_dir", ("embeddings",), 5, 6.0),
    "stsb_bilstm": ("stsb_dir", ("small",), 5, 8.0),
    "nyud2": ("nyud2_dir", ("small",), 3, None),
    "utkface": ("utkface_dir", ("small",), 3, 3.0),
}
# Config files of depth maps.
MAPS = (
    "configs/nyud2_dir.py",
    "configs/recipes/ssir_table3.py",
    "configs/synthetic_depth.py",
)


def data_fields():
    """All fields of `config.data`, empty: a study sets those that are given."""
    data = common.get_config().data
    plain = [name for name, value in data.items() if not isinstance(value, ConfigDict)]
    return ConfigDict({n: config_dict.placeholder(data.get_type(n)) for n in plain})


def get_config():
    """An empty study."""
    study = ConfigDict()
    # Module whose `run_study(study, workdir)` replaces the grid of runs, or empty.
    study.program = ""
    # Config files of data sets, each with options of its own after a colon:
    # "configs/mnist5k.py:rotation".
    study.configs = ("configs/bikeshare.py",)
    # Presets, or names defined in `arguments`.
    study.methods = ("vanilla",)
    # Config arguments of names that are not presets: (method, "PRESET,OPTION...").
    study.arguments = ()
    # Methods that start from a run of another method with the same seed and grid point:
    # (method, other), where `other` comes first in `methods`.
    study.starts = ()
    # Options after the method, for every run.
    study.options = ()
    study.seeds = (0, 1, 2, 3, 4)
    # Whether the seeds of a point are trained in one program, which pays where one run
    # leaves an accelerator idle.
    study.together = False
    # Fields of `config.data` of all runs, such as --config.data.path=my.csv.
    study.data = data_fields()
    # Fields of all runs, (path, value), and fields that vary, (path, values).
    study.fields = ()
    # A pair of several paths and lists of their values varies them together:
    # (("a", "b"), ((1, 2), (3, 4))) are two points.
    study.grid = ()
    # Grids of single methods, instead of `grid`: (method, grid); () for one run.
    study.method_grids = ()
    # Fields of all runs of one method: (method, path, value); and on one data set:
    # (item of `configs`, path, value).
    study.method_fields = ()
    study.config_fields = ()
    # Pairs that are not run: (item of `configs`, method).
    study.left_out = ()
    # Seeds to tune with, none for no tuning: the point of each grid that is best on
    # validation for these seeds is the one that is run with `seeds`.
    study.tuning = ()
    # Whether to measure how far predictions move under input noise, for the runs of the
    # first seed when all are finished; see dirjax/noise.py.
    study.noise = False
    # Method that the others are compared with, seed by seed; empty for none.
    study.base = "vanilla"
    return study


def data(name):
    """A study of one data set of `DATASETS`, or of another file in configs/.

    Raises:
      ValueError: for an empty name. Whether the file exists turns out when it is read.
    """
    if not name:
        raise ValueError(
            f"the data set must be one of {', '.join(DATASETS)} or another file in "
            "configs/, got none. Name it behind the colon."
        )
    file, options, seeds, epochs = DATASETS.get(name, (name, (), 5, None))
    study = get_config()
    study.configs = (f"configs/{file}.py",)
    study.options = options
    study.seeds = tuple(range(seeds))
    if epochs is not None:
        study.fields = (("stage.main.epochs", epochs),)
    return study


def several(names):
    """A study of several data sets of `DATASETS`."""
    study = get_config()
    study.configs = tuple(
        ":".join([f"configs/{file}.py", *filter(None, [",".join(options)])])
        for file, options, *_ in (DATASETS.get(n, (n, (), 5, None)) for n in names)
    )
    study.config_fields = tuple(
        (config, "stage.main.epochs", DATASETS[name][3])
        for config, name in zip(study.configs, names, strict=True)
        if name in DATASETS and DATASETS[name][3] is not None
    )
    return study


def maps(study):
    """Whether the labels of a study are depth maps."""
    return study.configs[0] in MAPS


def of_rows(name, what):
    """A study of one data set, see `data`, with one label per row.

    Args:
      name: of the data set.
      what: what needs one label per row, for the message.

    Raises:
      ValueError: for depth maps.
    """
    study = data(name)
    if maps(study):
        raise ValueError(
            f"{what} are for one label per row, {name} has one per pixel. Choose "
            "another data set."
        )
    return study


def config(study, method="vanilla"):
    """The config of a method on the first data set of a study, with the study's fields.

    Studies use it to vary fields relative to those of the data set.
    """
    made = config_files.load(study.configs[0], ",".join([method, *study.options]))
    made.update_from_flattened_dict(dict(study.fields))
    return made


def numbers_of_groups(study, numbers):
    """Those numbers of groups that the label bins of a study allow, as far as known."""
    of_data = config(study).data
    if of_data.label_range is None or not of_data.bin_width:
        return numbers
    low, high = of_data.label_range
    bins = round((high - low) / of_data.bin_width)
    return tuple(number for number in numbers if number <= bins)


def lengths(study, stage, shares):
    """Lengths of a stage relative to the main one, as an axis of a grid.

    Returns:
      The field, epochs or steps as the data set counts, and its values.
    """
    main = config(study).stage.main
    unit = "steps" if main.steps else "epochs"
    values = (round(share * main[unit], 3) for share in shares)
    if main.steps:
        values = (max(1, round(value)) for value in values)
    return f"stage.{stage}.{unit}", tuple(values)


def parts(arg, form):
    """The parts of an argument, as many as its form has, empty where they are left out.

    Args:
      arg: what stands behind the colon.
      form: what may, such as "DATASET[,QUESTION]".

    Raises:
      ValueError: for more parts, or none.
    """
    found, most = [part.strip() for part in arg.split(",")], form.count(",") + 1
    if len(found) > most or not found[0]:
        raise ValueError(
            f"the argument must be {form}, got {arg!r}. See its docstring."
        )
    return (*found, *[""] * (most - len(found)))


def chosen(kind, name, known):
    """Raises a ValueError for an unknown question, base or table of a study."""
    if name not in known:
        named = ", ".join(filter(None, known))
        raise ValueError(f"unknown {kind} {name!r}. Known: {named}.")
