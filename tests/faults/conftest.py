"""The undisturbed run, trained once for all tests that compare with it."""

import json

import pytest

from tests.faults import harness


@pytest.fixture(scope="session")
def whole(root, shared):
    """Outcome and evaluations of the undisturbed run of `harness.METHOD`.

    Later runs reuse its compiled programs.
    """
    harness.ENVIRONMENT["JAX_COMPILATION_CACHE_DIR"] = str(root / "xla")

    def make(folder):
        found = harness.whole(harness.METHOD, folder / "run")
        evaluations = harness.evaluations(folder / "run")
        (folder / "whole.json").write_text(json.dumps([found, evaluations]))

    return json.loads((shared("whole", make) / "whole.json").read_text())
