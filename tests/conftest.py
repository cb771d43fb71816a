"""Test setting: four CPU devices, strict ranks, warnings as errors."""

import os
import pathlib

import chex
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
chex.set_n_cpu_devices(4)

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_sessionstart(session):
    """chex skips its pmap variants silently when devices are missing."""
    del session
    assert jax.device_count() == 4, jax.devices()


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Folder with data sets that the package does not ship."""
    default = ROOT.parent / "shared" / "data"
    folder = pathlib.Path(os.environ.get("DIRJAX_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the data folder DIRJAX_DATA, {folder} is missing")
    return folder
