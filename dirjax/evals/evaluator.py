"""Passes over a split in evaluation mode: metrics, predictions, features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dirjax import data, labels, metrics, models
from dirjax.evals import eval_step as eval_step_lib
from dirjax.evals import pixels
from dirjax.features import moments as moments_lib
from dirjax.features.balance import summary
from dirjax.labels import specification
from dirjax.labels.relevance import relevance
from dirjax.metrics import depth as depth_metrics
from dirjax.metrics import expert_maps
from dirjax.metrics import experts as experts_metrics
from dirjax.runtime import sharding


class Evaluated(NamedTuple):
    """What `Evaluator.evaluate` returns.

    Attributes:
      scores: `{metric: {"all", "many", "median", "few"}}`.
      stored: arrays of the rows.
      members: `scores` of each member of the model, without metrics that need all rows
        at once; empty for a single network.
      targets: the same of each of several targets, by name; then `scores` are means
        over targets, see `evals.targets`, and nothing is stored here.
    """

    scores: dict[str, Any]
    stored: dict[str, np.ndarray]
    members: Sequence[dict[str, Any]] = ()
    targets: Mapping[str, Any] = MappingProxyType({})

    @property
    def logged(self) -> dict[str, Any]:
        """`scores`, and those of each target under `TARGET/METRIC`."""
        own = {
            f"{name}/{metric}": values
            for name, found in self.targets.items()
            for metric, values in found.scores.items()
        }
        return self.scores | own


def batches(split: data.Split, mesh: Mesh, batch_size: int) -> Iterator[Any]:
    """All rows of a split, padded, with mask, on the devices.

    Args:
      split: the rows.
      mesh: the device mesh.
      batch_size: global rows per batch, at most.
    """
    devices = jax.device_count()
    size = min(batch_size, len(split.label))
    size = -(-size // devices) * devices
    for batch in data.eval_batches(
        split,
        batch_size=size,
        process=jax.process_index(),
        processes=jax.process_count(),
    ):
        yield sharding.to_global(mesh, batch)


class Evaluator:
    """Compiled passes over a whole split.

    Args:
      network: the model.
      source: the data.
      spec: label specification with `feature_dim`, and groups if the head has them.
      mesh: the device mesh.
      batch_size: global rows per batch.
      gm_epsilon: see `metrics`.
      probable: whether the head's group outputs are log probabilities.
      members: number of networks, see `eval_step.make_respond`.

    Attributes:
      step: the pass over a batch, see `eval_step.make_eval_step`; not compiled.
      add_moments: the pass of `moments`, see `eval_step.make_moments_step`; not
        compiled.
      no_moments: gives what it starts from.
    """

    def __init__(
        self,
        network: models.Network,
        source: data.Source,
        spec: labels.Spec,
        mesh: Mesh,
        *,
        batch_size: int,
        gm_epsilon: float,
        probable: bool,
        members: int = 1,
    ):
        self._source, self._spec, self._mesh = source, spec, mesh
        self._batch_size, self._probable = batch_size, probable
        self._members = members
        self._units, self._gm_epsilon = _metric_units(source), gm_epsilon
        replicated = sharding.replicated(mesh)
        measure = eval_step_lib.Measure(
            num_bins=spec.bins.num,
            gm_epsilon=gm_epsilon,
            dense=source.dense,
            of_bin=spec.groups and spec.groups.of_bin,
            **self._units,
        )
        self._model = {
            "network": network,
            "inverse": source.scale.inverse,
            "measure": measure,
            "members": members,
        }
        self.step = eval_step_lib.make_eval_step(**self._model)
        add_moments = eval_step_lib.make_moments_step(network, num_bins=spec.bins.num)
        if members > 1:
            add_moments = jax.vmap(add_moments, in_axes=(0, 0, 0, None))
        encode = eval_step_lib.make_encode_step(network)
        self._encode = jax.jit(encode, out_shardings=replicated)
        self._eval_step = jax.jit(self.step, out_shardings=replicated)
        self.add_moments = add_moments
        self._add_moments = jax.jit(
            add_moments, donate_argnums=0, out_shardings=replicated
        )

        def no_moments():
            one = moments_lib.zeros(spec.bins.num, spec.feature_dim)
            if members == 1:
                return one
            return jax.tree.map(lambda x: jnp.stack([x] * members), one)

        # Compiled, since donated leaves must not share a buffer.
        self.no_moments = jax.jit(no_moments, out_shardings=replicated)

    @property
    def unit(self) -> float:
        """Deviation of the training labels, in units of the file."""
        return self._units["scale"]

    def batches(self, split: str) -> Iterator[Any]:
        """All rows of a split or of "statistics", see `batches`."""
        return batches(self._source.rows(split), self._mesh, self._batch_size)

    def evaluate(self, params: Any, model_state: Any, split: str) -> Evaluated:
        """Metrics and predictions of a split.

        Args:
          params: parameters of the model.
          model_state: its running statistics.
          split: "train", "val" or "test".

        Returns:
          Metrics, and `index`, `label` and `prediction` of the rows in order;
          `log_probs` `[n, num]`, if the head predicts a distribution. If the head has
          groups, `experts.evaluate` adds to both. Dense tasks have neither rank
          correlation nor SERA, and sums per bin instead of predictions: `count`, `abs`
          and `sq` of errors, those of `depth_metrics.Ratios` and, with groups, of
          `expert_maps.ExpertSums`.
        """
        return self.told(split, self._evaluations(params, model_state, split))

    def told(self, split: str, host: Sequence[eval_step_lib.Evaluation]) -> Evaluated:
        """What `evaluate` returns.

        Args:
          split: "train", "val" or "test".
          host: what `step` has found for its batches, on the host.
        """
        total = added([e.sums for e in host])
        scores = self._finalized(total)
        members = self._of_members(host)
        if self._source.dense:
            found = added([e.rows for e in host])
            return self._of_maps(total, found)._replace(members=members)
        rows = self._source.splits[split]
        found = jax.tree.map(
            lambda *x: np.concatenate(x)[: len(rows.label)], *[e.rows for e in host]
        )
        prediction, shots = found["prediction"], self._spec.shots[rows.bin]
        scores |= self._of_rows(split, prediction)
        stored = {"index": rows.index, "label": rows.value, "prediction": prediction}
        if "log_probs" in found:
            stored["log_probs"] = found["log_probs"]
        if "logits" in found:
            more, arrays = experts_metrics.evaluate(
                found["logits"],
                found["values"],
                label=rows.label,
                value=rows.value,
                groups=specification.of_spec(self._spec, "the head").of_bin[rows.bin],
                shots=shots,
                inverse=self._source.scale.inverse,
                probable=self._probable,
            )
            scores, stored = scores | more, stored | arrays
        return Evaluated(scores, stored, members)

    def _of_maps(self, sums: Any, found: eval_step_lib.OfMaps) -> Evaluated:
        """Metrics and stored arrays of a dense task."""
        scores = self._finalized(sums)
        scores |= depth_metrics.finalize(found.ratios, sums.count, spec=self._spec)
        stored = {"count": sums.count, "abs": sums.abs, "sq": sums.sq}
        stored |= found.ratios._asdict()
        if found.experts is not None:
            scores |= expert_maps.finalize(found.experts, sums.count, spec=self._spec)
            stored |= found.experts._asdict()
        return Evaluated(scores, stored)

    def variants(
        self,
        params: Any,
        model_state: Any,
        split: str,
        corrected: Callable[[Any], jax.Array],
    ) -> list[Evaluated]:
        """What `evaluate` gives of a dense task, for each of several corrections.

        Args:
          params: parameters of the model.
          model_state: its running statistics.
          split: "train", "val" or "test".
          corrected: from `pixels.make_corrected`.
        """
        step = jax.jit(
            eval_step_lib.make_variants_step(**self._model, corrected=corrected),
            out_shardings=sharding.replicated(self._mesh),
        )
        sums, ratios = added(
            sharding.to_host(
                [step(params, model_state, batch) for batch in self.batches(split)]
            )
        )
        return [
            self._of_maps(
                jax.tree.map(lambda x, v=v: x[v], sums),
                eval_step_lib.OfMaps(jax.tree.map(lambda x, v=v: x[v], ratios)),
            )
            for v in range(len(sums.count))
        ]

    def pixels(
        self, params: Any, model_state: Any, split: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and labels of some pixels of a dense task, `[n]` each.

        Args:
          params: parameters of the model.
          model_state: its running statistics.
          split: "train", "val" or "test".
        """
        step = jax.jit(
            eval_step_lib.make_maps_step(**self._model),
            out_shardings=sharding.replicated(self._mesh),
        )
        rows = len(self._source.rows(split).label)
        share = -(-pixels.SAMPLE * min(self._batch_size, rows) // rows)
        found = []
        for seed, batch in enumerate(self.batches(split)):
            maps = step(params, model_state, batch), batch["value"], batch["mask"]
            prediction, value, mask = sharding.to_host(maps)
            found.append(pixels.sample(prediction, value, mask, share, seed))
        prediction, value = zip(*found, strict=True)
        return np.concatenate(prediction), np.concatenate(value)

    def _finalized(self, sums: Any) -> dict[str, Any]:
        return metrics.finalize(sums, spec=self._spec, **self._units)

    def _of_members(
        self, evaluations: Sequence[eval_step_lib.Evaluation]
    ) -> Sequence[dict[str, Any]]:
        if self._members == 1:
            return ()
        total = added([e.members for e in evaluations])
        return [
            self._finalized(jax.tree.map(lambda x, m=m: x[m], total))
            for m in range(self._members)
        ]

    def score(self, split: str, prediction: np.ndarray) -> dict[str, Any]:
        """Metrics of other predictions for a split, such as corrected ones.

        Args:
          split: "train", "val" or "test".
          prediction: `[n]`, in units of the file, in the order of the rows.

        Returns:
          As `evaluate`, without those of groups.
        """
        rows = self._source.splits[split]
        sums = metrics.row_sums(
            prediction,
            rows.value,
            bins=rows.bin,
            num_bins=self._spec.bins.num,
            gm_epsilon=self._gm_epsilon,
            **self._units,
        )
        return self._finalized(sums) | self._of_rows(split, prediction)

    def _of_rows(self, split: str, prediction: np.ndarray) -> dict[str, Any]:
        """Metrics that need all rows at once."""
        rows = self._source.splits[split]
        shots = self._spec.shots[rows.bin]
        phi = relevance(self._source.splits["train"].value, rows.value)
        ranks = metrics.rank_metrics(prediction, rows.value, shots)
        return ranks | metrics.sera(prediction, rows.value, phi)

    def _evaluations(
        self, params: Any, model_state: Any, split: str
    ) -> list[eval_step_lib.Evaluation]:
        """Sums and rows of each batch of a split, on the host."""
        return sharding.to_host(
            [
                self._eval_step(params, model_state, batch)
                for batch in self.batches(split)
            ]
        )

    def moments(self, params: Any, model_state: Any, split: str) -> moments_lib.Moments:
        """Per-bin feature moments of a split, or of "statistics"; `[members, ...]`.

        Args:
          params: parameters of the model.
          model_state: its running statistics.
          split: see `batches`.
        """
        total = self.no_moments()
        for batch in self.batches(split):
            total = self._add_moments(total, params, model_state, batch)
        return total

    def encode(self, params: Any, model_state: Any, split: str) -> np.ndarray:
        """Features of the rows of a split in order, `[rows, dim]`, in evaluation mode.

        Args:
          params: parameters of the model, of a single network.
          model_state: its running statistics.
          split: "train", "val" or "test".
        """
        found = sharding.to_host(
            [
                self._encode(params, model_state, batch["inputs"])
                for batch in self.batches(split)
            ]
        )
        return np.concatenate(found)[: len(self._source.rows(split).label)]

    def features(
        self, params: Any, model_state: Any, split: str
    ) -> dict[str, np.ndarray]:
        """The summary of features of a split (`balance.summary`), with errors.

        Of several members, the features are those of the first one.

        Args:
          params: parameters of the model.
          model_state: its running statistics.
          split: "train", "val" or "test".

        Returns:
          The summary, and `error` `[bins]`, the mean absolute error, NaN in empty bins,
          `edges` `[bins + 1]`, both in file units, and the `split`.
        """
        found = sharding.to_host(self.moments(params, model_state, split))
        if self._members > 1:
            found = jax.tree.map(lambda x: x[0], found)
        mean = np.asarray(found.mean, np.float64) + found.rest
        total = added([e.sums for e in self._evaluations(params, model_state, split)])
        return summary(found.count, mean, found.m2, found.norm) | {
            "error": total.abs / np.where(total.count > 0, total.count, np.nan),
            "edges": self._source.edges,
            "split": np.asarray(split),
        }


def added(sums: Sequence[Any]) -> Any:
    """The sum of trees of equal structure, in float64."""
    return jax.tree.map(lambda *x: np.sum(np.asarray(x, np.float64), axis=0), *sums)


def _metric_units(source: data.Source) -> dict[str, Any]:
    """Shift per bin and scale that keep sums of labels and squares accurate."""
    centers = source.spec.bins.centers
    if source.scale.linear:
        return {"shift": centers, "scale": source.spec.label_std or 1.0}
    train = source.splits["train"]
    scale = float(np.std(train.real(train.value))) or 1.0
    return {"shift": np.asarray(source.scale.inverse(centers)), "scale": scale}
