"""Fields of a study."""

from ml_collections import ConfigDict


def get_config():
    """An empty study."""
    study = ConfigDict()
    # Module whose `run_study(study, workdir)` is called instead; empty for the grid.
    study.program = ""
    # Config files of data sets.
    study.configs = ("configs/bikeshare.py",)
    study.methods = ("vanilla",)
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
