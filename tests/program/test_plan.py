"""launch/plan.py: what it counts in a program, and the model of time."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests import own_data

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

    inside = """
%body.1 (p.1: f32[4]) -> f32[4] {
  %a = f32[3,4]{1,0} all-reduce(%x), to_apply=%sum.2
}

ENTRY %main (p: f32[4], /*index=5*/q: f32[4]) -> f32[4] {
  %b = f32[5]{0} all-reduce(%x), to_apply=%sum.2
  %c = (f32[4]) while(%b), condition=%if.3, body=%body.1, TIMES
  %d = f32[4] call(%c), to_apply=%body.1
}
"""
    known = 'backend_config={"known_trip_count":{"n":"24"}}'
    assert plan["all_reduced"](inside.replace("TIMES", known)) == 20 + 25 * 48
    assert plan["all_reduced"](inside) == 20 + 2 * 48


@pytest.mark.parametrize(
    "words",
    [
        ("--devices", "0"),
        ("--devices=-1",),
        ("--efficiency", "0"),
        ("--efficiency=1.5",),
        ("--efficiency", "nan"),
        ("--tflops", "0"),
        ("--gbps", "0"),
    ],
)
def test_no_plan_for_nothing(plan, words, capsys):
    with pytest.raises(SystemExit) as ended:
        plan["main"](["configs/bikeshare.py:vanilla", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    name = words[0].partition("=")[0]
    assert said.startswith(f"plan: {name} must be")
    assert said.count("\n") == 1


def test_time_is_operations_and_a_ring(plan):
    model = {"flops": 4e12, "reduced": 8e9, "tflops": 10, "share": 0.5, "gbps": 100}
    assert plan["seconds"](devices=1, **model) == pytest.approx(0.8)
    ring = 2 * 3 / 4 * 8e9 / 100e9
    assert plan["seconds"](devices=4, **model) == pytest.approx(0.2 + ring)
    assert plan["parsed"](["c.py:x", "--device", "v4", "--config.seed=1"])[1] == [
        "--config.seed=1"
    ]


@pytest.mark.slow
def test_a_plan_counts_every_word(tmp_path):
    """Of the small network on STS-B, by hand; a scan's body alone is a 24th of it."""
    own_data.write_sentences(tmp_path)
    words = ["configs/stsb_dir.py:vanilla,small", "--devices", "2"]
    fields = {**own_data.TEXT, "data__path": tmp_path, "data__text__max_tokens": 24}
    words += [f"--config.{k.replace('__', '.')}={v}" for k, v in fields.items()]
    done = subprocess.run(
        [sys.executable, str(FILE), *words, "--config.data.batch_size=8"],
        capture_output=True,
        text=True,
        cwd=FILE.parents[1],
        env=os.environ | {"XLA_FLAGS": ""},
        check=True,
    )
    found = re.search(r"operations per step +([\d.]+) GFLOP", done.stdout)
    # Two directions of four gates over 16 sentences of 24 words: of word vectors
    # forward and backward, of the state with a second product backward.
    cells = 2 * 4 * 16 * 24
    by_hand = cells * 2 * 128 * (2 * 3 + 3 * 128)
    assert float(found[1]) == pytest.approx(by_hand / 1e9, rel=0.01)
    reduced = re.search(r"all-reduced per step +([\d.]+) MB", done.stdout)
    assert float(reduced[1]) > 0


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
    operations = float(
        re.search(r"operations per step +([\d.]+) GFLOP", done.stdout)[1]
    )
    # Two for each weight and row, forward and twice backward.
    assert operations == pytest.approx(3 * 2 * 64 * 197_227 / 1e9, rel=0.1)
    wrong = [sys.executable, str(FILE), words[0], "--devices", "3"]
    done = subprocess.run(wrong, capture_output=True, text=True, cwd=FILE.parents[1])
    assert done.returncode == 2
    assert "multiple of the 3 devices" in done.stderr
