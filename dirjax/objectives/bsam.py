"""BSAM: balanced sharpness-aware minimisation.

The gradient is taken where the loss is larger: at parameters moved uphill by `rho`,

    w <- w - rate * grad L(w + rho g / |g|),  g = grad L(w)

for a loss `L` with weights by label frequency, so that flatness counts alike for all
labels. The weights are those of a wrapper inside: the preset `bsam` has SQINV there;
without weights it is sharpness-aware minimisation (`sam`).

"Balanced Sharpness-Aware Minimization for Imbalanced Regression", Liu et al., ICCV
2025.
https://arxiv.org/abs/2508.16973 After "Sharpness-Aware Minimization for Efficiently
Improving Generalization", Foret et al., ICLR 2021. https://arxiv.org/abs/2010.01412

**Deviations** and readings:

- Both gradients are weighted, as in the public code, by the inverse root of label
  counts, scaled to mean 1 here. There the scale of the weights is in the learning rate.
- Parameters of the objective itself are not moved.
- Running averages of batch norm follow the first pass; in the public code both passes
  move them. Both passes have the same dropout and the same batch.
- State, metrics and loss in the log are those of the first pass.
- Published: `rho` 0.2 for AgeDB-DIR and 0.05 for IMDB-WIKI-DIR with SGD, rate 0.2, 400
  epochs, ResNet-18. The preset has 0.05, which is SAM's, and the optimiser of the data.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from dirjax import checks
from dirjax.objectives import base


def uphill(params: Any, gradient: Any, rho: float) -> Any:
    """Parameters moved along a gradient, `w + rho g / |g|`; not at all if it is 0.

    Args:
      params: tree of arrays.
      gradient: the same tree.
      rho: length of the move.

    Example:
      >>> uphill(jnp.zeros(2), jnp.array([3.0, 4.0]), rho=1.0).tolist()
      [0.6000000238418579, 0.800000011920929]
    """
    # Scaled first, so that squares neither overflow nor vanish.
    largest = jnp.max(
        jnp.stack([jnp.max(jnp.abs(g)) for g in jax.tree.leaves(gradient)])
    )
    some = largest > 0
    scaled = jax.tree.map(lambda g: g / jnp.where(some, largest, 1), gradient)
    norm = jnp.where(some, optax.tree.norm(scaled), 1)
    return jax.tree.map(lambda w, g: w + rho * g / norm, params, scaled)


def make(inner: base.Objective, *, rho: float = 0.05) -> base.Objective:
    """Takes the gradient of `inner` at model parameters moved uphill.

    Args:
      inner: the objective, with its weights.
      rho: length of the move, in the L2 norm over all model parameters; 0 for none.

    Returns:
      An objective that logs `bsam/rise`, by how much the move raises the loss.

    Raises:
      ValueError: for a `rho` below 0.

    Example:
      >>> from dirjax.objectives import l1
      >>> grad = jax.grad(lambda p: (jnp.sum(p["model"] ** 2), None), has_aux=True)
      >>> sharp = make(l1.make(), rho=0.5).gradient
      >>> at = {"model": jnp.array([1.0]), "objective": {}}
      >>> out = base.Outcome(jnp.zeros(()), {}, {})
      >>> found, _ = sharp(lambda p: (grad(p)[0], (out, {})))(at)
      >>> found["model"].tolist()  # twice 1.5
      [3.0]
    """
    checks.positive("rho", rho, zero=True)

    def gradient(plain: base.Gradient) -> base.Gradient:
        of_inner = inner.gradient(plain)

        def sharp(params, *rest):
            here, (out, model_state) = of_inner(params, *rest)
            moved = {**params, "model": uphill(params["model"], here["model"], rho)}
            there, (above, _) = of_inner(moved, *rest)
            rise = {"bsam/rise": (above.loss - out.loss, jnp.ones(()))}
            return there, (out._replace(metrics=out.metrics | rise), model_state)

        return sharp

    def loss(own, inside, view, batch, key):
        del own, key
        return inside(view, batch)

    wrapped = base.wrap(inner, init=lambda spec: {}, loss=loss)
    return wrapped._replace(gradient=gradient)
