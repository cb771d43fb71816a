"""Optimisers and schedules by name, built with optax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dirjax import checks

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "step")


def schedule(
    name: str,
    *,
    learning_rate: float,
    steps: int,
    warmup: float = 0.0,
    final: float = 0.0,
    milestones: Sequence[float] = (),
    factor: float = 0.1,
) -> optax.Schedule:
    """Learning rate as a function of the step within a stage.

    Args:
      name: "constant"; "cosine" from `learning_rate` down to `final` of it; "step",
        times `factor` at each milestone.
      learning_rate: the largest value.
      steps: length of the stage.
      warmup: fraction of the stage in which the rate rises linearly from 0.
      final: fraction of the rate left at the end of a cosine.
      milestones: fractions of the stage, for "step".
      factor: see "step".

    Returns:
      `step -> learning rate`.

    Raises:
      ValueError: for an unknown name.

    Example:
      >>> lr = schedule("step", learning_rate=1.0, steps=9, milestones=(2 / 3,))
      >>> [round(float(lr(s)), 3) for s in (0, 5, 6)]
      [1.0, 1.0, 0.1]
    """
    checks.one_of("schedule", name, SCHEDULES)
    rise = round(warmup * steps)
    if name == "constant":
        after = optax.constant_schedule(learning_rate)
    elif name == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, max(1, steps - rise), final)
    else:
        # optax drops after the boundary, so step `m` is the first at the lower rate.
        drops: dict[int, float] = {}
        for milestone in milestones:
            first = max(0, round(milestone * steps) - rise)
            drops[first] = drops.get(first, 1.0) * factor
        after = optax.piecewise_constant_schedule(learning_rate, drops)
    if not rise:
        return after
    return optax.join_schedules(
        [optax.linear_schedule(0.0, learning_rate, rise), after], [rise]
    )


class InFirstState(NamedTuple):
    """The state of `in_first`.

    Attributes:
      unit: largest entry of the first gradient that is not 0; 0 before there is one.
    """

    unit: jax.Array


def in_first() -> optax.GradientTransformation:
    """Divides gradients by the largest entry of the first one.

    Adam adds 1e-8 to the root of its second moment, which is nothing beside gradients
    of labels of usual size, and everything beside those of labels in units like 1e-9.
    After this, the unit of a loss does not matter.

    Example:
      >>> tx = in_first()
      >>> state = tx.init(jnp.zeros(2))
      >>> moved, state = tx.update(jnp.array([4e-12, -8e-12]), state)
      >>> moved.tolist(), tx.update(jnp.array([2e-12, 0.0]), state)[0].tolist()
      ([0.5, -1.0], [0.25, 0.0])
    """

    def init(params: Any) -> InFirstState:
        del params
        return InFirstState(jnp.zeros((), jnp.float32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        # Squares of small gradients would vanish, so not the norm.
        ends = [jnp.max(jnp.abs(g)) for g in jax.tree.leaves(updates) if g.size]
        largest = jnp.max(jnp.stack(ends)) if ends else state.unit
        unit = jnp.where(state.unit > 0, state.unit, largest.astype(jnp.float32))
        safe = jnp.where(unit > 0, unit, 1.0)
        return jax.tree.map(lambda g: g / safe, updates), InFirstState(unit)

    return optax.GradientTransformation(init, update)


def make(
    name: str,
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.0,
    decay: str = "kernels",
    momentum: float = 0.9,
    b2: float = 0.999,
    clip: float = 0.0,
    accumulate: int = 1,
    small: bool = False,
) -> optax.GradientTransformation:
    """Builds an optimiser.

    Args:
      name: "adam" and "sgd" add `weight_decay * parameter` to the gradient, as the
        public PyTorch code does; "adamw" decouples it.
      learning_rate: value or schedule.
      weight_decay: see `name`.
      decay: which parameters decay: "kernels" (two or more dimensions) or "all".
      momentum: of sgd (heavy ball), or the first moment of adam.
      b2: second moment of adam.
      clip: largest global gradient norm; 0 means no clipping.
      accumulate: steps whose gradients are averaged into one update. This is not a
        larger batch for losses over pairs, which see one step's rows only.
      small: whether gradients are so small that "adam" and "adamw" take them relative
        to the first one, see `in_first`.

    Returns:
      The gradient transformation.

    Raises:
      ValueError: for an unknown name.
    """
    checks.one_of("optimizer", name, OPTIMIZERS)
    checks.one_of("decay", decay, ("kernels", "all"))

    def decays(params: Any) -> Any:
        return jax.tree.map(lambda p: decay == "all" or p.ndim > 1, params)

    parts = [optax.clip_by_global_norm(clip)] if clip else []
    parts += [in_first()] if small and name != "sgd" else []
    decayed = optax.add_decayed_weights(weight_decay, decays)
    if name == "adamw":
        adam = optax.adamw(
            learning_rate, momentum, b2, weight_decay=weight_decay, mask=decays
        )
        parts.append(adam)
    elif name == "adam":
        parts += [decayed] if weight_decay else []
        parts.append(optax.adam(learning_rate, momentum, b2))
    else:
        parts += [decayed] if weight_decay else []
        parts.append(optax.sgd(learning_rate, momentum or None))
    tx = optax.chain(*parts)
    if accumulate > 1:
        return optax.MultiSteps(tx, accumulate).gradient_transformation()
    return tx
