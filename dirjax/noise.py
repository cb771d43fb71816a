"""`python -m dirjax.noise --workdir DIR [--epsilon 0.1,0.3] [--norm pixel|linf]`.

How far the predictions of a trained run move under input noise: noise made from output
offsets, as SSIR makes it (`objectives/ssir.py`), and random noise of the same norm.
Figs. 2b, 3b and 4 of "Lifting Imbalanced Regression with Self-Supervised Learning",
ICLR 2022 submission.

The output folder gets `noise_gap.png` (gaps of both kinds against one label bin),
`noise_samples.png` (predictions of a few rows, with their pictures),
`noise_epsilon.png` (for images: noisy pictures, and the noise) and `noise.npz`:

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

It holds no pictures.

**Deviations**: evaluation mode, and float32 at the highest precision; the source does
not say. All sizes share the offset and the random direction of a row.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dirjax import arguments, cli, startup, writers

if TYPE_CHECKING:
    from dirjax.run import Run
    from dirjax.step import TrainState

EPSILONS = (0.05, 0.1, 0.3, 0.5, 1.0)  # of Fig. 4
KINDS = ("controlled", "random")
PICTURES = 3
_SAMPLES = 24
_MOST = 2**31 - 1
_CHUNK = 64
# Models whose inputs have no pixels.
_NO_PIXELS = ("mlp", "pair_mlp")
# What the objective of a run says of its noise.
_SAID = ("norm", "units", "distance", "n_steps", "seed", "split", "samples")
_FIELDS = ("epsilon", "n_steps", "norm", "units", "distance", "bounds")


def _require(ok: bool, option: str, expected: str, value: Any) -> None:
    if not ok:
        raise cli.InputError(f"--{option} must be {expected}, got {value!r}.")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise cli.InputError(
            f"--epsilon must be numbers with commas between them, got {text!r}."
        ) from None


def _check(given: Mapping[str, Any], images: bool) -> None:
    """Refuses options out of range, before any data is read."""
    from dirjax.objectives import ssir

    for name, known in (("norm", ssir.NORMS), ("units", ssir.UNITS)):
        expected, value = f"one of {', '.join(known)}", given[name]
        _require(value is None or value in known, name, expected, value)
    for value in given["epsilon"] or ():
        ok = math.isfinite(value) and value > 0
        _require(ok, "epsilon", "positive and finite", value)
    steps = given["n_steps"]
    _require(steps is None or steps >= 1, "n_steps", "at least 1", steps)
    if not images and given["units"] not in (None, "normalised"):
        raise cli.InputError(
            "--units must be normalised for a run on tables or embeddings, got "
            f"{given['units']!r}."
        )


def _settings(objective: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """How noise is made: as given, else as in training, else as SSIR does by default.

    Args:
      objective: of the stage that made the state.
      given: options, None where nothing was said.

    Returns:
      The fields, with `epsilon` all sizes and `shown` the place of one among them: that
      of training, or the first.
    """
    from dirjax.objectives import ssir

    defaults = inspect.signature(ssir.make).parameters
    made = {name: defaults[name].default for name in _FIELDS}
    if "ssir" in objective["wrappers"]:
        made |= {k: v for k, v in objective.get("ssir", {}).items() if k in _FIELDS}
    own = made["epsilon"]
    made["epsilon"] = tuple(sorted({own, *EPSILONS}))
    made |= {name: value for name, value in given.items() if value is not None}
    sizes = made["epsilon"]
    return made | {"shown": sizes.index(own) if own in sizes else 0}


def _program(run: Run, settings: Mapping[str, Any]) -> Any:
    """`(state, inputs, key, epsilon) -> numbers and pictures`.

    Numbers are clean predictions `[rows]`, and `[kinds, rows]` predictions under noise
    and norms of the noise before and after clipping. Pictures `[3, rows, ...]` are the
    inputs, the inputs under controlled noise, and that noise.
    """
    import jax
    import jax.numpy as jnp

    from dirjax import domain as domain_lib
    from dirjax.objectives import ssir

    network, domain = run.network, run.network.domain
    low, high = settings["bounds"] or (domain.low, domain.high)
    unit = ssir.unit_of(domain, settings["units"])

    def measure(state, inputs, key, epsilon):
        prepared = network.prepare(inputs, state.model_state)
        inputs, join = domain.split(prepared)

        def predict(moved):
            features, _ = network.encode(
                state.eval_params,
                state.model_state,
                join(moved),
                train=False,
                precise=True,
            )
            return network.head(state.eval_params, features).prediction

        # The size is in the unit, where it may be traced: one program for all sizes.
        space = {
            "epsilon": 1.0,
            "norm": settings["norm"],
            "unit": epsilon * jnp.asarray(unit, jnp.float32),
            "low": low,
            "high": high,
        }
        clean = predict(inputs)
        key, other = jax.random.split(key)
        offsets = jax.random.uniform(other, clean.shape, minval=-1.0)
        offsets *= run.source.spec.bins.mean_width
        made = (
            ssir.ssir_noise(
                predict,
                inputs,
                offsets,
                n_steps=settings["n_steps"],
                distance=settings["distance"],
                **space,
            ),
            ssir.random_noise(key, inputs, real=domain_lib.real(prepared), **space),
        )
        predictions = jnp.stack([predict(moved.inputs) for moved in made])
        before = jnp.stack([ssir.lengths(moved.noise) for moved in made])
        after = jnp.stack([ssir.lengths(moved.inputs - inputs) for moved in made])
        pictures = jnp.stack([inputs, made[0].inputs, made[0].noise])
        return clean, predictions, before, after, pictures

    def precisely(*arguments):
        with jax.default_matmul_precision("highest"):
            return measure(*arguments)

    return jax.jit(precisely)


def _measure(
    run: Run, state: TrainState, settings: Mapping[str, Any], chosen: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Numbers of the chosen rows, and pictures of the samples `[3, sizes, n, ...]`."""
    import jax

    from dirjax import sharding

    program, devices = _program(run, settings), jax.device_count()
    size = -(-min(_CHUNK, len(chosen)) // devices) * devices
    inputs = run.source.splits[settings["split"]].inputs
    root, parts, pictures = jax.random.key(settings["seed"]), [], []
    for start in range(0, len(chosen), size):
        place = chosen[np.minimum(np.arange(start, start + size), len(chosen) - 1)]
        batch = jax.tree.map(lambda x, place=place: x[place], inputs)
        batch = sharding.to_global(run.mesh, batch)
        key, found = jax.random.fold_in(root, start), []
        for epsilon in settings["epsilon"]:
            *numbers, images = program(state, batch, key, np.float32(epsilon))
            found.append(jax.device_get(numbers))
            if start == 0:
                pictures.append(np.asarray(images[:, : settings["samples"]]))
        parts.append([np.stack(x) for x in zip(*found, strict=True)])
    clean, noisy, before, after = (
        np.concatenate(x, axis=-1)[..., : len(chosen)] for x in zip(*parts, strict=True)
    )
    arrays = {"clean": clean[0]}
    for k, kind in enumerate(KINDS):
        arrays[kind] = noisy[:, k]
        arrays[f"{kind}_noise"] = before[:, k]
        arrays[f"{kind}_moved"] = after[:, k]
    return arrays, np.stack(pictures, axis=1)


def probe(
    workdir: pathlib.Path,
    output: pathlib.Path | None = None,
    *,
    step: str = "best",
    split: str = "test",
    samples: int = 6,
    rows: int = 256,
    epsilon: Sequence[float] | None = None,
    norm: str | None = None,
    units: str | None = None,
    n_steps: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], list[pathlib.Path]]:
    """Predictions of a run under noise, with figures.

    Args:
      workdir: directory of a run.
      output: folder for what is written, made if missing. Default: `workdir/report`.
      step: "best", "last", or the number of a step that was saved.
      split: "train", "val" or "test".
      samples: rows in the figure of samples, drawn with `seed`.
      rows: rows over which gaps are taken, the samples among them.
      epsilon: sizes of the noise. Default: that of the run's objective, or of SSIR
        where it has none, and those of Fig. 4.
      norm: "sample", "pixel" or "linf". Default: of the objective, as for the next
        two.
      units: "normalised", "unit_interval" or "raw255".
      n_steps: gradients taken to find the noise.
      seed: of rows, offsets and directions.

    Returns:
      What `noise.npz` holds, and the figures that were written.

    Raises:
      InputError: if there is no such run, split or step, or for an option out of range.
    """
    from dirjax import config as config_lib
    from dirjax import evaluate

    for option, value, least, most in (
        ("samples", samples, 1, _SAMPLES),
        ("rows", rows, 1, _MOST),
        ("seed", seed, 0, _MOST),
    ):
        _require(least <= value <= most, option, f"from {least} to {most}", value)
    images = config_lib.read(workdir)["model"]["name"] not in _NO_PIXELS
    given = {"epsilon": epsilon, "norm": norm, "units": units, "n_steps": n_steps}
    _check(given, images)
    run, state = evaluate.restore(workdir, split=split, step=step)
    if run.source.dense:
        raise cli.InputError(
            f"--workdir must be a run with one label a row, {workdir} has one a pixel. "
            "Its log has ssir/gap, if it was trained with SSIR."
        )
    stage = run.plan.stage_at(int(state.step) - 1)
    data = run.source.splits[split]
    order = np.random.default_rng(seed).permutation(len(data.label))
    chosen = order[: max(rows, samples)]
    settings = _settings(stage.objective, given)
    settings |= {"split": split, "seed": seed, "samples": min(samples, len(chosen))}
    folder = output or workdir / "report"
    _prepare(folder)
    try:
        found, pictures = _measure(run, state, settings, chosen)
    except ValueError as error:  # a table of categories has nowhere to go
        raise cli.InputError(str(error)) from error
    arrays = {
        "index": data.index[chosen],
        "label": data.label[chosen],
        **found,
        "width": np.asarray(run.source.spec.bins.mean_width),
        "log": np.asarray(run.source.log),
        "step": np.asarray(int(state.step)),
    }
    arrays |= {name: np.asarray(settings[name]) for name in (*_SAID, "epsilon")}
    writers.write_npz(folder / "noise.npz", arrays)
    return arrays, _draw(run, settings["shown"], arrays, pictures, folder)


def _prepare(folder: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise cli.InputError(
            f"--output must be a folder you may write to, {folder} is not. Choose "
            "another."
        )


def _draw(
    run: Run,
    shown: int,
    arrays: Mapping[str, np.ndarray],
    pictures: np.ndarray,
    folder: pathlib.Path,
) -> list[pathlib.Path]:
    """Writes the figures."""
    from dirjax.report import canvas
    from dirjax.report import noise as figures

    label = f"log {run.source.label}" if run.source.log else run.source.label
    domain, images = run.network.domain, None
    drawn = {"noise_gap": figures.gaps(arrays, label)}
    if domain.unit is not None:
        # Pixels in 0..1 again; noise has no offset.
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
        with writers.whole(folder / f"{name}.png") as opened:
            opened.write(canvas.png(figure))
    return [folder / f"{name}.png" for name in drawn]


def to_text(arrays: Mapping[str, np.ndarray]) -> str:
    """The table of gaps and norms.

    Args:
      arrays: from `probe`.
    """
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
    parser = arguments.Parser("noise", "Predictions of a trained model under noise.")
    parser.add_argument("--split", default="test", help="test (default), val or train")
    for name, default, said in (
        ("samples", 6, "rows in the figure of samples"),
        ("rows", 256, "rows of the distributions"),
        ("seed", 0, "of rows and noise"),
        ("n_steps", None, "gradients taken to find the noise"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=said)
    parser.add_argument(
        "--epsilon",
        metavar="SIZE,...",
        help="sizes of the noise; default: of training and of Fig. 4",
    )
    parser.add_argument("--norm", help="sample, pixel or linf; default: of training")
    parser.add_argument(
        "--units", help="normalised, unit_interval or raw255; default: of training"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, metavar="DIR", help="default: RUN/report"
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
    unit = " (of the logarithm, as all gaps)" if arrays["log"] else ""
    print(
        f"{len(arrays['clean'])} {arrays['split']} rows at step {arrays['step']}; norm "
        f"{arrays['norm']}, {arrays['units']} inputs, {arrays['n_steps']} gradients; "
        f"one bin is {float(arrays['width']):.4g}{unit}, gaps below {rounding:.1g} may "
        f"be rounding\n\n{to_text(arrays)}\n"
    )
    print(f"Figures: {', '.join(map(str, files))}")
    if any(file.name == "noise_epsilon.png" for file in files):
        print("Two of them show pictures of the data: see to its terms of use.")


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return cli.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
