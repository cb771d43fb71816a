"""Fields of a study, and the data sets that studies of methods run on."""

from ml_collections import ConfigDict

# Config file, options, seeds, and epochs of the main stage, None or fewer than the
# config's.
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


def get_config():
    """An empty study."""
    study = ConfigDict()
    # Module whose `run_study(study, workdir)` is called instead; empty for the grid.
    study.program = ""
    # Config files of data sets.
    study.configs = ("configs/bikeshare.py",)
    # Presets, or names of the study's own.
    study.methods = ("vanilla",)
    # What stands after the colon for a name of its own: (method, "PRESET,OPTION...").
    study.arguments = ()
    # Methods that start from the run of another one, of the same seed and point of the
    # grid: (method, other), the other before it in `methods`.
    study.starts = ()
    # Options after the method, for every run.
    study.options = ()
    study.seeds = (0, 1, 2, 3, 4)
    # Fields that every run sets, (path, value), and fields that vary, (path, values).
    study.fields = ()
    study.grid = ()
    # Fields that every run of one method sets: (method, path, value).
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
