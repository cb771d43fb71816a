"""Types and composition of objectives."""

import dataclasses
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import checks, labels, objectives
from dirjax.objectives import base, l1
from dirjax.ops import numerics, random

NAN = float("nan")


def view_of(predictions):
    predictions = jnp.asarray(predictions, jnp.float32)

    def head(features):
        return types.SimpleNamespace(prediction=features[..., 0])

    features = predictions[..., None]
    return base.View(features, head(features), lambda inputs: inputs, head)


def batch_of(label, weight=None, mask=None):
    label = jnp.asarray(label, jnp.float32)
    one = jnp.ones_like(label)
    return {
        "label": label,
        "weight": one if weight is None else jnp.asarray(weight, jnp.float32),
        "mask": one if mask is None else jnp.asarray(mask, jnp.float32),
    }


def loss_of(objective, predictions, batch, key=0):
    variables = objective.init(jax.random.key(0), None)
    return objective.loss(variables, view_of(predictions), batch, jax.random.key(key))


class MaskedMeanTest(chex.TestCase):
    @chex.all_variants
    @parameterized.named_parameters(
        ("all real", [1.0, 2.0, 6.0], [1.0, 1.0, 1.0], 3.0),
        ("padding", [1.0, 2.0, 6.0], [1.0, 0.0, 1.0], 3.5),
        ("nan under the mask", [1.0, NAN, 5.0], [1.0, 0.0, 1.0], 3.0),
        ("inf under the mask", [1.0, float("inf"), 5.0], [1.0, 0.0, 1.0], 3.0),
        ("nothing real", [1.0, NAN, 5.0], [0.0, 0.0, 0.0], 0.0),
        ("one", [7.0], [1.0], 7.0),
    )
    def test_by_hand(self, values, mask, want):
        mean = self.variant(numerics.masked_mean)
        got = mean(jnp.array(values), jnp.array(mask))
        np.testing.assert_allclose(got, want, rtol=1e-6)

    @chex.all_variants
    def test_dense(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(2, 3, 4)).astype(np.float32)
        mask = rng.integers(0, 2, (2, 3, 4)).astype(np.float32)
        got = self.variant(numerics.masked_mean)(values, mask)
        np.testing.assert_allclose(got, values[mask > 0].mean(), rtol=1e-5)

    @chex.all_variants
    def test_gradient(self):
        """The share of each real entry, and nothing for padding."""
        gradient = self.variant(jax.grad(numerics.masked_mean))
        mask = jnp.array([1.0, 0.0, 1.0, 1.0])
        got = gradient(jnp.array([3.0, NAN, 1.0, 1.0]), mask)
        np.testing.assert_allclose(got, [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)
        np.testing.assert_array_equal(gradient(mask, jnp.zeros(4)), np.zeros(4))

    def test_numerical_gradient(self):
        mask = jnp.array([1.0, 0.0, 1.0])
        chex.assert_numerical_grads(
            lambda x: numerics.masked_mean(x**2, mask),
            (jnp.array([0.5, 2.0, -1.0]),),
            1,
        )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 50), st.booleans()), min_size=8, max_size=8),
    st.permutations(range(8)),
)
def test_masked_mean_is_of_the_set_of_real_entries(rows, order):
    values = np.float32([v for v, _ in rows])
    mask = np.float32([m for _, m in rows])
    got = numerics.masked_mean(jnp.array(values), jnp.array(mask))
    real = values[mask > 0]
    np.testing.assert_allclose(got, real.mean() if real.size else 0.0, rtol=1e-6)
    order = np.array(order)
    again = numerics.masked_mean(jnp.array(values[order]), jnp.array(mask[order]))
    np.testing.assert_allclose(again, got, rtol=1e-6)


class TestCheckShapes:
    def test_equal_letters_are_equal_sizes(self):
        arrays = {
            "features": (np.ones((2, 3)), "b d"),
            "labels": (np.ones(2), "b"),
            "mask": (None, "b"),
            "scale": (1.0, ""),
            "other": (np.ones((3, 2)), "d b"),
        }
        checks.check_shapes(**arrays)
        # None is left out, and the last one is looked at.
        arrays["other"] = (np.ones((2, 3)), "d b")
        with pytest.raises(ValueError, match="other"):
            checks.check_shapes(**arrays)

    def test_sizes_may_be_shared_within_one_array(self):
        checks.check_shapes(pairs=(np.ones((2, 2)), "b b"))
        with pytest.raises(ValueError, match=r"pairs"):
            checks.check_shapes(pairs=(np.ones((2, 3)), "b b"))

    def test_a_size_that_differs_is_named_with_both_shapes(self):
        with pytest.raises(ValueError, match=r"labels") as raised:
            checks.check_shapes(
                features=(np.ones((4, 3)), "b d"), labels=(np.ones(5), "b")
            )
        for word in ("features", "(4, 3)", "labels", "(5,)"):
            assert word in str(raised.value)

    def test_a_wrong_rank_is_named_with_the_shape(self):
        with pytest.raises(ValueError, match=r"labels .*\(5, 1\)"):
            checks.check_shapes(labels=(np.ones((5, 1)), "b"))

    def test_under_jit(self):
        def f(x, y):
            checks.check_shapes(x=(x, "b d"), y=(y, "b"))
            return x.sum() + y.sum()

        assert jax.eval_shape(f, np.ones((2, 3)), np.ones(2)).shape == ()
        with pytest.raises(ValueError, match="x"):
            jax.eval_shape(f, np.ones((2, 3)), np.ones(3))


class TestTerm:
    def test_elementwise_losses_are_weighted_and_averaged_over_real_rows(self):
        objective = base.term(lambda view, batch: view.outputs.prediction)
        batch = batch_of([0, 0, 0], weight=[2.0, 3.0, 100.0], mask=[1, 1, 0])
        # (2 * 1 + 3 * 4) / 2: the number of rows divides, not the sum of weights.
        assert float(loss_of(objective, [1.0, 4.0, 7.0], batch).loss) == 7.0

    def test_padding_may_be_nan(self):
        objective = base.term(lambda view, batch: view.outputs.prediction)
        batch = batch_of([0, 0], weight=[1.0, NAN], mask=[1, 0])
        assert float(loss_of(objective, [3.0, NAN], batch).loss) == 3.0

    def test_a_scalar_is_taken_as_it_is(self):
        objective = base.term(lambda view, batch: view.outputs.prediction.sum())
        batch = batch_of([0, 0], weight=[9.0, 9.0], mask=[1, 0])
        assert float(loss_of(objective, [3.0, 4.0], batch).loss) == 7.0

    def test_weight_two_equals_the_row_twice(self):
        twice = batch_of([1.0, 1.0, 5.0])
        once = batch_of([1.0, 5.0], weight=[2.0, 1.0])
        many = loss_of(l1.make(), [3.0, 3.0, 4.0], twice).loss * 3
        few = loss_of(l1.make(), [3.0, 4.0], once).loss * 2
        np.testing.assert_allclose(many, few)

    def test_it_carries_nothing(self):
        objective = l1.make()
        variables = objective.init(jax.random.key(0), None)
        assert not jax.tree.leaves(variables)
        assert not any(objective.collect)
        out = loss_of(objective, [1.0], batch_of([2.0]))
        assert out.metrics == {}
        assert out.loss.dtype == jnp.float32


def constant(value, refresh=None, metrics=None):
    """An objective with one parameter and one number of state."""

    def loss(variables, view, batch, key):
        state = {"seen": variables.state["seen"] + 1}
        return base.Outcome(jnp.float32(value), state, metrics or {})

    def init(key, spec):
        return base.Variables({"p": jax.random.normal(key)}, {"seen": jnp.zeros(())})

    return base.Objective(init, loss, base.Collect(epoch=refresh))


class TestWeightedSum:
    def test_by_hand(self):
        metrics = {"pairs": (jnp.float32(6.0), jnp.float32(3.0))}
        objective = base.weighted_sum(
            {"a": constant(2.0), "b": constant(5.0, metrics=metrics)},
            {"a": 10.0, "b": 0.1},
        )
        out = loss_of(objective, [0.0], batch_of([0.0]))
        np.testing.assert_allclose(out.loss, 20.5)
        means = {k: float(s / n) for k, (s, n) in out.metrics.items()}
        assert means == {"loss/a": 2.0, "loss/b": 5.0, "pairs": 2.0}
        assert float(out.state["a"]["seen"]) == float(out.state["b"]["seen"]) == 1

    def test_nothing_to_add(self):
        with pytest.raises(ValueError, match="at least one term"):
            base.weighted_sum({}, {})

    def test_adding_a_term_moves_no_other_stream(self):
        def noisy():
            def loss(variables, view, batch, key):
                value = jax.random.normal(key)
                return base.Outcome(value, variables.state, {})

            def init(key, spec):
                return base.Variables({"p": jax.random.normal(key)}, {})

            return base.Objective(init, loss)

        alone = base.weighted_sum({"b": noisy()}, {"b": 1.0})
        joined = base.weighted_sum(
            {"a": noisy(), "b": noisy(), "c": noisy()}, dict.fromkeys("abc", 1.0)
        )
        key = jax.random.key(4)
        one, three = alone.init(key, None), joined.init(key, None)
        chex.assert_trees_all_equal(one.params["b"], three.params["b"])
        assert float(three.params["a"]["p"]) != float(three.params["b"]["p"])
        of = [loss_of(o, [0.0], batch_of([0.0])).metrics for o in (alone, joined)]
        chex.assert_trees_all_equal(of[0]["loss/b"], of[1]["loss/b"])
        assert float(of[1]["loss/a"][0]) != float(of[1]["loss/b"][0])

    def test_refresh_reaches_those_that_have_one(self):
        def refresh(variables, moments):
            return base.Variables(variables.params, {"seen": moments})

        objective = base.weighted_sum(
            {"a": constant(1.0), "b": constant(1.0, refresh)}, {"a": 1.0, "b": 1.0}
        )
        before = objective.init(jax.random.key(0), None)
        after = objective.collect.epoch(before, jnp.float32(7.0))
        assert float(after.state["b"]["seen"]) == 7.0
        chex.assert_trees_all_equal(after.state["a"], before.state["a"])
        chex.assert_trees_all_equal(after.params, before.params)
        plain = base.weighted_sum({"a": constant(1.0)}, {"a": 1.0})
        assert not any(plain.collect)


METHOD = """
import jax.numpy as jnp
from dirjax.objectives import base

def make(*, value=1.0):
    return base.term(lambda view, batch: jnp.float32(value))
"""
WRAPPER = """
from dirjax.objectives import base

def make(inner, *, name, log):
    def loss(variables, view, batch, key):
        log.append(name)
        return inner.loss(variables, view, batch, key)
    return base.Objective(inner.init, loss, inner.collect)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of somebody else's."""
    folder = tmp_path / "elsewhere_of_test_base"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "mine.py").write_text(METHOD)
    (folder / "outer.py").write_text(WRAPPER)
    (folder / "inner.py").write_text(WRAPPER)
    (folder / "broken.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


class TestFromConfig:
    def test_weights_and_arguments(self):
        objective = objectives.from_config(
            {"l1": {"weight": 3.0}, "huber": {"weight": 0.5, "beta": 2.0}}
        )
        out = loss_of(objective, [1.0, 0.0], batch_of([0.0, 0.0]))
        # l1: 1/2. huber with beta 2: (1^2 / 4) / 2.
        np.testing.assert_allclose(out.metrics["loss/l1"][0], 0.5)
        np.testing.assert_allclose(out.metrics["loss/huber"][0], 0.125)
        np.testing.assert_allclose(out.loss, 3 * 0.5 + 0.5 * 0.125)

    def test_without_a_weight_it_is_one(self):
        out = loss_of(objectives.from_config({"l1": {}}), [3.0], batch_of([1.0]))
        assert float(out.loss) == 2.0

    def test_a_method_of_another_package(self, package):
        name = f"{package}.mine"
        objective = objectives.from_config({name: {"weight": 2.0, "value": 4.0}})
        out = loss_of(objective, [0.0], batch_of([0.0]))
        assert float(out.loss) == 8.0
        assert float(out.metrics[f"loss/{name}"][0]) == 4.0

    def test_the_outermost_wrapper_is_written_first(self, package):
        log = []
        names = (f"{package}.outer", f"{package}.inner")
        settings_of = {n: {"name": n.split(".")[1], "log": log} for n in names}
        objective = objectives.from_config({"l1": {}}, names, settings_of)
        loss_of(objective, [0.0], batch_of([0.0]))
        assert log == ["outer", "inner"]

    def test_settings_reach_the_wrapper(self):
        spec = labels.spec(np.repeat([0.5, 1.5], [9, 1]), bin_width=1.0)
        spec = dataclasses.replace(spec, feature_dim=2)
        record = {"reweight": {"scheme": "none"}}
        plain = objectives.from_config({"l1": {}}, ("reweight",), record)
        table = plain.init(jax.random.key(0), spec).state["table"]
        np.testing.assert_allclose(table, [1.0, 1.0])
        other = objectives.from_config({"l1": {}}, ("reweight",))
        table = other.init(jax.random.key(0), spec).state["table"]
        assert table[1] > table[0]

    @pytest.mark.parametrize("name", ["no_such", "elsewhere_of_test_base.no_such"])
    def test_an_unknown_name(self, name, package):
        with pytest.raises(ValueError, match=f"{name!r}"):
            objectives.from_config({name: {}})

    def test_a_package_that_is_not_installed(self):
        with pytest.raises(ValueError, match=r"method 'not_installed\.mine' must be"):
            objectives.module("not_installed.mine")

    def test_an_unknown_wrapper(self):
        with pytest.raises(ValueError, match="no objective 'no_such'"):
            objectives.from_config({"l1": {}}, ("no_such",))

    def test_a_module_that_fails_to_import_says_what_is_missing(self, package):
        with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
            objectives.from_config({f"{package}.broken": {}})

    def test_an_unknown_argument(self):
        with pytest.raises(TypeError, match="betta"):
            objectives.from_config({"huber": {"betta": 1.0}})


def test_streams_are_named():
    key = jax.random.key(0)
    one, same, other = (random.stream_key(key, n) for n in ("a", "a", "b"))
    assert (jax.random.key_data(one) == jax.random.key_data(same)).all()
    assert (jax.random.key_data(one) != jax.random.key_data(other)).any()
