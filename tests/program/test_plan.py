"""launch/plan.py: what it counts in a program, and the model of time."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

FILE = pathlib.Path(__file__).resolve().parents[2] / "launch" / "plan.py"


@pytest.fixture(scope="module")
def plan():
    scope = {"__name__": "plan"}
    exec(compile(FILE.read_text(), str(FILE), "exec"), scope)
    return scope


def test_bytes_of_all_reduces(plan):
    program = """
  %a = f32[3,4]{1,0} all-reduce(%x), replica_groups={}
  %b = (f32[5]{0}, bf16[2,2]{1,0}) all-reduce-start(%y, %z)
  %c = f32[] all-reduce(%w), to_apply=%sum
  %d = f32[100] all-reduce-done(%b)
  %e = f32[100] all-gather(%b)
"""
    assert plan["all_reduced"](program) == 48 + 20 + 8 + 4


def test_time_is_operations_and_a_ring(plan):
    model = {"flops": 4e12, "reduced": 8e9, "tflops": 10, "share": 0.5, "gbps": 100}
    assert plan["seconds"](devices=1, **model) == pytest.approx(0.8)
    ring = 2 * 3 / 4 * 8e9 / 100e9
    assert plan["seconds"](devices=4, **model) == pytest.approx(0.2 + ring)
    assert plan["parsed"](["c.py:x", "--device", "v4", "--config.seed=1"])[1] == [
        "--config.seed=1"
    ]


@pytest.mark.slow
def test_a_plan_reduces_the_gradients(tmp_path):
    words = ["configs/bikeshare.py:vanilla,smoke", "--devices", "4"]
    done = subprocess.run(
        [sys.executable, str(FILE), *words, "--config.data.batch_size=64"],
        capture_output=True,
        text=True,
        cwd=FILE.parents[1],
        env=os.environ | {"XLA_FLAGS": ""},
        check=True,
    )
    reduced = float(re.search(r"all-reduced per step +([\d.]+) MB", done.stdout)[1])
    parameters = 197_227 * 4 / 1e6
    assert parameters * 0.8 < reduced < parameters * 1.2
    assert "hours: 0.00" in done.stdout
    wrong = [sys.executable, str(FILE), words[0], "--devices", "3"]
    done = subprocess.run(wrong, capture_output=True, text=True, cwd=FILE.parents[1])
    assert done.returncode == 2
    assert "multiple of the 3 devices" in done.stderr
