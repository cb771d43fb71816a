"""The step: loops, averages, bad values, frozen encoders, evaluation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels, metrics, models, objectives, optimizers
from dirjax.evals import eval_step
from dirjax.features import moments
from dirjax.objectives import base
from dirjax.training import parameters, train_step
from tests import toy

CHUNK = 4


def stacked(batches):
    return jax.tree.map(lambda *x: np.stack(x), *batches)


BATCHES = stacked([toy.batch(seed) for seed in range(CHUNK)])


def rolled(n):
    """The batches from the n-th on, then the others."""
    return jax.tree.map(lambda x: np.roll(x, -n, axis=0), BATCHES)


def spoiled(at):
    """The batches with a NaN in the inputs of one of them."""
    batches = jax.tree.map(np.copy, BATCHES)
    batches["inputs"]["numeric"][at, 3, 1] = np.nan
    return batches


@pytest.fixture(scope="module")
def loop():
    """A state and the compiled loop, with dropout, an average and FDS's state."""
    objective = objectives.from_config(
        {"l1": {}}, ("lds", "fds"), {"fds": {"start_smooth": 0}}
    )
    net, tx = toy.network(dropout=0.5), optimizers.make("adam", 0.01)
    one = toy.train_step(objective, net, tx, average_decay=0.9)
    state = toy.start(objective, tx, average=True)
    return state, one, jax.jit(train_step.make_train_steps(one, CHUNK))


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


class TestLoop:
    @pytest.mark.parametrize("n", [1, 3, CHUNK])
    def test_n_of_a_chunk_are_n_single_steps_bit_for_bit(self, loop, n):
        state, _, steps = loop
        at_once, report = steps(state, BATCHES, n)
        total = 0.0
        for i in range(n):
            state, one = steps(state, rolled(i), 1)
            total += one.sums["loss"][0]
        assert int(at_once.step) == n
        assert_same(at_once, state)
        assert float(report.sums["loss"][1]) == n
        np.testing.assert_allclose(report.sums["loss"][0], total, rtol=1e-6)

    def test_a_chunk_of_one_is_the_step_itself(self, loop):
        state, one, steps = loop
        single = toy.jit(train_step.make_train_steps(one, 1))
        for i in range(2):
            got, report = single(state, jax.tree.map(lambda x: x[:1], rolled(i)), 1)
            want, looped = steps(state, rolled(i), 1)
            for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
            for name, (total, count) in report.sums.items():
                other = looped.sums[name]
                np.testing.assert_allclose(total, other[0], rtol=1e-5, atol=1e-7)
                assert float(count) == float(other[1]) == 1
            assert int(report.first_bad) == int(looped.first_bad) == train_step.NEVER
            state = want

    def test_rows_past_the_end_are_not_looked_at(self, loop):
        state, _, steps = loop
        got, report = steps(state, spoiled(2), 2)
        assert int(report.first_bad) == train_step.NEVER
        assert_same(got, steps(state, BATCHES, 2)[0])

    @pytest.mark.parametrize(("at", "start"), [(0, 0), (2, 0), (2, 5), (3, 100)])
    def test_first_bad_names_the_step(self, loop, at, start):
        state, _, steps = loop
        state = state._replace(step=jnp.int32(start))
        _, report = steps(state, spoiled(at), CHUNK)
        assert int(report.first_bad) == start + at

    def test_a_bad_gradient_of_a_good_loss_is_bad(self):
        def root(view, batch):
            gap = jnp.where(batch["mask"] > 0, 0.0, view.outputs.prediction)
            return jnp.sqrt(jnp.sum((gap * view.outputs.prediction) ** 2))

        objective = base.term(root)
        _, report = toy.jit(toy.train_step(objective))(
            toy.start(objective), toy.batch()
        )
        assert float(report.sums["loss"][0]) == 0.0
        assert int(report.first_bad) == 0


class TestRandomness:
    def test_the_key_is_a_function_of_seed_and_step(self):
        objective, net = toy.l1(), toy.network(dropout=0.5)
        state, losses = toy.start(objective), {}
        for seed in (0, 1):
            run = toy.jit(toy.train_step(objective, net, seed=seed))
            for at in (0, 1, 0):
                _, report = run(state._replace(step=jnp.int32(at)), toy.batch())
                loss = float(report.sums["loss"][0])
                assert losses.setdefault((seed, at), loss) == loss
        assert len(set(losses.values())) == 4

    def test_another_pass_has_the_same_dropout(self):
        def gap(view, batch):
            again = view.encode(batch["inputs"])
            assert again.shape == view.features.shape
            out = view.head(again).prediction - view.outputs.prediction
            return jnp.abs(again - view.features).sum() + jnp.abs(out).sum()

        objective, net = base.term(gap), toy.network(dropout=0.5)
        _, report = toy.jit(toy.train_step(objective, net))(
            toy.start(objective), toy.batch()
        )
        assert float(report.sums["loss"][0]) == 0.0


class TestAverage:
    def averages(self, decay, steps):
        objective = toy.l1()
        one = toy.train_step(objective, tx=toy.sgd(), average_decay=decay)
        state = toy.start(objective, average=decay > 0)
        run = toy.jit(one)
        for at in steps:
            before = state._replace(step=jnp.int32(at))
            state, _ = run(before, toy.batch(at))
            yield before, state

    def test_none(self):
        (_, state), *_ = self.averages(0.0, [0])
        assert state.average == {}
        assert_same(state.eval_params, state.params["model"])

    def test_long_after_the_start_it_is_the_recurrence(self):
        for before, after in self.averages(0.9, [10_000, 10_001]):
            want = jax.tree.map(
                lambda old, new: 0.9 * old + 0.1 * new,
                before.average,
                after.params["model"],
            )
            for x, y in zip(
                jax.tree.leaves(after.average), jax.tree.leaves(want), strict=True
            ):
                np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)
            assert_same(after.eval_params, after.average)

    def test_the_start_is_forgotten_sooner(self):
        (before, after), *_ = self.averages(0.9, [0])
        rest = [
            np.max(np.abs(average - new)) / np.max(np.abs(old - new))
            for old, average, new in zip(
                jax.tree.leaves(before.average),
                jax.tree.leaves(after.average),
                jax.tree.leaves(after.params["model"]),
                strict=True,
            )
            if np.max(np.abs(old - new)) > 1e-4
        ]
        assert rest
        assert max(rest) < 0.5


class TinyNorm(nn.Module):
    """A dense layer, batch norm and dropout."""

    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, inputs, *, train):
        x = nn.Dense(toy.WIDTH)(inputs["numeric"])
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return nn.Dropout(0.5, deterministic=not train)(x)


@pytest.fixture(scope="module")
def norm():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.ENCODERS, "tiny_norm", models.Encoder(TinyNorm, "images"))
        return models.build("tiny_norm")


class TestEncoderMode:
    @pytest.mark.slow
    def test_train_moves_batch_statistics(self, norm):
        state = toy.start(toy.l1(), net=norm)
        new, _ = toy.jit(toy.train_step(toy.l1(), norm))(state, toy.batch())
        mean = new.model_state["batch_stats"]["encoder"]["BatchNorm_0"]["mean"]
        dense = jax.device_get(state.params["model"]["encoder"]["Dense_0"])
        x = toy.batch()["inputs"]["numeric"] @ dense["kernel"] + dense["bias"]
        np.testing.assert_allclose(mean, 0.5 * x.mean(axis=0), rtol=1e-4, atol=1e-6)

    def test_eval_leaves_batch_statistics_alone_and_drops_nothing(self, norm):
        state = toy.start(toy.l1(), net=norm)
        losses = []
        for seed in (0, 1):
            run = toy.train_step(toy.l1(), norm, seed=seed, train_mode=False)
            new, report = toy.jit(run)(state, toy.batch())
            assert_same(new.model_state, state.model_state)
            losses.append(float(report.sums["loss"][0]))
        assert losses[0] == losses[1]
        head = new.params["model"]["head"]
        assert not np.array_equal(
            jax.tree.leaves(head)[0],
            jax.tree.leaves(state.params["model"]["head"])[0],
        )

    @pytest.mark.slow
    def test_other_passes_move_no_batch_statistics(self, norm):
        def twice(view, batch):
            view.encode(jax.tree.map(lambda x: 100 * x, batch["inputs"]))
            return jnp.abs(view.outputs.prediction - batch["label"])

        (want, _), (got, _) = (
            toy.jit(toy.train_step(o, norm))(toy.start(o, net=norm), toy.batch())
            for o in (toy.l1(), base.term(twice))
        )
        assert_same(got.model_state, want.model_state)


class TestFrozen:
    def test_a_frozen_encoder_gets_no_update(self):
        objective = toy.l1()
        tx = optimizers.make("adamw", 0.1, weight_decay=0.5, decay="all")
        full = toy.start(objective)
        tx, trainable = parameters.divide(tx, full.params, ("head",))
        state = toy.start(objective, tx)
        run = toy.jit(toy.train_step(objective, tx=tx, trainable=trainable))
        new, report = run(state, toy.batch())
        new, _ = run(new, toy.batch(1))
        before, after = state.params["model"], new.params["model"]
        assert_same(after["encoder"], before["encoder"])
        for x, y in zip(
            jax.tree.leaves(after["head"]), jax.tree.leaves(before["head"]), strict=True
        ):
            assert (np.abs(x - y) > 1e-3).all()
        # The norm is that of the head's gradient alone.
        free = toy.jit(toy.train_step(objective))(full, toy.batch())[1]
        assert 0 < report.sums["grad_norm"][0] < free.sums["grad_norm"][0]


@pytest.fixture(scope="module")
def evaluation():
    centers = toy.SPEC.bins.centers
    run = eval_step.make_eval_step(
        toy.network(dropout=0.5),
        labels.Scale().inverse,
        eval_step.Measure(
            num_bins=toy.SPEC.bins.num, shift=centers, scale=2.0, gm_epsilon=1e-10
        ),
    )
    return toy.start(toy.l1()), toy.jit(run)


class TestEvalStep:
    def test_sums_by_hand(self, evaluation):
        state, run = evaluation
        batch = toy.eval_batch() | {"mask": np.float32([1, 1, 1, 0, 1, 1, 0, 1])}
        sums, rows, _ = run(state.params["model"], state.model_state, batch)
        assert set(rows) == {"prediction"}
        prediction = rows["prediction"]
        assert prediction.shape == (toy.ROWS,)
        real = batch["mask"] > 0
        for b in range(toy.SPEC.bins.num):
            here = real & (batch["bin"] == b)
            error = np.asarray(prediction, np.float64)[here] - batch["value"][here]
            assert sums.count[b] == here.sum()
            np.testing.assert_allclose(sums.abs[b], np.abs(error).sum(), rtol=1e-5)
            np.testing.assert_allclose(sums.sq[b], (error**2).sum(), rtol=1e-5)

    def test_padding_never_counts(self, evaluation):
        state, run = evaluation
        params, model_state = state.params["model"], state.model_state
        batch = toy.eval_batch()
        batch["mask"][5:] = 0
        want, rows, _ = run(params, model_state, batch)
        other = jax.tree.map(np.copy, batch)
        other["inputs"]["numeric"][5:] = np.nan
        other["value"][5:] = [np.nan, 1e6, -1e6]
        other["bin"][5:] = [0, 5, 4]
        got, again, _ = run(params, model_state, other)
        assert_same(got, want)
        assert_same(rows["prediction"][:5], again["prediction"][:5])

    def test_all_padding_is_nothing(self, evaluation):
        state, run = evaluation
        batch = toy.eval_batch() | {"mask": np.zeros(toy.ROWS, np.float32)}
        sums, _, _ = run(state.params["model"], state.model_state, batch)
        assert_same(sums, metrics.zeros(toy.SPEC.bins.num))

    def test_evaluation_is_without_dropout(self, evaluation):
        state, run = evaluation
        args = state.params["model"], state.model_state, toy.eval_batch()
        want = eval_step.make_eval_step(
            toy.network(),
            labels.Scale().inverse,
            eval_step.Measure(
                num_bins=toy.SPEC.bins.num,
                shift=toy.SPEC.bins.centers,
                scale=2.0,
                gm_epsilon=1e-10,
            ),
        )
        got, want = (f(*args)[1]["prediction"] for f in (run, toy.jit(want)))
        np.testing.assert_allclose(got, want, rtol=1e-6)

    def test_rows_are_all_that_the_head_gives(self):
        net = toy.network(head="experts")
        params, model_state = toy.model_variables(net)
        run = eval_step.make_eval_step(
            net,
            labels.Scale("log").inverse,
            eval_step.Measure(
                num_bins=toy.SPEC.bins.num, shift=0.0, scale=1.0, gm_epsilon=0.0
            ),
        )
        batch = toy.eval_batch()
        sums, rows, _ = toy.jit(run)(params, model_state, batch)
        features, _ = net.encode(params, model_state, batch["inputs"], train=False)
        want = net.head(params, features)
        # The logarithm is undone in the prediction, and nowhere else.
        assert set(rows) == {"prediction", "logits", "values"}
        for name, values in want._asdict().items():
            values = np.exp(values) if name == "prediction" else values
            np.testing.assert_allclose(rows[name], values, rtol=1e-5, atol=1e-6)
        error = np.abs(rows["prediction"] - batch["value"])
        np.testing.assert_allclose(sums.abs.sum(), error.sum(), rtol=1e-5)


@pytest.mark.slow
def test_moments_are_of_real_rows_in_evaluation_mode():
    state, net = toy.start(toy.l1()), toy.network(dropout=0.5)
    run = toy.jit(eval_step.make_moments_step(net, num_bins=toy.SPEC.bins.num))
    batches = [toy.batch(), toy.batch(1)]
    batches[1]["mask"][2:] = 0
    batches[1]["label"][2:] = 1e6
    total = moments.zeros(toy.SPEC.bins.num, toy.WIDTH)
    rows = {b: [] for b in range(toy.SPEC.bins.num)}
    for batch in batches:
        total = run(total, state.params["model"], state.model_state, batch)
        features, _ = net.encode(
            state.params["model"], state.model_state, batch["inputs"], train=False
        )
        for z, b, m in zip(features, batch["bin"], batch["mask"], strict=True):
            if m:
                rows[int(b)].append(np.asarray(z, np.float64))
    for b, found in rows.items():
        assert total.count[b] == len(found)
        if found:
            np.testing.assert_allclose(
                total.mean[b], np.mean(found, axis=0), rtol=1e-4, atol=1e-6
            )
            np.testing.assert_allclose(
                total.m2[b], np.var(found, axis=0) * len(found), rtol=1e-3, atol=1e-6
            )
