"""IMDB-WIKI-DIR for TensorFlow Datasets; see README.md, and `dirjax.data.faces`."""

from dirjax.data import faces
from dirjax.data.builders.faces import FacesBuilder


class Builder(FacesBuilder):
    """IMDB-WIKI-DIR: faces, ages and the published split."""

    BENCHMARK = faces.IMDB_WIKI
    MANUAL_DOWNLOAD_INSTRUCTIONS = faces.IMDB_WIKI.get
