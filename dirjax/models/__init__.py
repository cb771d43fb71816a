"""Models as pure functions: `build` returns `init`, `encode` and `head`.

Only this package imports `flax.linen`; the rest of dirjax sees a `Network`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax import checks, dotted
from dirjax.models import bilstm, depth, fused_depth, heads, mlp, pairs, resnet
from dirjax.models.heads import Outputs
from dirjax.ops.input_domain import FREE, NOTHING, Domain, of_pixels, of_table

__all__ = ["ENCODERS", "Encoder", "Network", "Outputs", "build", "find", "from_config"]
__all__ += ["of_features"]


class Encoder(NamedTuple):
    """The factory of an encoder and its kind of inputs.

    Attributes:
      make: `(*, dtype, **options) -> nn.Module`; the module maps `(inputs, train)` to
        features `[batch, dim]`, dense `[batch, height, width, dim]`.
      inputs: the kind of its inputs, `record["kind"]` of the data: "table", "images",
        "dense" (images with one label per pixel), "pairs", "text", or a kind of your
        own.
    """

    make: Callable[..., nn.Module]
    inputs: str = "images"


# Messages suggest the first encoder of a kind.
ENCODERS = {
    "mlp": Encoder(mlp.make, "table"),
    "small_resnet": Encoder(resnet.small_resnet),
    "resnet18": Encoder(resnet.resnet18),
    "resnet34": Encoder(resnet.resnet34),
    "resnet50": Encoder(resnet.resnet50),
    "small_unet": Encoder(depth.SmallUNet, "dense"),
    "fused_depth": Encoder(fused_depth.FusedDepth, "dense"),
    "fused_depth50": Encoder(fused_depth.fused_depth50, "dense"),
    "pair_mlp": Encoder(pairs.PairMLP, "pairs"),
    "bilstm": Encoder(bilstm.BiLSTM, "text"),
}


def find(name: str) -> Encoder:
    """Finds an encoder by name, or in a module of your own.

    Args:
      name: a key of `ENCODERS`; or the dotted path of a module that has `make` and
        `INPUTS`, see `Encoder`.

    Raises:
      ValueError: if there is none.
    """
    if "." not in name:
        if name not in ENCODERS:
            raise ValueError(
                f"model.name must be one of {', '.join(ENCODERS)}, or the dotted path "
                f"of a module of your own, got {name!r}."
            )
        return ENCODERS[name]
    module: Any = dotted.find("the model", name, "make", "INPUTS")
    return Encoder(module.make, module.INPUTS)


class _Model(nn.Module):
    """An encoder and a head, which name the parameters."""

    encoder: nn.Module
    head: nn.Module

    def encode(self, inputs, *, train: bool):
        return self.encoder(inputs, train=train).astype(jnp.float32)

    def respond(self, features):
        return self.head(features)

    def __call__(self, inputs):
        return self.respond(self.encode(inputs, train=False))


class Network(NamedTuple):
    """A model as functions.

    Attributes:
      prepare: `(raw batch inputs, state) -> encoder inputs`: images to scaled floats;
        word codes to their vectors in `state["constants"]`.
      init: `(key, prepared inputs) -> (params, state)`; `params` has the entries
        "encoder" and "head", `state` holds running statistics. The caller adds the
        data's constants (see `data.Source`).
      encode: `(params, state, inputs, *, train, key, precise) -> (features, state)`,
        features `[batch, dim]` float32, dense `[batch, height, width, dim]`. `key` is
        for dropout, in training only; `precise` computes in float32 regardless of the
        dtype.
      head: `(params, features) -> Outputs`.
      domain: the domain of prepared inputs.
      edges: `[num + 1]`, of the bins on which predicted distributions are reported, on
        the scale that the model learns; None if the head predicts single values.
      decode: what of a distribution is predicted, "mean", "median" or "mode".
    """

    prepare: Callable[..., Any]
    init: Callable[[jax.Array, Any], tuple[Any, Any]]
    encode: Callable[..., tuple[jax.Array, Any]]
    head: Callable[[Any, jax.Array], Any]
    domain: Domain = FREE
    edges: tuple[float, ...] | None = None
    decode: str = "median"


def of_features(network: Network) -> Network:
    """A network whose inputs are features already, to train its head alone.

    Args:
      network: the whole model; the parameters are the same.
    """

    def encode(params, state, inputs, **_):
        return inputs, state

    return network._replace(
        prepare=lambda inputs, state: inputs, encode=encode, domain=NOTHING
    )


def _named(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The number of rows, which few encoders ask for, only for those that name it."""
    parameters = inspect.signature(find(name).make).parameters
    return {k: v for k, v in facts.items() if k != "rows" or k in parameters}


def build(
    name: str,
    *,
    head: str = "linear",
    dtype: str = "float32",
    shift: float = 0.0,
    scale: float = 1.0,
    input_mean: float | Sequence[float] = 0.0,
    input_std: float | Sequence[float] = 1.0,
    levels: bool = False,
    view: int = 0,
    domain: Domain | None = None,
    encoder: Mapping[str, Any] | None = None,
    head_options: Mapping[str, Any] | None = None,
    edges: Sequence[float] | None = None,
) -> Network:
    """Builds a model.

    Args:
      name: see `find`.
      head: a key of `heads.HEADS`.
      dtype: dtype of the encoder's computation; parameters, features and the head are
        float32.
      shift: see `heads.Linear`.
      scale: see `heads.Linear`.
      input_mean: mean of images, after division by 255; a number, or one per channel.
      input_std: deviation of images, a number, or one per channel.
      levels: whether float images are levels from 0 to 255, like uint8 images, and not
        prepared yet.
      view: side of the centre crop of larger images, in pixels; 0 for no crop.
      domain: the domain of prepared inputs. Default: for image encoders, that of images
        with this mean and deviation; unbounded for tables and pairs.
      encoder: further keyword arguments of the encoder.
      head_options: further keyword arguments of the head.
      edges: see `Network`; they are also the bins of the head "histogram". Heads that
        predict single values ignore them.

    Returns:
      The network.

    Raises:
      ValueError: for an unknown name.
    """
    found = find(name)
    checks.one_of("model.head", head, heads.HEADS)
    try:
        made = found.make(dtype=jnp.dtype(dtype), **(encoder or {}))
    except TypeError as error:
        raise TypeError(
            f"model {name!r}: {error}. Its options are the fields of "
            "config.model.encoder; for a model of your own the option model=PATH sets "
            "them."
        ) from error
    places = None if edges is None else tuple(map(float, edges))
    options = dict(head_options or {})
    if places and "edges" in heads.HEADS[head].__dataclass_fields__:
        options["edges"] = places
    last = heads.HEADS[head](shift=shift, scale=scale, **options)
    model = _Model(encoder=made, head=last)
    in_float32 = model.clone(encoder=found.make(dtype=jnp.float32, **(encoder or {})))
    if domain is None:
        pixels = found.inputs in ("images", "dense")
        domain = of_pixels(input_mean, input_std) if pixels else FREE

    def prepare(inputs, state: Any = None):
        if found.inputs == "text":
            return bilstm.look_up(inputs, state["constants"]["words"])
        if isinstance(inputs, Mapping) or not (levels or inputs.dtype == jnp.uint8):
            return inputs
        if 0 < view < inputs.shape[1]:
            first = (inputs.shape[1] - view) // 2
            inputs = inputs[:, first : first + view, first : first + view]
        mean, std = (_of_channels(x) for x in (input_mean, input_std))
        return (inputs.astype(jnp.float32) / 255.0 - mean) / std

    def init(key, inputs):
        variables = dict(model.init(key, inputs))
        return variables.pop("params"), variables

    def encode(
        params, state, inputs, *, train, key=None, precise=False
    ) -> tuple[Any, Any]:
        moving = {k: v for k, v in state.items() if k != "constants"}
        # flax returns a pair only if it may change state.
        out: Any = (in_float32 if precise else model).apply(
            {"params": params, **moving},
            inputs,
            train=train,
            method="encode",
            mutable=list(moving) if train else False,
            rngs={"dropout": key} if train and key is not None else None,
        )
        features, new_state = out if train else (out, {})
        return features, {**state, **new_state}

    def respond(params, features):
        return model.apply({"params": params}, features, method="respond")

    network = Network(prepare, init, encode, respond, domain)
    decode = getattr(last, "decode", None)
    return network._replace(edges=places, decode=decode) if decode else network


def _of_channels(value: float | Sequence[float]) -> Any:
    """A number, or numbers along the last of four axes."""
    if isinstance(value, (int, float)):
        return value
    return jnp.asarray(value, jnp.float32)[None, None, None]


def _domain(record: Mapping[str, Any]) -> Domain | None:
    """The domain of inputs standardised according to the record."""
    if record["kind"] == "pairs":
        return of_table(None, record["pairs"]["clip"])
    if record["kind"] == "table":
        table = record["table"]
        return of_table(len(table["numeric"]), table["clip"])
    return None


def _label_scaling(scaling: str, record: Mapping[str, Any]) -> tuple[float, float]:
    """Shift and scale of the head."""
    if scaling == "range":
        if not record.get("label_range"):
            raise ValueError(
                "model.label_scaling must be 'standard', 'deviation' or 'none' here, "
                "got 'range', which is for pairs of sentences with data.label_range."
            )
        low, high = record["label_range"]
        return low, high - low
    mean, deviation = record["label_mean"], record["label_std"] or 1.0
    return {
        "standard": (mean, deviation),
        "deviation": (0.0, deviation),
        "none": (0.0, 1.0),
    }[scaling]


def _check_inputs(name: str, kind: str) -> None:
    """Checks that a model takes the data's kind of inputs."""
    inputs = find(name).inputs
    if inputs == kind:
        return
    suited = next((n for n, e in ENCODERS.items() if e.inputs == kind), None)
    hint = f"Use {suited!r} with its settings" if suited else "Use one of your own"
    if {inputs, kind} == {"table", "images"}:
        hint += ", or the option images of configs/npz.py and configs/tfds.py"
    raise ValueError(
        f"model.name must be a model for inputs of kind {kind!r}, as in this data, got "
        f"{name!r}, which takes {inputs!r}. {hint}."
    )


def from_config(
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    groups: Mapping[str, Any] | None = None,
    support: Mapping[str, Any] | None = None,
    standardised: bool = False,
) -> Network:
    """Builds the model of a run.

    Args:
      config: the fields of `config.model`.
      record: data record, as in `data.json` with tuples for lists: what the encoder
        needs to know about inputs, their scale, mean and deviation of training labels.
      groups: for heads with groups: `num_groups`, and for initialisation `centers` and
        `counts`. Other heads do not see it.
      support: for heads that predict a distribution: `edges` of its bins, on the scale
        that the model learns, and `bin_counts`, training labels in each, for heads that
        ask for them. Other heads do not see it.
      standardised: whether the outputs are for labels less their training mean, over
        their deviation; `edges` of the support must be, too.

    Raises:
      ValueError: see `build`; TypeError for a field that the encoder or head does not
        have.
    """
    _check_inputs(config["name"], record["kind"])
    shift, scale = _label_scaling(config["label_scaling"], record)
    if standardised:
        mean, deviation = record["label_mean"], record["label_std"] or 1.0
        shift, scale = (shift - mean) / deviation, scale / deviation
    options = dict(config.get("head_options", {}))
    fields = getattr(heads.HEADS.get(config["head"]), "__dataclass_fields__", {})
    if groups and "num_groups" in fields:
        options |= groups
    if support and "bin_counts" in fields:
        options["bin_counts"] = support["bin_counts"]
    if "decode" in fields and not support:
        raise ValueError(
            f"the head {config['head']!r} predicts a distribution and needs "
            "config.support, which the config does not have. Use a preset that sets "
            "it, such as histogram, gaussian or quantile."
        )
    return build(
        config["name"],
        head=config["head"],
        dtype=config["dtype"],
        shift=shift,
        scale=scale,
        input_mean=record.get("input_mean", 0.0),
        input_std=record.get("input_std", 1.0),
        levels=bool(record.get("pixel_scale")),
        view=record.get("view", 0),
        domain=_domain(record),
        encoder={**_named(config["name"], record["encoder"]), **config["encoder"]},
        head_options=options,
        edges=support["edges"] if support else None,
    )
