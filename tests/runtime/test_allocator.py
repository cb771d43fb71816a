"""The allocator setting: in a process of its own, since it cannot be undone."""

import os
import platform
import subprocess
import sys

import pytest

from dirjax.runtime import allocator

PROGRAM = "from dirjax.runtime import allocator; print(allocator.tune_allocator())"


@pytest.mark.parametrize("value", ["0", "1", None])
def test_switch(value):
    env = {k: v for k, v in os.environ.items() if k != "DIRJAX_MALLOPT"}
    if value is not None:
        env["DIRJAX_MALLOPT"] = value
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    assert output.stdout.strip() == str(value != "0" and glibc)


def test_does_nothing_elsewhere(monkeypatch):
    monkeypatch.delenv("DIRJAX_MALLOPT", raising=False)

    def refuse(name):
        raise AssertionError("the C library was opened")

    monkeypatch.setattr(allocator.ctypes, "CDLL", refuse)
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.tune_allocator() is False
    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert allocator.tune_allocator() is False
