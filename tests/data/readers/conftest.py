"""Loading of user files."""

import pytest

from dirjax import data
from tests import own_data


@pytest.fixture
def load(tmp_path):
    """Writes a file and loads it."""

    def loading(content, name="mine.csv", **fields) -> data.Source:
        return own_data.load(own_data.write(tmp_path, name, content), **fields)

    return loading
