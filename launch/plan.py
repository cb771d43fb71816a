"""What a run takes on a number of accelerators, before it is started.

    python launch/plan.py configs/agedb_dir.py:ssir --devices 8 --tflops 60 \
        --config.data.path=FOLDER

Reads the data, and compiles the training step of each stage for that many devices of
this machine's CPU. What is counted and what is a model:

- memory per device is the compiler's estimate, of arguments, results and temporaries.
  XLA for a TPU or GPU fuses otherwise and pads; take it as right within a factor of
  1.5. With --dtype the model computes in that type.
- bytes all-reduced are counted in the compiled program: the gradients, and what
  normalisation and losses exchange; what a loop reduces as often as it runs, which a
  compiler for a TPU or GPU may put off until its end.
- operations are those of matrix products and convolutions in the program before it is
  spread over devices, in loops as often as they run (dirjax/runtime/operations.py). The
  hours assume a share (--efficiency, default 0.35) of the peak of each device
  (--tflops), no wait for input, and an all-reduce over a ring at --gbps that does not
  overlap:
  steps x (operations / (devices x tflops x efficiency) + 2 (n - 1) / n x bytes / gbps).
  Evaluation, saves and compilation come on top.
- input images a second are what the host or hosts must decode to keep up with that.

Nothing is trained or written.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import re
import sys
from typing import Any

# Peak of matrix products in bfloat16, in TFLOP/s, by the vendors' data sheets.
PEAKS = {"v4": 275.0, "v5e": 197.0, "v5p": 459.0, "a100": 312.0, "h100": 989.0}
SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4}
_RESULT = re.compile(r"= (\([^)]*\)|\S+) all-reduce(?:-start)?\(")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
# The first line of a computation, what a line calls, and how often a loop runs.
_HEAD = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_CALLED = re.compile(r"(\w+)=\{?((?:%[\w.-]+(?:, )?)+)")
_TIMES = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


def size_of(shapes: str) -> int:
    """Bytes of an array or tuple, as the text of a program has it.

    Example:
      >>> size_of("(f32[5]{0}, bf16[2,2]{1,0})")
      28
    """
    return sum(
        math.prod(map(int, filter(None, shape.split(",")))) * SIZES.get(kind, 4)
        for kind, shape in _ARRAY.findall(shapes)
    )


def all_reduced(program: str) -> int:
    """Bytes of the results of all-reduces in the text of a compiled program.

    Those in the body of a loop count as often as it runs, if the compiler knows that.
    """
    computations: dict[str, list[str]] = {"": []}
    entry = name = ""
    for line in program.splitlines():
        if head := _HEAD.match(line):
            name = head[2]
            entry = name if head[1] else entry
        computations.setdefault(name, []).append(line)

    @functools.cache
    def total(name: str) -> int:
        found = 0
        for line in computations[name]:
            found += sum(map(size_of, _RESULT.findall(line)))
            times = _TIMES.search(line)
            for role, called in _CALLED.findall(line):
                each = int(times[1]) if times and role == "body" else 1
                known = computations.keys() & re.findall(r"%([\w.-]+)", called)
                found += each * sum(map(total, known))
        return found

    return total(entry)


def seconds(
    *,
    flops: float,
    reduced: float,
    devices: int,
    tflops: float,
    share: float,
    gbps: float,
) -> float:
    """Seconds of one step, by the model above.

    Example:
      >>> seconds(flops=8e12, reduced=0, devices=8, tflops=10, share=0.5, gbps=100)
      0.2
    """
    ring = 2 * (devices - 1) / devices * reduced / (gbps * 1e9)
    return flops / (devices * tflops * 1e12 * share) + ring


def of_stage(pieces: Any, program: Any) -> dict[str, float]:
    """What one step of a stage takes: flops, reduced, and memory by kind."""
    import jax
    import numpy as np

    from dirjax.runtime.operations import operations
    from dirjax.training.batches import batches
    from dirjax.training.stage_program import (
        abstract_state,
        compiled_steps,
        example_rows,
        seeds,
    )

    stage = program.stage
    rows = example_rows(pieces, stage)
    _, _, batch = next(batches(pieces, rows, stage.start, stage.stop))
    state = abstract_state(pieces, program)
    traced = compiled_steps(pieces, program).trace(
        state, batch, np.int32(1), seeds(pieces)
    )
    compiled = traced.lower().compile()
    memory = compiled.memory_analysis()
    held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    return {
        "flops": operations(traced.jaxpr),
        "reduced": all_reduced(compiled.as_text()),
        "memory": memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes,
        "state": held,
    }


def parsed(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The arguments, and those of the config."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="FILE.py:METHOD[,OPTION...]")
    parser.add_argument("--devices", type=int, default=8, help="how many, from 1")
    parser.add_argument("--device", choices=sorted(PEAKS), help="peak by its name")
    parser.add_argument("--tflops", type=float, help="peak of a device in TFLOP/s")
    parser.add_argument(
        "--efficiency", type=float, default=0.35, help="share of the peak, above 0 to 1"
    )
    parser.add_argument("--gbps", type=float, default=100.0, help="GB/s of a link")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    args, rest = parser.parse_known_args(argv)
    if args.tflops is None:
        args.tflops = PEAKS[args.device or "v5e"]
    for flag, ok, expected in (
        ("devices", args.devices >= 1, "a whole number from 1"),
        ("tflops", 0 < args.tflops < math.inf, "a number above 0"),
        ("efficiency", 0 < args.efficiency <= 1, "a share above 0, at most 1"),
        ("gbps", 0 < args.gbps < math.inf, "a number above 0"),
    ):
        if not ok:
            parser.exit(
                2,
                f"plan: --{flag} must be {expected}, got {getattr(args, flag)}. See "
                "--help.\n",
            )
    return args, rest


def main(argv: list[str]) -> int:
    """Prints the plan."""
    args, rest = parsed(argv)
    # Before JAX starts; the last of two equal flags counts.
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} "
        f"--xla_force_host_platform_device_count={args.devices}"
    )
    from dirjax import models
    from dirjax.cli import config_files
    from dirjax.config import frozen, validation
    from dirjax.errors import InputError
    from dirjax.training.build import build
    from dirjax.training.stage_program import stage_program

    try:
        words = ["plan", "--config", args.config, *rest]
        config = frozen.plain(config_files.parse(words, workdir=False)[0])
        config["model"]["dtype"] = args.dtype or config["model"]["dtype"]
        config["train"]["chunk"] = 1  # operations and bytes of one step
        if models.find(config["model"]["name"]).inputs in ("images", "dense"):
            # Convolutions as they are there; a CPU gets other forms.
            config["model"]["encoder"]["platform"] = "tpu"
        validation.validate(config)
        pieces = build(config)
        programs = [stage_program(pieces, stage) for stage in pieces.plan.stages]
    except InputError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 2
    rows = pieces.plan.batch_size
    print(
        f"{pieces.source.name}, {config['method']}: batch {rows} on {args.devices} "
        f"devices, {config['model']['dtype']}"
    )
    hours = 0.0
    for program in programs:
        stage, found = program.stage, of_stage(pieces, program)
        step = seconds(
            flops=found["flops"],
            reduced=found["reduced"],
            devices=args.devices,
            tflops=args.tflops,
            share=args.efficiency,
            gbps=args.gbps,
        )
        hours += stage.steps * step / 3600
        print(
            f"stage {stage.name}: {stage.steps:,} steps\n"
            f"  memory per device     {found['memory'] / 1e9:10.3f} GB (of it "
            f"{found['state'] / 1e9:.3f} GB the state, whole on each)\n"
            f"  all-reduced per step  {found['reduced'] / 1e6:10.1f} MB\n"
            f"  operations per step   {found['flops'] / 1e9:10.3f} GFLOP\n"
            f"  time per step         {step * 1e3:10.2f} ms, by the model\n"
            f"  input                 {rows / step:10,.0f} examples a second"
        )
    print(
        f"hours: {hours:.2f}, if a device does {args.tflops:g} TFLOP/s x "
        f"{args.efficiency:g}, links {args.gbps:g} GB/s, and input keeps up; without "
        "evaluation, saves and compilation"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
