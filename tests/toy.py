"""A tiny table problem with real components: network, objective, step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import labels, models, objectives, optimizers
from dirjax.labels import groups
from dirjax.models import heads
from dirjax.training import train_step as train_step_lib

WIDTH = 4
ROWS = 8
# Six bins of width 1 over 0..6; the fourth and the last have no training labels.
SPEC = dataclasses.replace(
    labels.spec(
        np.repeat([0.5, 1.5, 2.5, 4.5], [40, 9, 3, 1]),
        bin_width=1.0,
        label_range=(0.0, 6.0),
        many=20,
        few=2,
    ),
    feature_dim=WIDTH,
)
# Three groups: the second has few training labels, the last only one.
SPEC = dataclasses.replace(SPEC, groups=groups.make(SPEC.bins, SPEC.counts, num=3))


# Tiny programs that run a few times are not worth optimising.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def network(dtype="float32", dropout=0.0, scale=1.0, head="linear", options=()):
    """A network from two numeric columns and one category to four features.

    `options` are pairs (field, value) of the head; a head of experts has the groups of
    `SPEC`, and one that predicts a distribution has its bins.
    """
    facts = {}
    if head == "experts":
        facts = {"num_groups": SPEC.groups.num}
    elif head == "hierarchy":
        facts = {"bin_counts": tuple(SPEC.counts.tolist())}
    fields = heads.HEADS[head].__dataclass_fields__
    return models.build(
        "mlp",
        head=head,
        head_options=facts | dict(options),
        edges=SPEC.bins.edges if "decode" in fields else None,
        dtype=dtype,
        shift=2.0,
        scale=scale,
        encoder={
            "numeric": 2,
            "cardinalities": (3,),
            "width": WIDTH,
            "depth": 1,
            "embedding": "none",
            "dropout": dropout,
        },
    )


def batch(seed=0, rows=ROWS):
    """A training batch as a stream yields it; some labels are tied."""
    rng = np.random.default_rng(seed)
    label = np.float32(rng.choice([0.5, 0.5, 1.25, 2.5, 3.5, 4.75, 5.5], rows))
    return {
        "inputs": {
            "numeric": np.float32(rng.normal(size=(rows, 2))),
            "categorical": np.int32(rng.integers(0, 3, (rows, 1))),
        },
        "label": label,
        "bin": SPEC.bins.index(label),
        "weight": np.ones(rows, np.float32),
        "mask": np.ones(rows, np.float32),
        "index": np.arange(rows, dtype=np.int32),
    }


def eval_batch(seed=0, rows=ROWS):
    """An evaluation batch, with labels in the units of the file."""
    found = batch(seed, rows)
    found["value"] = found.pop("label")
    return found


@functools.cache
def model_variables(net):
    """Parameters and running statistics of a network."""
    example = jax.tree.map(lambda x: x[:1], batch()["inputs"])
    return jit(net.init)(jax.random.key(1), example)


def start(objective, tx=None, net=None, average=False):
    """The state before the first step."""
    net = net or network()
    params, model_state = model_variables(net)
    variables = objective.init(jax.random.key(2), SPEC)
    variables = jax.tree.map(jnp.asarray, variables)
    tree = {"model": params, "objective": variables.params}
    return train_step_lib.TrainState(
        step=jnp.int32(0),
        params=tree,
        model_state=model_state,
        objective_state=variables.state,
        opt_state=(tx or sgd()).init(tree),
        average=jax.tree.map(jnp.copy, params) if average else {},
        best={},
    )


@functools.cache
def sgd(rate=0.05):
    """An SGD optimiser."""
    return optimizers.make("sgd", rate)


def train_step(objective, net=None, tx=None, **options):
    """The training step of dirjax, not compiled."""
    options = {"seed": 3} | options
    return train_step_lib.make_train_step(
        net or network(), objective, tx or sgd(), **options
    )


def l1():
    """The plain L1 loss from `from_config`."""
    return objectives.from_config({"l1": {}})
