"""Operations of a program: multiplications and additions of products, by its text.

The compiler's own estimate counts the body of a loop once, however often it runs, so a
network over the words of a sentence would cost as much as one word. Here the program is
walked as JAX has traced it, and the body of a scan counts as often as it runs.

Counted are matrix products and convolutions, a multiplication and an addition for each
product of two numbers, since peaks of accelerators are those of these. Products with
the zeros of a padding, or of a dilation in the gradient of a strided convolution, do
not count. Elementwise operations and reductions do not count either: they take time by
their bytes, and are a percent of the operations of a network.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jax.extend import core


def operations(program: Any) -> int:
    """The number of operations of a program, over all devices.

    A branch counts as its most expensive one. A loop of a length that is known only
    when it runs (`while_loop`) counts once.

    Args:
      program: from `jax.make_jaxpr`, or the `jaxpr` of a traced function.

    Returns:
      The number of multiplications and additions.

    Example:
      A product of `[2, 3]` and `[3, 4]`, ten times:

      >>> import jax
      >>> import jax.numpy as jnp
      >>> w = jnp.ones((3, 4))
      >>> f = lambda xs: jax.lax.scan(lambda c, x: (c, x @ w), 0, xs)[1]
      >>> operations(jax.make_jaxpr(f)(jnp.ones((10, 2, 3)))) == 10 * 2 * (2 * 3 * 4)
      True
    """
    jaxpr = program.jaxpr if isinstance(program, core.ClosedJaxpr) else program
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    """Operations of one equation, with those of the programs inside it."""
    name, inside = equation.primitive.name, list(_inside(equation.params))
    if name in _PRODUCTS:
        return _PRODUCTS[name](equation)
    if name == "cond":
        return max(map(operations, inside))
    times = 1
    if name == "scan":
        times = equation.params["length"]
    elif name == "shard_map":  # its program is that of one device
        times = equation.params["mesh"].size
    return times * sum(map(operations, inside))


def _inside(params: dict[str, Any]) -> Iterator[Any]:
    """The programs among the parameters of an equation."""
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(one, (core.Jaxpr, core.ClosedJaxpr)):
                yield one


def _of_product(equation: Any) -> int:
    """A matrix product: two for each element of the result and of the contraction."""
    left = equation.invars[0].aval.shape
    (contracted, _), _ = equation.params["dimension_numbers"]
    summed = math.prod(left[axis] for axis in contracted)
    return 2 * summed * math.prod(equation.outvars[0].aval.shape)


def _of_convolution(equation: Any) -> int:
    """A convolution: two for each weight that meets a number of the input."""
    params = equation.params
    (left, right), out = (x.aval.shape for x in equation.invars), equation.outvars[0]
    numbers = params["dimension_numbers"]
    _, in_channels, *_ = numbers.rhs_spec
    rows, channels, *axes = numbers.out_spec
    met = [
        _meetings(
            out=out.aval.shape[axis],
            inputs=left[numbers.lhs_spec[2 + i]],
            kernel=right[numbers.rhs_spec[2 + i]],
            stride=params["window_strides"][i],
            padding=params["padding"][i][0],
            spread=params["lhs_dilation"][i],
            dilation=params["rhs_dilation"][i],
        )
        for i, axis in enumerate(axes)
    ]
    each = out.aval.shape[rows] * out.aval.shape[channels] * right[in_channels]
    return 2 * each * math.prod(met)


def _meetings(
    *,
    out: int,
    inputs: int,
    kernel: int,
    stride: int,
    padding: int,
    spread: int,
    dilation: int,
) -> int:
    """Pairs of an output and a weight, along one axis, that meet a number.

    Example:
      Three weights over four numbers; the two at the ends meet the padding once:

      >>> _meetings(
      ...     out=4, inputs=4, kernel=3, stride=1, padding=1, spread=1, dilation=1
      ... )
      10
    """
    at = np.arange(out)[:, None] * stride + np.arange(kernel) * dilation - padding
    there = (at >= 0) & (at <= (inputs - 1) * spread) & (at % spread == 0)
    return int(there.sum())


_PRODUCTS: dict[str, Callable[[Any], int]] = {
    "dot_general": _of_product,
    "conv_general_dilated": _of_convolution,
}
