"""FDS: feature distribution smoothing.

In training, features are moved from the statistics of their label bin to statistics
smoothed over neighbouring bins before they enter the head:

    z' = (z - m1_b) * sqrt(clip(v2_b / v1_b)) + m2_b

with running mean and variance `m1, v1` of bin b and `m2, v2 = kernel * (m1, v1)`.
Statistics are constants in the gradient. They are updated at the end of each epoch from
a pass over the training set. Evaluation does not calibrate, since labels are unknown
there.

"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021, section 3.2.
https://arxiv.org/abs/2102.09554

**Deviations.** `mode="clean"` follows the paper: after each epoch the running
statistics are first updated from raw features, then smoothed, so both sides of the
calibration come from the same epoch. `mode="official"` follows the published code:

- *lag*: the statistics are smoothed before they are updated, so an epoch sees smoothed
  values that are two epochs old, and the first epoch with smoothing does nothing;
- *alias*: `m1, v1` are the current running statistics, one epoch newer than `m2, v2`
  (`alias=False` for the depth code, which copies on a GPU);
- *feedback*: the statistics are those of calibrated features (`feedback=False` for
  depth). The calibration is affine in each bin, so they follow from the raw moments;
- *empty bins* keep mean 0 and variance 1 and enter their neighbours' smoothing, or are
  filled in from their neighbours (`fill_empty`, text similarity).

In both modes:

- Labels outside the bins belong to the end bins. The published age code does so only if
  the batch holds a label of the end bin, and otherwise does not move such rows.
- The pass over the training set computes moments of the whole set at once. It does not
  move batch-norm statistics, which the published pass does.
- Columns of variance 0 are not moved, and neither are bins whose variances sum to less
  than 1e-10 (a single example), as in the age code. In the text and depth code one
  column of variance 0 fixes the whole bin (`whole_rows`).
- A resumed run continues as if it had not stopped; the published code loses the alias.

In clean mode, which has no published counterpart for these cases, empty bins are left
out of the smoothing (the weights of the others are scaled to sum 1) and examples in
them are not moved; a bin without variance enters the smoothed means but not the
smoothed variances; a bin first seen late takes its first statistics without momentum.

The `"gaussian"` window is the published one, folded at the ends and nearly flat for 5
taps; see `weights.kernel_window`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

# What a loss of one's own needs, without the wrapper.
from dirjax.features.smoothing import Statistics as Statistics
from dirjax.features.smoothing import calibrate as calibrate
from dirjax.features.smoothing import identity as identity
from dirjax.features.smoothing import smooth as smooth
from dirjax.features.smoothing import update as update
from dirjax.labels import specification, weights
from dirjax.objectives import base


def _check(mode, features, clip, momentum, fill_empty, first_bin, last_bin) -> None:
    last = first_bin if last_bin is None else last_bin
    for good, expected, got in (
        (mode in ("clean", "official"), "mode clean or official", mode),
        (features in ("raw", "calibrated"), "features raw or calibrated", features),
        (0 <= clip[0] <= clip[1], "clip as (low, high), low first", clip),
        (momentum is None or 0 <= momentum < 1, "momentum None or in [0, 1)", momentum),
        (mode == "official" or not fill_empty, "mode official for fill_empty", mode),
        (0 <= first_bin <= last, "0 <= first_bin <= last_bin", (first_bin, last)),
    ):
        if not good:
            raise ValueError(f"fds needs {expected}, got {got!r}: change this option.")


def _moved(
    view: base.View, move: Callable[[jax.Array], jax.Array], features: str
) -> base.View:
    """The view whose head gets moved features; see `features` of `make`."""
    if features == "raw":

        def head(z, **how):
            return view.head(move(z), **how)

        return dataclasses.replace(view, head=head, outputs=head(view.features))
    moved = move(view.features)
    return dataclasses.replace(
        view,
        features=moved,
        outputs=view.head(moved),
        encode=lambda x, **how: move(view.encode(x, **how)),
    )


def make(
    inner: base.Objective,
    *,
    mode: str = "clean",
    kernel: str = "gaussian",
    size: int = 5,
    sigma: float = 2.0,
    momentum: float | None = 0.9,
    start_update: int = 0,
    start_smooth: int = 1,
    clip: tuple[float, float] = (0.1, 10.0),
    fill_empty: bool = False,
    feedback: bool | None = None,
    alias: bool = True,
    whole_rows: bool = False,
    features: str = "raw",
    first_bin: int = 0,
    last_bin: int | None = None,
) -> base.Objective:
    """Puts the calibration between the encoder and the head that `inner` sees.

    At the end of every epoch, from epoch 0 on, it updates its statistics from moments
    of raw features over the training set.

    Args:
      inner: the objective that sees calibrated outputs.
      mode: `"clean"` or `"official"`, see the module.
      kernel: smoothing kernel over bins, see `weights.kernel_window`.
      size: taps of the kernel, odd, in bins.
      sigma: width of the kernel, in bins.
      momentum: share of the old statistics in an update; None for the mean over all
        epochs.
      start_update: first epoch at whose end statistics are collected.
      start_smooth: first epoch with calibration.
      clip: lowest and highest ratio of variances. Published: (0.1, 10) for ages,
        (0.5, 2) for text similarity, (0.2, 5) for depth.
      fill_empty: official mode: fill bins without examples from their neighbours.
      feedback: collect statistics of calibrated features. Default: in official mode.
      alias: official mode: move from the current running statistics.
      whole_rows: do not move a bin if one of its columns has no variance (published
        code for text similarity and depth).
      features: what other terms see as `view.features`, `"raw"` or `"calibrated"`.
      first_bin: bins before it are pooled with it (published for AgeDB: 3).
      last_bin: bins after it are pooled with it (AgeDB: 99). Default: the last one.

    Returns:
      An objective whose state holds `fds`, a `Statistics`, beside that of `inner`.

    Raises:
      ValueError: for options out of range; at init, if `spec.feature_dim` is unknown.

    Example:
      >>> from dirjax import labels
      >>> from dirjax.objectives import l1
      >>> spec = labels.spec([0.0, 1.0, 2.0], bin_width=1.0)
      >>> spec = dataclasses.replace(spec, feature_dim=4)
      >>> make(l1.make()).init(None, spec).state["fds"].smoothed_mean.shape
      (3, 4)
    """
    _check(mode, features, clip, momentum, fill_empty, first_bin, last_bin)
    window = weights.kernel_window(kernel, size, sigma, normalize="sum")
    calibration = {
        "start_smooth": start_smooth,
        "clip": clip,
        "whole_rows": whole_rows,
        "first_bin": first_bin,
    }

    def init(spec):
        num, dim = len(spec.counts), specification.feature_dim_of(spec, "fds")
        last = num - 1 if last_bin is None else last_bin
        if not first_bin <= last < num:
            raise ValueError(
                f"fds needs first_bin and last_bin from 0 to {num - 1} for {num} bins, "
                f"got {first_bin} and {last}."
            )
        return {"fds": identity(last - first_bin + 1, dim)}

    def loss(own, inside, view, batch, key):
        del key

        def move(z):
            return smooth(z, batch["bin"], own["fds"], **calibration)

        return inside(_moved(view, move, features), batch)

    def collect(own, moments):
        new = update(
            own["fds"],
            moments,
            window=window,
            mode=mode,
            momentum=momentum,
            start_update=start_update,
            fill_empty=fill_empty,
            feedback=feedback,
            alias=alias,
            **calibration,
        )
        return {"fds": new}

    return base.wrap(inner, init=init, loss=loss, collect=base.Collect(epoch=collect))
