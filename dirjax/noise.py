"""`python -m dirjax.noise --workdir DIR [--epsilon 0.1,0.3] [--norm pixel|linf]`.

Measures how far predictions of a trained run move under input noise: noise derived from
output offsets as in SSIR (`objectives/ssir.py`), and random noise of the same norm.
Figs. 2b, 3b and 4 of "Lifting Imbalanced Regression with Self-Supervised Learning",
ICLR 2022 submission.

The output folder gets `noise_gap.png` (gaps of both kinds against one label bin),
`noise_samples.png` (predictions of a few rows, with their images), `noise_epsilon.png`
(for images: noisy images and the noise) and `noise.npz`:

    index, label, clean   [rows] position in the file, label, prediction
    epsilon               [sizes]
    controlled, random    [sizes, rows] predictions under noise
    controlled_noise, ..._moved, random_noise, ..._moved
                          [sizes, rows] L2 norm before and after clipping, in units of
                          prepared inputs
    width                 mean width of a label bin
    log                   whether label, predictions and width are logarithms
    norm, units, distance, n_steps, seed, split, step, samples
                          settings; the first `samples` rows are those of the figures

`noise.npz` holds no images.

**Deviations**: evaluation mode and float32 at the highest precision, which the source
leaves open. All noise sizes share a row's offset and random direction.
"""

from __future__ import annotations

import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dirjax import errors
from dirjax.cli import arguments, status
from dirjax.runtime import startup
from dirjax.workdir import files as files_lib
from dirjax.workdir import run_files

if TYPE_CHECKING:  # it needs JAX, which a command imports late
    from dirjax.training.build import Pieces

PICTURES = 3
_SAMPLES = 24
_MOST = 2**31 - 1
# Noise settings in the objective of a run.
_SAID = ("norm", "units", "distance", "n_steps", "seed", "split", "samples")


def _require(ok: bool, option: str, expected: str, value: Any) -> None:
    if not ok:
        raise errors.InputError(f"--{option} must be {expected}, got {value!r}.")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise errors.InputError(
            f"--epsilon must be numbers separated by commas, got {text!r}."
        ) from None


def _check(given: Mapping[str, Any]) -> None:
    """Checks options before reading any data."""
    from dirjax.objectives import ssir
    from dirjax.ops import input_noise

    for name, known in (("norm", input_noise.NORMS), ("units", ssir.UNITS)):
        expected, value = f"one of {', '.join(known)}", given[name]
        _require(value is None or value in known, name, expected, value)
    for value in given["epsilon"] or ():
        ok = math.isfinite(value) and value > 0
        _require(ok, "epsilon", "positive and finite", value)
    steps = given["n_steps"]
    _require(steps is None or steps >= 1, "n_steps", "at least 1", steps)


def probe(
    workdir: pathlib.Path,
    output: pathlib.Path | None = None,
    *,
    step: str = "best",
    data: pathlib.Path | None = None,
    split: str = "test",
    samples: int = 6,
    rows: int = 256,
    epsilon: Sequence[float] | None = None,
    norm: str | None = None,
    units: str | None = None,
    n_steps: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], list[pathlib.Path]]:
    """Predicts under noise with the model of a run, and draws figures.

    Args:
      workdir: directory of a run.
      output: output folder, created if missing. Default: `workdir/report`.
      step: "best", "last", or the number of a saved step.
      data: where the data of the run is now, if it has moved.
      split: "train", "val" or "test".
      samples: rows in the figure of samples, drawn with `seed`.
      rows: number of rows to measure gaps on, including the samples.
      epsilon: sizes of the noise. Default: that of the run's objective, or SSIR's
        default, and those of Fig. 4.
      norm: "sample", "pixel" or "linf". Default: that of the objective, as for the next
        two.
      units: "normalised", "unit_interval", "raw255" or "bins".
      n_steps: number of gradient steps to find the noise.
      seed: seed of rows, offsets and directions.

    Returns:
      The content of `noise.npz`, and the paths of the figures.

    Raises:
      InputError: if there is no such run, split or step, or for an option out of range.
    """
    from dirjax import evaluate
    from dirjax.evals import input_noise

    for option, value, least, most in (
        ("samples", samples, 1, _SAMPLES),
        ("rows", rows, 1, _MOST),
        ("seed", seed, 0, _MOST),
    ):
        _require(least <= value <= most, option, f"from {least} to {most}", value)
    given = {"epsilon": epsilon, "norm": norm, "units": units, "n_steps": n_steps}
    _check(given)
    pieces, chosen_step, model = evaluate.restore(
        workdir, split=split, step=step, data=data
    )
    source = pieces.source
    run_files.refuse_targets(
        workdir, "errors under noise", "Train one model per label."
    )
    if source.dense:
        raise errors.InputError(
            f"--workdir must be a run with one label per row, {workdir} has one per "
            "pixel. See ssir/gap in its log, if it was trained with SSIR."
        )
    if pieces.members > 1:
        raise errors.InputError(
            f"--workdir must be a run of one network, {workdir} has {pieces.members} "
            "members. Train one with --config.model.members=1."
        )
    stage = pieces.plan.stage_at(chosen_step - 1)
    rows_of = source.splits[split]
    order = np.random.default_rng(seed).permutation(len(rows_of.label))
    chosen = order[: max(rows, samples)]
    settings = input_noise.settings(stage.objective, given)
    shown = settings.pop("shown")
    sizes = settings.pop("epsilon")
    samples = min(samples, len(chosen))
    folder = output or workdir / "report"
    width = source.spec.bins.mean_width
    try:
        program = input_noise.make_probe(pieces.network, bin_width=width, **settings)
        files_lib.make_output(folder)
        found, pictures = input_noise.measure(
            program,
            model,
            rows_of.inputs,
            chosen,
            mesh=pieces.mesh,
            epsilon=sizes,
            seed=seed,
            samples=samples,
        )
    except ValueError as error:  # a table without numeric columns cannot move
        raise errors.InputError(str(error)) from error
    settings |= {"epsilon": sizes, "split": split, "seed": seed, "samples": samples}
    arrays = {
        "index": rows_of.index[chosen],
        "label": rows_of.label[chosen],
        **found,
        "width": np.asarray(width),
        "scale": np.asarray(source.scale.said),
        "step": np.asarray(chosen_step),
    }
    arrays |= {name: np.asarray(settings[name]) for name in (*_SAID, "epsilon")}
    files_lib.write_npz(folder / "noise.npz", arrays)
    return arrays, _draw(pieces, shown, arrays, pictures, folder)


def _draw(
    pieces: Pieces,
    shown: int,
    arrays: Mapping[str, np.ndarray],
    pictures: np.ndarray,
    folder: pathlib.Path,
) -> list[pathlib.Path]:
    """Draws and writes the figures."""
    from dirjax.report.figures import input_noise as figures
    from dirjax.report.figures import style

    source, domain, images = pieces.source, pieces.network.domain, None
    scale = source.scale.said
    label = f"{scale} of {source.label}" if scale else source.label
    drawn = {"noise_gap": figures.gaps(arrays, label)}
    if domain.unit is not None:
        # Back to pixels in 0..1; noise has no offset.
        low, unit = (np.asarray(x, np.float32) for x in (domain.low, domain.unit))
        clean, moved = (pictures[:2] - low) / unit
        images, few = clean[0], slice(PICTURES)
        drawn["noise_epsilon"] = figures.pictures(
            images[few],
            moved.swapaxes(0, 1)[few],
            (pictures[2] / unit).swapaxes(0, 1)[few],
            arrays,
            label,
        )
    drawn["noise_samples"] = figures.samples(arrays, shown, label, images)
    for name, figure in drawn.items():
        with files_lib.whole(folder / f"{name}.png") as opened:
            opened.write(style.png(figure))
    return [folder / f"{name}.png" for name in drawn]


def to_text(arrays: Mapping[str, np.ndarray]) -> str:
    """The table of gaps and norms.

    Args:
      arrays: from `probe`.
    """
    from dirjax.evals.input_noise import KINDS

    width, clean = float(arrays["width"]), arrays["clean"]
    head = ("epsilon", "gap", "random", "within bin", "random", "norm", "clipped")
    lines = ["".join(f"{name:>12}" for name in head)]
    for k, epsilon in enumerate(arrays["epsilon"]):
        gaps = [np.abs(arrays[kind][k] - clean) for kind in KINDS]
        row = [f"{epsilon:g}", *(f"{gap.mean():.3g}" for gap in gaps)]
        row += [f"{np.mean(gap <= width):.1%}" for gap in gaps]
        row += [
            f"{arrays[f'controlled_{n}'][k].mean():.3g}" for n in ("noise", "moved")
        ]
        lines.append("".join(f"{cell:>12}" for cell in row))
    return "\n".join(lines)


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser(
        "noise",
        "Predictions of a trained model under input noise, with figures.",
        (
            "python -m dirjax.noise --workdir runs/digits --norm pixel",
            "python -m dirjax.noise --workdir runs/bike --epsilon 0.1,0.3 --rows 512",
        ),
    )
    parser.add_argument("--split", default="test", help="test (default), val or train")
    arguments.add_data(parser)
    for name, default, said in (
        ("samples", 6, "rows in the figure of samples"),
        ("rows", 256, "rows of the distributions"),
        ("seed", 0, "seed of rows and noise"),
        ("n_steps", None, "number of gradient steps to find the noise"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=said)
    parser.add_argument(
        "--epsilon",
        metavar="SIZE,...",
        help="sizes of the noise; default: of training and of Fig. 4",
    )
    parser.add_argument("--norm", help="sample, pixel or linf; default: of training")
    parser.add_argument(
        "--units",
        help="normalised, unit_interval, raw255 or bins; default: of training",
    )
    parser.add_argument(
        "--output",
        action=arguments.LocalPath,
        metavar="DIR",
        help="default: RUN/report",
    )
    options = parser.parse_args(argv)
    if options.epsilon is not None:
        options.epsilon = _numbers(options.epsilon)
    fields = vars(options)
    del fields["debug"]
    startup.prepare()
    arrays, files = probe(**fields)
    from dirjax.objectives.ssir import SPACINGS

    rounding = SPACINGS * np.finfo(np.float32).eps * np.abs(arrays["clean"]).mean()
    scale = str(arrays["scale"])
    unit = f" (of the {scale}, as all gaps)" if scale else ""
    print(
        f"{len(arrays['clean'])} {arrays['split']} rows at step {arrays['step']}; norm "
        f"{arrays['norm']}, {arrays['units']} inputs, {arrays['n_steps']} gradients; "
        f"one bin is {float(arrays['width']):.4g}{unit}, gaps below {rounding:.1g} may "
        f"be rounding\n\n{to_text(arrays)}\n"
    )
    print(f"Figures: {', '.join(map(str, files))}")
    if any(file.name == "noise_epsilon.png" for file in files):
        print("Two of them show images of the data: mind its terms of use.")


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return status.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
