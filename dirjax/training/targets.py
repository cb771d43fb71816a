"""Several targets: an objective for each, on the features of one encoder.

The configured objective (terms and wrappers) is built once for each target. It sees the
view and the batch of its target alone, `label` and `bin` `[batch]`, so it is the same
as with one target. Labels are standardised, and the loss is the mean over targets.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dirjax.config.stages import Stage
from dirjax.data import Source
from dirjax.models.targets import key as key_of
from dirjax.objectives import base
from dirjax.ops.random import stream_key

_BY_TARGET = ("label", "bin", "weight", "mask")


def batch_of(batch: base.Batch, number: int) -> dict[str, Any]:
    """A batch with the labels of one target, `[batch]` for `[batch, targets]`.

    Example:
      >>> batch_of({"label": jnp.zeros((4, 2))}, 1)["label"].shape
      (4,)
    """
    own = {name: batch[name][:, number] for name in _BY_TARGET if name in batch}
    return {**batch, **own}


def view_of(view: base.View, number: int) -> base.View:
    """The view of the model with the head of one target."""
    name = key_of(number)

    def head(features: jax.Array, *, frozen: bool = False) -> Any:
        return view.head(features, frozen=frozen)[name]

    return dataclasses.replace(view, outputs=view.outputs[name], head=head)


def per_target(objective: base.Objective, names: Sequence[str]) -> base.Objective:
    """The mean over targets of an objective.

    Args:
      objective: of one target.
      names: of the targets.

    Returns:
      An objective whose `init` takes the specifications of all targets, `collect` their
      moments, and whose variables and `by_bin` have an entry for each target. Metrics
      are called `TARGET/NAME`.
    """
    keys = [key_of(number) for number in range(len(names))]

    def joined(parts: Sequence[base.Variables]) -> base.Variables:
        return base.Variables(
            {k: part.params for k, part in zip(keys, parts, strict=True)},
            {k: part.state for k, part in zip(keys, parts, strict=True)},
        )

    def parts_of(variables: base.Variables) -> list[base.Variables]:
        params, state = variables
        return [base.Variables(params[k], state[k]) for k in keys]

    def init(key, specs):
        return joined(
            [
                objective.init(stream_key(key, k), spec)
                for k, spec in zip(keys, specs, strict=True)
            ]
        )

    def loss(variables, view, batch, key):
        total, after, metrics = jnp.zeros(()), [], {}
        for number, part in enumerate(parts_of(variables)):
            out = objective.loss(
                part,
                view_of(view, number),
                batch_of(batch, number),
                stream_key(key, keys[number]),
            )
            total = total + out.loss
            after.append(base.Variables(part.params, out.state))
            name = names[number]
            metrics |= {f"{name}/loss": (out.loss, jnp.ones(()))}
            metrics |= {f"{name}/{k}": v for k, v in out.metrics.items()}
        return base.Outcome(total / len(names), joined(after).state, metrics)

    def collected(moment):
        update = getattr(objective.collect, moment)
        if update is None:
            return None

        def of_all(variables, moments):
            pairs = zip(parts_of(variables), moments, strict=True)
            return joined([update(part, found) for part, found in pairs])

        return of_all

    def advise(means: Mapping[str, float]) -> list[str]:
        said = []
        for name in names:
            start = f"{name}/"
            own = {
                k.removeprefix(start): v
                for k, v in means.items()
                if k.startswith(start)
            }
            said += [f"{name}: {s}" for s in objective.diagnostics.advise(own)]
        return said

    def by_bin(variables):
        found = map(objective.diagnostics.by_bin, parts_of(variables))
        return dict(zip(keys, found, strict=True))

    return base.Objective(
        init,
        loss,
        collect=base.Collect(*map(collected, base.Collect._fields)),
        precise=objective.precise,
        diagnostics=base.Diagnostics(advise, by_bin),
        rates=dict.fromkeys(keys, objective.rates),
        # The same of every target: it acts on the gradient of the mean.
        gradient=objective.gradient,
    )


def check(config: Mapping[str, Any], source: Source, stages: Sequence[Stage]) -> None:
    """Refuses what needs a single label per row.

    Args:
      config: plain values.
      source: the data.
      stages: of the run.

    Raises:
      ValueError: naming what it is.
    """
    several = ", ".join(one.label for one in source.targets)
    hint = f"data.label names {len(source.targets)} labels ({several})"
    wrong = {
        "config.groups.label_range is in units of one label": (
            config.get("groups") or {}
        ).get("label_range")
        is not None,
        "eval.features is by the bins of one label": config["eval"]["features"],
    }
    for stage in stages:
        drawn = stage.sampling != "none"
        wrong |= {f"stage.{stage.name}.sampling draws rows by one label": drawn}
        made = bool(stage.resample)
        wrong |= {f"stage.{stage.name}.resample makes rows for one label": made}
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(
                f"{what}, {hint}. Leave it out (another method, such as lds), or train "
                "one model per label."
            )
