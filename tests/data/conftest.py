"""Data that several test files use."""

import pytest

from tests.data import faces


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A small AgeDB-DIR."""
    return faces.write(tmp_path_factory.mktemp("agedb"), faces.lines())
