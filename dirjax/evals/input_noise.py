"""Predictions of a trained model under input noise.

Noise is either derived from output offsets as in SSIR (`objectives/ssir.py`), or random
with the same norm: Figs. 2b, 3b and 4 of "Lifting Imbalanced Regression with
Self-Supervised Learning", ICLR 2022 submission.

**Deviations**: evaluation mode and float32 at the highest precision, which the source
leaves open. All noise sizes share a row's offset and random direction.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dirjax import models
from dirjax.objectives import ssir
from dirjax.ops import input_domain
from dirjax.ops import input_noise as noise_lib
from dirjax.runtime import sharding

EPSILONS = (0.05, 0.1, 0.3, 0.5, 1.0)  # of Fig. 4
KINDS = ("controlled", "random")
_CHUNK = 64
_FIELDS = ("epsilon", "n_steps", "norm", "units", "distance", "bounds")


def settings(objective: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the noise: as given, else as in training, else SSIR's defaults.

    Args:
      objective: objective of the stage that trained the state.
      given: options; None if not given.

    Returns:
      The settings; `epsilon` holds all sizes, and `shown` is the index of the training
      size, or 0.
    """
    defaults = inspect.signature(ssir.make).parameters
    made = {name: defaults[name].default for name in _FIELDS}
    if "ssir" in objective["wrappers"]:
        made |= {k: v for k, v in objective.get("ssir", {}).items() if k in _FIELDS}
    own = made["epsilon"]
    made["epsilon"] = tuple(sorted({own, *EPSILONS}))
    made |= {name: value for name, value in given.items() if value is not None}
    sizes = made["epsilon"]
    return made | {"shown": sizes.index(own) if own in sizes else 0}


def make_probe(
    network: models.Network,
    *,
    bin_width: float,
    norm: str,
    units: str,
    n_steps: int,
    distance: str,
    bounds: tuple[Any, Any] | None = None,
) -> Callable[..., Any]:
    """Makes `(params, model_state, inputs, key, epsilon) -> numbers and images`.

    Numbers are clean predictions `[rows]`, and `[kinds, rows]` noisy predictions and
    norms of the noise before and after clipping. Images `[3, rows, ...]` are the
    inputs, the inputs under controlled noise, and that noise.

    Args:
      network: the model.
      bin_width: largest offset of a prediction, in units of the learnt label.
      norm: see `ssir.ssir_noise`.
      units: see `ssir.unit_of`; "bins" calibrates over rows that are probed together.
      n_steps: see `ssir.ssir_noise`.
      distance: see `ssir.ssir_noise`.
      bounds: smallest and largest valid coordinate. Default: those of the model's
        inputs.

    Raises:
      ValueError: for pixel units if the inputs are not images.
    """
    domain = network.domain
    low, high = bounds or (domain.low, domain.high)
    fixed = None if units == "bins" else ssir.unit_of(domain, units)

    def probe(params, model_state, inputs, key, epsilon):
        prepared = network.prepare(inputs, model_state)
        inputs, join = domain.split(prepared)

        def predict(moved):
            features, _ = network.encode(
                params, model_state, join(moved), train=False, precise=True
            )
            return network.head(params, features).prediction

        clean = predict(inputs)
        key, other = jax.random.split(key)
        offsets = jax.random.uniform(other, clean.shape, minval=-1.0)
        offsets *= bin_width
        search = {"distance": distance, "norm": norm}
        unit = fixed
        if unit is None:
            unit = ssir.gap_unit(
                predict, inputs, offsets, gap=bin_width, distance=distance, norm=norm
            )
        # The size goes into `unit`, which may be traced: one program for all sizes.
        size = epsilon * jnp.asarray(unit, jnp.float32)
        space = {"epsilon": 1.0, "unit": size, "low": low, "high": high}
        real = input_domain.real(prepared)
        made = (
            ssir.ssir_noise(
                predict, inputs, offsets, n_steps=n_steps, **search, **space
            ),
            noise_lib.random_noise(key, inputs, real=real, norm=norm, **space),
        )
        predictions = jnp.stack([predict(moved.inputs) for moved in made])
        before = jnp.stack([noise_lib.lengths(moved.noise) for moved in made])
        after = jnp.stack([noise_lib.lengths(moved.inputs - inputs) for moved in made])
        pictures = jnp.stack([inputs, made[0].inputs, made[0].noise])
        return clean, predictions, before, after, pictures

    def precisely(*arguments):
        with jax.default_matmul_precision("highest"):
            return probe(*arguments)

    return precisely


def measure(
    probe: Callable[..., Any],
    model: tuple[Any, Any],
    inputs: Any,
    chosen: np.ndarray,
    *,
    mesh: Mesh,
    epsilon: tuple[float, ...],
    seed: int,
    samples: int,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Predicts some rows under noise of several sizes.

    Args:
      probe: from `make_probe`.
      model: parameters and running statistics.
      inputs: inputs of all rows.
      chosen: `[n]` rows to probe.
      mesh: the device mesh.
      epsilon: sizes of the noise.
      seed: seed of offsets and directions.
      samples: number of first rows to return images for.

    Returns:
      By name, `clean` `[n]` and for each kind of noise `[sizes, n]` predictions, norms
      of the noise and norms after clipping; and images `[3, sizes, samples, ...]`.
    """
    program, devices = jax.jit(probe), jax.device_count()
    size = -(-min(_CHUNK, len(chosen)) // devices) * devices
    root, parts, pictures = jax.random.key(seed), [], []
    for start in range(0, len(chosen), size):
        place = chosen[np.minimum(np.arange(start, start + size), len(chosen) - 1)]
        batch = jax.tree.map(lambda x, place=place: x[place], inputs)
        batch = sharding.to_global(mesh, batch)
        key, found = jax.random.fold_in(root, start), []
        for one in epsilon:
            *numbers, images = program(*model, batch, key, np.float32(one))
            found.append(jax.device_get(numbers))
            if start == 0:
                pictures.append(np.asarray(images[:, :samples]))
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
