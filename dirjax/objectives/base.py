"""Objectives: what a run minimises, as a pair of pure functions.

An objective is to dirjax what a gradient transformation is to optax. There are
two kinds. A *term* produces a loss and is added to others by `weighted_sum`. A
*wrapper* takes an objective and changes what it sees: the weights of the batch
(`lds`), the head (`fds`), the inputs. `from_config` nests wrappers around terms.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dirjax.domain import FREE, Domain

Batch = Mapping[str, Any]
Metrics = dict[str, tuple[jax.Array, jax.Array]]


class Variables(NamedTuple):
    """What an objective owns: trained parameters and carried state (pytrees)."""

    params: Any
    state: Any


class Outcome(NamedTuple):
    """What an objective returns for one batch.

    Attributes:
      loss: scalar float32, to be minimised.
      state: the carried state after this batch, same structure as before.
      metrics: name -> `(sum, count)`; divided once, when the log is written.
    """

    loss: jax.Array
    state: Any
    metrics: Metrics


@dataclasses.dataclass(frozen=True)
class View:
    """The model at the current parameters.

    Attributes:
      features: `[batch, dim]` float32, the encoder's output for the batch; in dense
        tasks `[batch, height, width, dim]`.
      outputs: the head's output for `features`; always has `.prediction` in label
        units, float32, of the shape of the batch's labels.
      encode: `(inputs, *, train=None, frozen=False) -> features`, for another pass:
        same dropout key as the first, statistics updates dropped. `train` is the mode
        of batch norm and dropout, by default that of the first pass. With `frozen`
        the parameters are constants.
      head: `(features, *, frozen=False) -> outputs`.
      domain: which coordinates of the inputs may be moved, and how far.
    """

    features: jax.Array
    outputs: Any
    encode: Callable[..., jax.Array]
    head: Callable[..., Any]
    domain: Domain = FREE


class Objective(NamedTuple):
    """A pair (or triple) of pure functions.

    Attributes:
      init: `(key, spec) -> Variables`; `spec` is a `labels.Spec` (host numpy).
      loss: `(variables, view, batch, key) -> Outcome`.
      refresh: `(variables, moments) -> variables`, or None. Called at the end of
        an epoch with the per-bin feature moments of the training set.
      start: the same, called once, when a stage begins, before its first step.
      precise: whether all passes of a step must be computed in float32 at the highest
        precision of products, whatever the model computes in otherwise.
      advise: `means -> sentences`, or None. Gets the means of the metrics whenever
        they are logged, on the host; the sentences warn the user.
      by_bin: `variables -> arrays` of `[num_bins]` each by name, or None: what of the
        state belongs to label bins and is stored with the features of a run.
    """

    init: Callable[[jax.Array, Any], Variables]
    loss: Callable[[Variables, View, Batch, jax.Array], Outcome]
    refresh: Callable[[Variables, Any], Variables] | None = None
    start: Callable[[Variables, Any], Variables] | None = None
    precise: bool = False
    advise: Callable[[Mapping[str, float]], Sequence[str]] | None = None
    by_bin: Callable[[Variables], dict[str, Any]] | None = None


def check_shapes(**arrays: tuple[Any, str] | None) -> None:
    """Checks ranks and that equal letters mean equal sizes.

    Args:
      **arrays: name -> `(array, "b d")`; None is skipped.

    Raises:
      ValueError: naming both shapes, if a rank or a shared size differs.

    Example:
      >>> check_shapes(features=(jnp.ones((2, 3)), "b d"), labels=(jnp.ones(2), "b"))
    """
    sizes: dict[str, tuple[int, str, tuple[int, ...]]] = {}
    for name, item in arrays.items():
        if item is None:
            continue
        array, letters = item
        shape, dims = jnp.shape(array), letters.split()
        if len(shape) != len(dims):
            raise ValueError(
                f"{name} must have {len(dims)} dimensions ({letters}), got shape "
                f"{shape}. Reshape it, for example with x.reshape(-1) for labels."
            )
        for size, letter in zip(shape, dims, strict=True):
            seen = sizes.setdefault(letter, (size, name, shape))
            if seen[0] != size:
                raise ValueError(
                    f"{name} with shape {shape} does not fit {seen[1]} with shape "
                    f"{seen[2]}: both must have the same size {letter!r}."
                )


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of `values` where `mask` is 1; 0 if nothing is.

    Args:
      values: any shape, float. Entries under a zero mask may be NaN.
      mask: same shape, 1 for real and 0 for padding.

    Returns:
      Scalar. Weights are part of `values`: the divisor is the number of real
      entries, never the sum of weights.

    Example:
      >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([1.0, 1.0, 0.0])))
      2.0
    """
    total = jnp.sum(jnp.where(mask > 0, values, 0.0))
    return total / jnp.maximum(jnp.sum(mask), 1.0)


def stream_key(key: jax.Array, name: str) -> jax.Array:
    """A random stream by name: adding one moves no other."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def term(fn: Callable[[View, Batch], jax.Array]) -> Objective:
    """A stateless objective from `(view, batch) -> loss`.

    A loss of the labels' shape is elementwise: it is multiplied with
    `batch["weight"]` and averaged over real entries. A scalar is taken as it is.
    """

    def loss(variables, view, batch, key):
        del key
        value = fn(view, batch)
        if jnp.ndim(value):
            value = masked_mean(value * batch["weight"], batch["mask"])
        return Outcome(value, variables.state, {})

    return Objective(lambda key, spec: Variables({}, {}), loss)


def _silent(means: Mapping[str, float]) -> Sequence[str]:
    return ()


def weighted_sum(
    terms: Mapping[str, Objective], weights: Mapping[str, float]
) -> Objective:
    """Adds objectives: `sum_k weights[k] * terms[k]`.

    Args:
      terms: name -> objective.
      weights: name -> factor, one for each term.

    Returns:
      An objective whose variables are dicts by name, and whose metrics hold
      `loss/<name>`, unweighted, for each term.
    """
    names = sorted(terms)
    if not names:
        raise ValueError("an objective needs at least one term, got none.")

    def init(key, spec):
        parts = {n: terms[n].init(stream_key(key, n), spec) for n in names}
        return Variables(
            {n: v.params for n, v in parts.items()},
            {n: v.state for n, v in parts.items()},
        )

    def part(variables, name):
        return Variables(variables.params[name], variables.state[name])

    def loss(variables, view, batch, key):
        total, state, metrics = jnp.zeros(()), {}, {}
        for name in names:
            out = terms[name].loss(
                part(variables, name), view, batch, stream_key(key, name)
            )
            total = total + weights[name] * out.loss
            state[name] = out.state
            metrics |= {f"loss/{name}": (out.loss, jnp.ones(()))} | out.metrics
        return Outcome(total, state, metrics)

    def gather(updates):
        """The update of all, from that of those which have one; or None."""
        if not any(updates.values()):
            return None

        def update(variables, moments):
            parts = {n: part(variables, n) for n in names}
            parts |= {n: f(parts[n], moments) for n, f in updates.items() if f}
            return Variables(
                {n: v.params for n, v in parts.items()},
                {n: v.state for n, v in parts.items()},
            )

        return update

    def advise(means):
        # A term that is only looked at has no say.
        heard = [n for n in names if weights[n]]
        return [s for n in heard for s in (terms[n].advise or _silent)(means)]

    def by_bin(variables):
        tell = {n: f for n in names if (f := terms[n].by_bin)}
        return {k: v for n, f in tell.items() for k, v in f(part(variables, n)).items()}

    parts = terms.values()
    return Objective(
        init,
        loss,
        refresh=gather({n: terms[n].refresh for n in names}),
        start=gather({n: terms[n].start for n in names}),
        precise=any(t.precise for t in parts),
        advise=advise if any(t.advise for t in parts) else None,
        by_bin=by_bin if any(t.by_bin for t in parts) else None,
    )


def wrap(
    inner: Objective,
    *,
    init: Callable[[Any], dict[str, Any]],
    loss: Callable[..., Outcome],
    refresh: Callable[[dict[str, Any], Any], dict[str, Any]] | None = None,
    start: Callable[[dict[str, Any], Any], dict[str, Any]] | None = None,
    precise: bool = False,
    advise: Callable[[Mapping[str, float]], Sequence[str]] | None = None,
) -> Objective:
    """A wrapper: an objective with a state of its own around another one.

    Args:
      inner: the objective inside.
      init: `spec -> own`, a dict, empty for no state.
      loss: `(own, inside, view, batch, key) -> Outcome`, where `inside(view, batch)` is
        the outcome of `inner`. The state it returns must be that of `inner`; `own`
        does not change in a step.
      refresh: `(own, moments) -> own`, or None.
      start: the same for the beginning of a stage.
      precise: see `Objective`.
      advise: likewise, beside what `inner` advises.

    Returns:
      An objective whose state holds the entries of `own`, and `inner`.

    Example:
      >>> half = lambda own, inside, view, batch, key: inside(view, batch)
      >>> inner = from_config({"l1": {}})
      >>> wrap(inner, init=lambda spec: {}, loss=half).refresh is None
      True
    """

    def part(variables: Variables) -> Variables:
        return Variables(variables.params, variables.state["inner"])

    def own_of(variables: Variables) -> dict[str, Any]:
        return {k: v for k, v in variables.state.items() if k != "inner"}

    def init_all(key, spec):
        own, variables = init(spec), inner.init(key, spec)
        return Variables(variables.params, {**own, "inner": variables.state})

    def loss_all(variables, view, batch, key):
        own = own_of(variables)

        def inside(view, batch):
            return inner.loss(part(variables), view, batch, key)

        out = loss(own, inside, view, batch, key)
        return out._replace(state={**own, "inner": out.state})

    def both(outer, below):
        """The update of wrapper and inner objective, or None."""
        if not (outer or below):
            return None

        def update(variables, moments):
            own, rest = own_of(variables), part(variables)
            own = outer(own, moments) if outer else own
            rest = below(rest, moments) if below else rest
            return Variables(rest.params, {**own, "inner": rest.state})

        return update

    def by_bin(variables):
        return inner.by_bin(part(variables)) if inner.by_bin else {}

    def advise_all(means):
        return [s for a in (inner.advise, advise) if a for s in a(means)]

    return Objective(
        init_all,
        loss_all,
        refresh=both(refresh, inner.refresh),
        start=both(start, inner.start),
        precise=inner.precise or precise,
        advise=advise_all if advise or inner.advise else None,
        by_bin=by_bin if inner.by_bin else None,
    )


def module(name: str) -> Any:
    """The module of a method: `dirjax.objectives.<name>`, or a dotted path.

    Raises:
      ValueError: if there is no such module.
    """
    path = name if "." in name else f"{__package__}.{name}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"there is no objective {name!r}: no module {path} was found. Use the "
            "name of a file in dirjax/objectives, or the dotted path of your own."
        ) from error


def from_config(
    terms: Mapping[str, Mapping[str, Any]],
    wrappers: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Objective:
    """Builds the objective of a config: wrappers nested around weighted terms.

    Args:
      terms: method name -> keyword arguments of its `make`, and `weight`.
      wrappers: names, outermost first.
      settings: wrapper name -> keyword arguments of its `make`.

    Returns:
      One objective.

    Raises:
      ValueError: for a name without a module.

    Example:
      >>> from_config({"l1": {"weight": 1.0}}).refresh is None
      True
    """
    weights = {name: kwargs.get("weight", 1.0) for name, kwargs in terms.items()}
    parts = {
        name: module(name).make(**{k: v for k, v in kwargs.items() if k != "weight"})
        for name, kwargs in terms.items()
    }
    objective = weighted_sum(parts, weights)
    for name in reversed(tuple(wrappers)):
        objective = module(name).make(objective, **dict((settings or {}).get(name, {})))
    return objective
