"""The run that nobody disturbs, once for all tests that compare with it."""

import fcntl
import json
import os

import pytest

from tests.faults import harness


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A folder that all workers share."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session")
def whole(root):
    """Outcome and evaluations of the undisturbed run of `harness.METHOD`.

    Runs that come later find its programs compiled.
    """
    harness.ENVIRONMENT["JAX_COMPILATION_CACHE_DIR"] = str(root / "xla")
    file = root / "whole.json"
    with (root / "whole.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            workdir = root / "whole"
            found = harness.whole(harness.METHOD, workdir)
            file.write_text(json.dumps([found, harness.evaluations(workdir)]))
    return json.loads(file.read_text())
