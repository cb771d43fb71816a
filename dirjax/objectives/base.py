"""Objectives: what a run minimises, as a pair of pure functions.

An objective is to dirjax what a gradient transformation is to optax. There are
two kinds. A *term* produces a loss and is added to others by `weighted_sum`. A
*wrapper* takes an objective and changes what it sees: the weights of the batch
(`lds`), the head (`fds`), the inputs. `objectives.from_config` nests wrappers around
terms.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.checks import check_shapes as check_shapes  # for user methods
from dirjax.ops.input_domain import FREE, Domain
from dirjax.ops.numerics import masked_mean
from dirjax.ops.random import stream_key

Batch = Mapping[str, Any]
Metrics = dict[str, tuple[jax.Array, jax.Array]]


class Variables(NamedTuple):
    """What an objective owns: trained parameters and carried state (pytrees)."""

    params: Any
    state: Any


def check_one_per_row(method: str, labels: Any, drawn: bool = True) -> None:
    """Raises an error for labels of pixels, for methods that compare all rows.

    Args:
      method: its name, for the message.
      labels: `[batch]`.
      drawn: whether it would work on drawn pixels, see `objectives.from_config`.

    Raises:
      ValueError: for labels of pixels.
    """
    if np.ndim(labels) > 1:
        advice = "Give the term pixels to draw as rows, pixels=1024, or use" * drawn
        raise ValueError(
            f"{method} needs one label per row, this data has one per pixel (labels "
            f"{list(np.shape(labels))}). {advice or 'Use'} a method without it, such "
            "as sqinv_lds."
        )


class Outcome(NamedTuple):
    """What an objective returns for one batch.

    Attributes:
      loss: scalar float32, to be minimised.
      state: the carried state after this batch, same structure as before.
      metrics: name -> `(sum, count)`; divided once, when logged.
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
      encode: `(inputs, *, train=None, frozen=False) -> features`, runs another pass
        with the same dropout key and discards updates of running statistics. `train` is
        the mode of batch norm and dropout, by default that of the first pass. `frozen`
        makes the parameters constants.
      head: `(features, *, frozen=False) -> outputs`.
      domain: which coordinates of the inputs may move, and how far.
    """

    features: jax.Array
    outputs: Any
    encode: Callable[..., jax.Array]
    head: Callable[..., Any]
    domain: Domain = FREE


def _no_advice(means: Mapping[str, float]) -> Sequence[str]:
    del means
    return ()


def _no_arrays(variables: Variables) -> dict[str, Any]:
    del variables
    return {}


class Diagnostics(NamedTuple):
    """What an objective reports about itself; it does not affect training.

    Attributes:
      advise: `means -> sentences`. Called on the host with the metric means whenever
        they are logged; the sentences warn the user.
      by_bin: `variables -> {name: [num_bins] array}`: per-bin entries of the state,
        stored with the features of a run.
    """

    advise: Callable[[Mapping[str, float]], Sequence[str]] = _no_advice
    by_bin: Callable[[Variables], dict[str, Any]] = _no_arrays


class Collect(NamedTuple):
    """How an objective uses a pass over the training set, and when.

    Each is `(variables, moments) -> variables`, given the per-bin feature moments, or
    None if nothing is collected then.

    Attributes:
      start: at the start of a stage, before its first step.
      epoch: at the end of each epoch.
    """

    start: Callable[[Any, Any], Any] | None = None
    epoch: Callable[[Any, Any], Any] | None = None


NOTHING = Collect()


# `(params, *rest) -> (gradient, (outcome, model_state))`, of the loss of a step.
Gradient = Callable[..., tuple[Any, tuple[Outcome, Any]]]


def _plain(gradient: Gradient) -> Gradient:
    return gradient


def _same(variables: Variables, batch: Batch, key: jax.Array) -> Batch:
    del variables, key
    return batch


def _as_given(spec: Any, given: np.ndarray) -> np.ndarray:
    del spec
    return given


def _unweighted(spec: Any) -> np.ndarray:
    return np.ones(spec.bins.num)


class Objective(NamedTuple):
    """A pair of pure functions, and extras that some methods need.

    Attributes:
      init: `(key, spec) -> Variables`; `spec` is a `labels.Spec` (host numpy).
      loss: `(variables, view, batch, key) -> Outcome`.
      collect: updates from the per-bin feature moments of the training set.
      precise: whether all passes of a step run in float32 with products at the highest
        precision, whatever the model's dtype.
      diagnostics: advice and arrays that are only reported.
      weighting: `(spec, given) -> [num_bins]` host numpy: the weights of labels of each
        bin under which the model learns their distribution, from those that they are
        given by sampling, rows and wrappers around it. A later correction starts from
        there.
      rates: constant learning rates of its own parameters, a tree of numbers whose
        leaves may stand for whole subtrees of them; None where the model's applies.
      batch: `(variables, batch, key) -> batch`: what model and loss see of a training
        batch with prepared inputs.
      partners: `spec -> bandwidth`, in units of the learnt label, if each row of a
        training batch is to be followed by a partner, see `data.partners`; None for
        rows alone.
      gradient: what the optimiser gets, from the plain gradient of the loss: a function
        of such functions. `params` are `{"model", "objective"}`.
    """

    init: Callable[[jax.Array, Any], Variables]
    loss: Callable[[Variables, View, Batch, jax.Array], Outcome]
    collect: Collect = NOTHING
    precise: bool = False
    diagnostics: Diagnostics = Diagnostics()
    weighting: Callable[[Any, np.ndarray], np.ndarray] = _as_given
    rates: Any = None
    batch: Callable[[Variables, Batch, jax.Array], Batch] = _same
    partners: Callable[[Any], float] | None = None
    gradient: Callable[[Gradient], Gradient] = _plain


def term(fn: Callable[[View, Batch], jax.Array]) -> Objective:
    """A stateless objective from `(view, batch) -> loss`.

    A loss of the labels' shape is elementwise: it is multiplied by `batch["weight"]`
    and averaged over real entries. A scalar is used unchanged.
    """

    def loss(variables, view, batch, key):
        del key
        value = fn(view, batch)
        if jnp.ndim(value):
            value = masked_mean(value * batch["weight"], batch["mask"])
        return Outcome(value, variables.state, {})

    return Objective(lambda key, spec: Variables({}, {}), loss)


def in_deviations(
    fn: Callable[[Any, jax.Array, jax.Array], jax.Array],
) -> Objective:
    """An elementwise objective that is told the deviation of the training labels.

    Args:
      fn: `(outputs, labels, unit) -> loss` of the labels' shape, see `term`. `unit` is
        the deviation, 1 if all labels are equal.

    Returns:
      An objective whose state holds `unit`, a scalar.
    """

    def init(key, spec):
        del key
        return Variables({}, {"unit": jnp.float32(spec.label_std or 1.0)})

    def loss(variables, view, batch, key):
        unit = variables.state["unit"]
        plain = term(lambda view, batch: fn(view.outputs, batch["label"], unit))
        return plain.loss(variables, view, batch, key)

    return Objective(init, loss)


def weighted_sum(
    terms: Mapping[str, Objective], weights: Mapping[str, float]
) -> Objective:
    """Adds objectives: `sum_k weights[k] * terms[k]`.

    Args:
      terms: name -> objective.
      weights: name -> factor, one for each term.

    Returns:
      An objective whose variables are dicts by name, and whose metrics hold
      `loss/<name>`, unweighted, for each term. Its weighting is that of its terms, one
      after the other, without terms of weight 0.
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
            if jnp.ndim(out.loss):
                raise ValueError(
                    f"a loss must be a scalar, that of {name!r} has shape "
                    f"{jnp.shape(out.loss)}. Average it over real rows, for example "
                    "with base.masked_mean(loss * batch['weight'], batch['mask'])."
                )
            total = total + weights[name] * out.loss
            state[name] = out.state
            metrics |= {f"loss/{name}": (out.loss, jnp.ones(()))} | out.metrics
        return Outcome(total, state, metrics)

    def collected(moment):
        """The update by all terms that collect at this moment, or None."""
        updates = {n: f for n in names if (f := getattr(terms[n].collect, moment))}

        def update(variables, moments):
            parts = {n: part(variables, n) for n in names}
            parts |= {n: f(parts[n], moments) for n, f in updates.items()}
            return Variables(
                {n: v.params for n, v in parts.items()},
                {n: v.state for n, v in parts.items()},
            )

        return update if updates else None

    def advise(means):
        # Zero-weight terms give no advice.
        heard = [n for n in names if weights[n]]
        return [s for n in heard for s in terms[n].diagnostics.advise(means)]

    def by_bin(variables):
        found = [terms[n].diagnostics.by_bin(part(variables, n)) for n in names]
        return {k: v for arrays in found for k, v in arrays.items()}

    def weighting(spec, given):
        for name in names:
            given = terms[name].weighting(spec, given) if weights[name] else given
        return given

    parts = terms.values()
    return Objective(
        init,
        loss,
        collect=Collect(*map(collected, Collect._fields)),
        precise=any(t.precise for t in parts),
        diagnostics=Diagnostics(advise, by_bin),
        weighting=weighting,
        rates={n: terms[n].rates for n in names},
    )


def wrap(
    inner: Objective,
    *,
    init: Callable[[Any], dict[str, Any]],
    loss: Callable[..., Outcome],
    collect: Collect = NOTHING,
    precise: bool = False,
    advise: Callable[[Mapping[str, float]], Sequence[str]] = _no_advice,
    weighting: Callable[[Any], np.ndarray] = _unweighted,
) -> Objective:
    """Makes a wrapper: an objective with its own state around another objective.

    Args:
      inner: the objective inside.
      init: `spec -> own`, a dict; empty without state.
      loss: `(own, inside, view, batch, key) -> Outcome`, where `inside(view, batch)`
        gives the outcome of `inner`. The returned state must be the state of `inner`;
        `own` does not change within a step.
      collect: functions `(own, moments) -> own`.
      precise: see `Objective`.
      advise: see `Diagnostics`; these sentences follow those of `inner`.
      weighting: `spec -> [num_bins]`: by which it multiplies the weights that labels of
        each bin have inside; see `Objective`.

    Returns:
      An objective whose state holds the entries of `own` and the state of `inner`.

    Example:
      >>> def halved(own, inside, view, batch, key):
      ...     out = inside(view, batch)
      ...     return out._replace(loss=out.loss / 2)
      >>> l1 = term(lambda view, batch: abs(view.outputs.prediction - batch["label"]))
      >>> half = wrap(l1, init=lambda spec: {}, loss=halved)
      >>> half.init(jax.random.key(0), None).state
      {'inner': {}}
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

        # A copy: what the loss writes into its own state is not carried.
        out = loss(dict(own), inside, view, batch, key)
        return out._replace(state={**own, "inner": out.state})

    def collected(moment):
        """The update of the wrapper and the inner objective, or None."""
        outer, below = getattr(collect, moment), getattr(inner.collect, moment)

        def update(variables, moments):
            own, rest = own_of(variables), part(variables)
            own = outer(own, moments) if outer else own
            rest = below(rest, moments) if below else rest
            return Variables(rest.params, {**own, "inner": rest.state})

        return update if outer or below else None

    return Objective(
        init_all,
        loss_all,
        collect=Collect(*map(collected, Collect._fields)),
        precise=inner.precise or precise,
        diagnostics=Diagnostics(
            lambda means: [*inner.diagnostics.advise(means), *advise(means)],
            lambda variables: inner.diagnostics.by_bin(part(variables)),
        ),
        weighting=lambda spec, given: inner.weighting(spec, weighting(spec) * given),
        rates=inner.rates,
        batch=lambda variables, batch, key: inner.batch(part(variables), batch, key),
        partners=inner.partners,
        gradient=inner.gradient,
    )
