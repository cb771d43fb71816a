"""Fields of a study, and the data sets of method studies."""

from ml_collections import ConfigDict, config_dict

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
    # Config files of data sets.
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
    study.grid = ()
    # Fields of all runs of one method: (method, path, value).
    study.method_fields = ()
    # Method that the others are compared with, seed by seed; empty for none.
    study.base = "vanilla"
    return study


def data(name):
    """A study of one data set of `DATASETS`, or of another file in configs/."""
    file, options, seeds, epochs = DATASETS.get(name, (name, (), 5, None))
    study = get_config()
    study.configs = (f"configs/{file}.py",)
    study.options = options
    study.seeds = tuple(range(seeds))
    if epochs is not None:
        study.fields = (("stage.main.epochs", epochs),)
    return study
