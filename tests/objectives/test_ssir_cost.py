"""SSIR: what a compiled step costs, against the least that its passes cost alone."""

import dataclasses

import jax
import numpy as np
import pytest

from dirjax import models, objectives
from dirjax.training import train_step
from tests import toy

ROWS = 64
# Large enough that matrix products and convolutions outweigh the rest.
TABLE = {"numeric": 64, "width": 128, "depth": 2, "embedding": "none", "dropout": 0.0}
IMAGES = {"width": 16, "stage_sizes": (1,)}
NETWORKS = {
    "mlp": (models.build("mlp", encoder=TABLE), (64,), 128),
    "small_resnet": (models.build("small_resnet", encoder=IMAGES), (8, 8, 3), 16),
}


def flops(function, *args):
    return toy.jit(function).lower(*args).compile().cost_analysis()["flops"]


class Cost:
    """A network, the cost of its passes and of its steps; nothing is run."""

    def __init__(self, name):
        self.network, shape, dim = NETWORKS[name]
        self.spec = dataclasses.replace(toy.SPEC, feature_dim=dim)
        self.batch = toy.batch(rows=ROWS)
        inputs = np.zeros((ROWS, *shape), np.float32)
        self.batch["inputs"] = {"numeric": inputs} if name == "mlp" else inputs
        self.params, self.statistics = jax.eval_shape(
            self.network.init, jax.random.key(0), self.batch["inputs"]
        )

        def total(params, inputs, statistics):
            features, _ = self.network.encode(params, statistics, inputs, train=True)
            return self.network.head(params, features).prediction.sum()

        args = (self.params, self.batch["inputs"], self.statistics)
        self.forward = flops(total, *args)
        self.to_params = flops(jax.value_and_grad(total), *args)
        self.to_inputs = flops(jax.value_and_grad(total, argnums=1), *args)
        self.vanilla = self.of_step(())

    def of_step(self, wrappers, **settings):
        objective = objectives.from_config({"l1": {}}, wrappers, {"ssir": settings})

        def start():
            variables = objective.init(jax.random.key(0), self.spec)
            tree = {"model": self.params, "objective": variables.params}
            return variables.state, toy.sgd().init(tree)

        state, opt_state = jax.eval_shape(start)
        state = train_step.TrainState(
            step=jax.ShapeDtypeStruct((), np.int32),
            params={"model": self.params, "objective": {"l1": {}}},
            model_state=self.statistics,
            objective_state=state,
            opt_state=opt_state,
            average={},
            best={},
        )
        return flops(toy.train_step(objective, self.network), state, self.batch)


@pytest.fixture(scope="module", params=list(NETWORKS))
def cost(request):
    return Cost(request.param)


@pytest.mark.slow
@pytest.mark.lowering
class TestCost:
    @pytest.mark.parametrize("n_steps", [1, 2])
    def test_a_step_costs_its_passes_and_no_more(self, cost, n_steps):
        # The first direction has its forward pass from the supervised loss; gradients
        # of the noise go to the inputs alone.
        least = cost.vanilla + cost.to_params
        least += n_steps * cost.to_inputs - cost.forward
        got = cost.of_step(("ssir",), n_steps=n_steps)
        assert 0.99 < got / least < 1.05

    def test_the_control_costs_one_more_pass_and_its_gradient(self, cost):
        got = cost.of_step(("ssir",), noise="random")
        assert 0.99 < got / (cost.vanilla + cost.to_params) < 1.05
