"""AgeDB-DIR for TensorFlow Datasets; see README.md, and `dirjax.data.faces`."""

from dirjax.data import faces
from dirjax.data.builders.faces import FacesBuilder


class Builder(FacesBuilder):
    """AgeDB-DIR: faces, ages and the published split."""

    BENCHMARK = faces.AGEDB
    MANUAL_DOWNLOAD_INSTRUCTIONS = faces.AGEDB.get
