"""`python -m dirjax.export --workdir DIR --output FOLDER [--platforms cpu,tpu,cuda]`.

The model of a run for use without dirjax: StableHLO of its predict function with a
batch of any size, `model.json` beside it, and its parameters as safetensors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from dirjax.cli import arguments, entry, status
from dirjax.runtime import startup

# Its names; `evals.portable` needs JAX, which a command imports late.
_PLATFORMS = "cpu,tpu,cuda"


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser(
        "export",
        "The model of a run as StableHLO, which runs in plain JAX, and as safetensors.",
        (
            "python -m dirjax.export --workdir runs/mine --output exported",
            "python -m dirjax.export --workdir runs/mine --output exported "
            "--platforms cpu",
        ),
    )
    parser.required.add_argument(
        "--output",
        action=arguments.LocalPath,
        required=True,
        metavar="FOLDER",
        help="where to",
    )
    parser.add_argument(
        "--platforms",
        default=_PLATFORMS,
        metavar="NAME,...",
        help=f"what the function is lowered for; default {_PLATFORMS}",
    )
    options = parser.parse_args(argv)
    startup.prepare()
    from dirjax.data.formats import levels
    from dirjax.evals import portable

    files = portable.write(
        options.workdir, options.output, options.platforms.split(",")
    )
    print(f"Written: {', '.join(map(str, files))}")
    about = json.loads((options.output / "model.json").read_text(encoding="utf-8"))
    for name, step in about.get("rounded", {}).items():
        print(
            f"Column {name!r} is rounded to {step:g}, since the function takes numbers "
            "in single precision: predictions will differ from those of "
            "dirjax.predict. Train with less a constant in it for an export."
        )
    if "pixels" in about:
        ranges = about["pixels"]["ranges"].values()
        said = " and ".join(levels.between(ends) for ends in ranges)
        print(
            f"The function takes images as float32, with 0 for the lower end of the "
            f"pixels' range and 255 for the upper ({said})."
        )
    for name, of_target in {"": about, **about.get("targets", {})}.items():
        if "uncorrected" in of_target:
            print(
                f"{name or 'The function'} predicts as trained and takes no label "
                f"distribution: {of_target['uncorrected']}"
            )


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return status.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


entry.also_called(__name__, "dirjax.evals.portable:write")

if __name__ == "__main__":
    sys.exit(main())
