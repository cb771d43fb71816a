"""Soft labels, criteria and experts of Group-DIR, from the formulas."""

import pathlib

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.config import plan as plan_lib
from dirjax.errors import InputError
from dirjax.evals.predictor import Predictor
from dirjax.models import heads
from dirjax.objectives import base, group_dir
from tests import runs, toy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
HEADS = {
    criterion: toy.network(
        head="experts",
        options=(("classifier", "etf"),) if criterion == "etf" else (),
    )
    for criterion in group_dir.CRITERIA
}


def soft_by_hand(group, num, beta=1.0, slope="uniform", counts=None):
    """One soft label in float64."""
    q = np.zeros(num)
    for j in range(num):
        gap = abs(j - group)
        if slope == "uniform":
            q[j] = np.exp(-beta * gap)
        else:
            q[j] = np.exp(-min(beta + gap - 1, num - 1)) if gap else 1.0
    q /= q.sum()
    if counts is not None:
        for j in range(num):
            q[j] *= 1 if j == group else 1 - counts[j] / np.sum(counts)
    return q


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        for number in range(int(data["n_cases"])):
            prefix = f"c{number:02d}."
            yield {k[4:]: data[k] for k in data.files if k.startswith(prefix)}


class Variants(chex.TestCase):
    @chex.all_variants
    def test_soft_labels(self):
        self.check_soft_labels("first_gap", 2.0, True)

    @chex.variants(with_jit=True)
    @parameterized.product(slope=group_dir.SLOPES, beta=(0.5, 2.0), some=(False, True))
    def test_options_of_soft_labels(self, slope, beta, some):
        self.check_soft_labels(slope, beta, some)

    def check_soft_labels(self, slope, beta, some):
        counts = np.float32([5, 0, 3, 1]) if some else None
        fn = jax.vmap(
            lambda g: group_dir.group_soft_labels(
                g, num_groups=4, beta=beta, slope=slope, counts=counts
            )
        )
        got = self.variant(fn)(np.arange(4))
        want = [soft_by_hand(g, 4, beta, slope, counts) for g in range(4)]
        np.testing.assert_allclose(got, want, rtol=1e-5)

    @chex.all_variants
    def test_expert_loss(self):
        values = np.float32([[1, 5, 9], [2, 4, 8]])
        args = (values, np.float32([3, 8]), np.int32([1, 0]))
        for loss, want in (("mse", [4, 36]), ("l1", [2, 6])):
            fn = lambda *a, loss=loss: group_dir.expert_loss(*a, loss=loss)  # noqa: E731
            np.testing.assert_allclose(self.variant(fn)(*args), want)


@pytest.mark.slow
@hypothesis.given(st.sampled_from((1, 2, 7, 50)), st.floats(0.1, 4.0), st.data())
@hypothesis.settings(deadline=None, max_examples=15)
def test_properties_of_soft_labels(num, beta, data):
    group = data.draw(st.integers(0, num - 1))
    q = group_dir.group_soft_labels(group, num_groups=num, beta=beta)
    np.testing.assert_allclose(q.sum(), 1, rtol=1e-5)
    # Falling on both sides, and symmetric as far as both reach.
    assert (np.diff(q[group:]) <= 0).all()
    assert (np.diff(q[: group + 1]) >= 0).all()
    reach = min(group, num - 1 - group)
    left, right = q[group - reach : group + 1], q[group : group + reach + 1]
    np.testing.assert_allclose(left[::-1], right, rtol=1e-6)
    mirrored = group_dir.group_soft_labels(num - 1 - group, num_groups=num, beta=beta)
    np.testing.assert_allclose(q[::-1], mirrored, rtol=1e-4, atol=1e-30)


def test_worked_soft_numbers():
    """Mass of the true group 0.462 inside and 0.632 at an end; floors 1.62 and 1.04."""
    inside = group_dir.group_soft_labels(25, num_groups=51)
    end = group_dir.group_soft_labels(0, num_groups=51)
    np.testing.assert_allclose(inside[25], np.tanh(0.5), rtol=1e-5)
    np.testing.assert_allclose(end[0], 1 - np.exp(-1), rtol=1e-5)
    floors = [group_dir.entropy_floor(q) for q in (inside, end)]
    np.testing.assert_allclose(floors, [1.62, 1.04], atol=0.005)


def test_soft_labels_have_no_gradient():
    slope = jax.grad(
        lambda b: group_dir.group_soft_labels(
            1, num_groups=3, counts=jnp.array([2.0, 3.0, 4.0]) * b
        )[0]
    )
    assert slope(1.0) == 0


def test_golden_soft_labels():
    """The author's code. Its `scale` is another knob, which is not here (case 4)."""
    for number, c in enumerate(golden("ccor_soft_labels")):
        if c["p.scale"] != 1:
            assert number == 4
            continue
        num, groups = int(c["p.groups"]), c["in.group"].ravel().astype(int)
        for kind, counts in (("soft", None), ("asymmetric", c["in.group_counts"])):
            q = jnp.stack(
                [
                    group_dir.group_soft_labels(
                        g,
                        num_groups=num,
                        beta=float(c["p.step"]),
                        slope="first_gap",
                        counts=counts,
                    )
                    for g in groups
                ]
            )
            np.testing.assert_allclose(q, c[f"out.{kind}"], rtol=1e-5)

            def mean(logits, q=q):
                return jax.vmap(group_dir.soft_cross_entropy)(logits, q).mean()

            loss, slope = jax.value_and_grad(mean)(jnp.float32(c["in.logits"]))
            np.testing.assert_allclose(loss, c[f"out.ce_{kind}_average"], rtol=1e-5)
            want = c[f"grad.logits_{kind}_average"]
            np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-6)
            if c["p.step"] == 1 and counts is None:
                # With steps of 1 it is the paper's.
                paper = [soft_by_hand(g, num) for g in groups]
                np.testing.assert_allclose(q, paper, rtol=1e-5)


def test_golden_dot_regression():
    """Frames up to signs, which are the library's there."""
    for c in list(golden("nc_etf_drloss"))[:2]:
        frame, groups = c["out.etf_vec"], c["in.groups"].ravel().astype(int)
        ours = heads.simplex_etf(c["in.rand_mat"])
        # QR alone, by which the reference differs from ours in signs of columns.
        basis = np.linalg.qr(c["in.rand_mat"])[0]
        num = basis.shape[1]
        same = np.sqrt(num / (num - 1)) * (basis - basis.mean(1, keepdims=True))
        np.testing.assert_allclose(same, frame, atol=1e-6)
        np.testing.assert_allclose(ours.T @ ours, frame.T @ frame, atol=1e-5)

        with jax.enable_x64(True):

            def loss(z, frame=frame, groups=groups):
                unit = z / jnp.linalg.norm(z, axis=1, keepdims=True)
                scores = unit @ jnp.asarray(frame)
                return jax.vmap(group_dir.dot_regression_loss)(scores, groups).mean()

            value, slope = jax.value_and_grad(loss)(jnp.asarray(c["in.features"]))
        np.testing.assert_allclose(value, c["out.loss"], rtol=1e-9)
        np.testing.assert_allclose(slope, c["grad.features"], rtol=1e-7, atol=1e-12)


def test_logit_adjustment():
    logits, counts = jnp.array([0.2, -1.0, 3.0]), jnp.array([6.0, 2.0, 0.0])
    got = group_dir.adjusted_logits(logits, counts, 2.0)
    want = np.array([0.2, -1, 3]) + 2 * np.log(np.array([6, 2, 1]) / 9)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_array_equal(
        group_dir.adjusted_logits(logits, counts, 0.0), logits
    )


def outcome(criterion="soft", batch=None, head=None, **options):
    """Value and gradient for the parameters, of the toy model."""
    net = HEADS[criterion] if head is None else head
    objective = group_dir.make(criterion=criterion, **options)
    variables = objective.init(jax.random.key(0), toy.SPEC)
    params, _ = toy.model_variables(net)
    batch = toy.batch() if batch is None else batch

    def loss(params):
        z, _ = net.encode(params, {}, batch["inputs"], train=False)
        view = base.View(z, net.head(params, z), lambda x: x, lambda x: x)
        out = objective.loss(variables, view, batch, None)
        return out.loss, (out, view.outputs)

    return jax.jit(jax.grad(loss, has_aux=True))(params)


@pytest.mark.parametrize("unit", group_dir.UNITS)
@pytest.mark.parametrize("criterion", group_dir.CRITERIA)
@pytest.mark.quick(
    "soft-deviation", "soft_asymmetric-label", "ce-label", "la-deviation", "etf-label"
)
def test_term_against_formula(criterion, unit):
    batch = toy.batch()
    batch["mask"] = np.float32([1, 1, 0, 1, 1, 1, 1, 1])
    batch["weight"] = np.float32([2, 1, 9, 0.5, 1, 1, 3, 1])
    options = {"tau": 1.5, "beta": 0.7, "lambda1": 0.3, "lambda2": 2.0, "unit": unit}
    _, (out, seen) = outcome(criterion, batch, **options)
    groups = toy.SPEC.groups.of_bin[batch["bin"]]
    members = np.maximum(toy.SPEC.groups.counts, 1)
    scale = toy.SPEC.label_std if unit == "deviation" else 1.0
    squares, plain, losses, floors = [], [], [], []
    for i in np.flatnonzero(batch["mask"]):
        g, logits = groups[i], np.float64(seen.logits[i])
        error = (float(seen.values[i, g]) - float(batch["label"][i])) / scale
        squares.append(batch["weight"][i] * error**2)
        plain.append((error * scale) ** 2)
        q, floor = np.eye(3)[g], 0.0
        if criterion.startswith("soft"):
            asymmetric = criterion == "soft_asymmetric"
            q = soft_by_hand(
                g, 3, 0.7, counts=toy.SPEC.groups.counts if asymmetric else None
            )
            floor = -(q * np.log(q / q.sum())).sum()
        if criterion == "la":
            logits = logits + 1.5 * np.log(members / members.sum())
        p = np.exp(logits) / np.exp(logits).sum()
        value = (
            0.5 * (logits[g] - 1) ** 2 if criterion == "etf" else -(q * np.log(p)).sum()
        )
        losses.append(value)
        floors.append(floor)
    want = 0.3 * np.mean(squares) + 2 * np.mean(losses)
    np.testing.assert_allclose(out.loss, want, rtol=1e-5)
    means = {k: float(a / b) for k, (a, b) in out.metrics.items()}
    off = np.abs(np.argmax(seen.logits, 1) - groups)[batch["mask"] > 0]
    expect = {
        "loss/experts": np.mean(squares),
        "loss/groups": np.mean(losses),
        "group/accuracy": np.mean(off == 0),
        "group/distance": np.mean(off),
        "group/kl": np.mean(losses) - np.mean(floors),
        "group/mse": np.mean(plain),
    }
    assert set(means) == set(expect)
    for name, number in expect.items():
        np.testing.assert_allclose(means[name], number, rtol=1e-4, err_msg=name)
    assert means["group/kl"] > 0


@pytest.mark.slow
def test_only_the_expert_of_the_true_group_learns():
    for bin_ in range(6):
        batch = jax.tree.map(lambda x: x[:1], toy.batch()) | {"bin": np.int32([bin_])}
        grads, _ = outcome(batch=batch, lambda2=0.0)
        used = np.abs(grads["head"]["values"]["kernel"]).sum(axis=0) > 0
        assert used.tolist() == [g == bin_ // 2 for g in range(3)]
        for leaf in jax.tree.leaves(grads["head"]["groups"]):
            np.testing.assert_array_equal(leaf, 0)
    grads, _ = outcome(lambda1=0.0)
    for leaf in jax.tree.leaves(grads["head"]["values"]):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.slow
def test_tau_zero_is_cross_entropy():
    one, two = outcome("la", tau=0.0), outcome("ce")
    chex.assert_trees_all_close(one[0], two[0], rtol=1e-6)
    np.testing.assert_allclose(one[1][0].loss, two[1][0].loss, rtol=1e-6)


@pytest.mark.slow
def test_weights_act_inside_of_groups():
    batch = toy.batch()
    heavy = batch | {"weight": 3 * batch["weight"]}
    (_, (one, _)), (_, (three, _)) = outcome(), outcome(batch=heavy)
    both = outcome(batch=heavy, weigh_groups=True)[1][0]
    for name, factors in (("loss/experts", (3, 3)), ("loss/groups", (1, 3))):
        for other, factor in zip((three, both), factors, strict=True):
            np.testing.assert_allclose(
                other.metrics[name][0], factor * one.metrics[name][0], rtol=1e-5
            )


@pytest.mark.parametrize("criterion", group_dir.CRITERIA)
@pytest.mark.quick("soft", "soft_asymmetric", "la")
def test_numerical_gradients(criterion):
    with jax.enable_x64(True):
        logits = jnp.asarray(np.random.default_rng(0).normal(size=4))

        def loss(logits):
            if criterion == "etf":
                return group_dir.dot_regression_loss(logits, jnp.array(2))
            counts = jnp.array([5.0, 2.0, 0.0, 1.0])
            if criterion in ("ce", "la"):
                logits = group_dir.adjusted_logits(
                    logits, counts, float(criterion == "la")
                )
                return group_dir.soft_cross_entropy(logits, jnp.eye(4)[2])
            some = counts if criterion == "soft_asymmetric" else None
            q = group_dir.group_soft_labels(2, num_groups=4, counts=some)
            return group_dir.soft_cross_entropy(logits, q)

        chex.assert_numerical_grads(loss, (logits,), order=1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"criterion": "focal"}, "criterion .* soft_asymmetric, ce, la, etf"),
        ({"slope": "steep"}, "slope .* uniform, first_gap"),
        ({"loss": "huber"}, "loss .* mse, l1"),
        ({"unit": "bin"}, "unit .* deviation, label"),
        ({"beta": 0.0}, "beta must be a number above 0"),
        ({"tau": -1.0}, "tau must be a number from 0"),
        ({"lambda1": float("nan")}, "lambda1"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        group_dir.make(**options)


@pytest.mark.slow
def test_heads_are_checked():
    with pytest.raises(ValueError, match=r"model.head='experts'"):
        outcome(head=toy.network())
    with pytest.raises(ValueError, match="preset group_etf"):
        outcome("etf", head=HEADS["ce"])
    with pytest.raises(ValueError, match="preset group_etf"):
        outcome("ce", head=HEADS["etf"])
    with pytest.raises(ValueError, match=r"config.groups.num"):
        outcome(head=toy.network(head="experts", options=(("num_groups", 4),)))


class TestPresets:
    def test_stages(self):
        made = runs.config(argument="group_dir,ssir")
        contrast, main = plan_lib.plan(made, 6547).stages
        assert contrast.trainable == ("encoder",)
        assert set(contrast.objective["terms"]) == {"group_contrast"}
        # Untrained heads have nothing to be consistent.
        assert contrast.objective["wrappers"] == ()
        assert main.objective["wrappers"] == ("ssir",)
        assert main.trainable == ()
        plan = plan_lib.plan(made, 6547)
        seen = [s for s in range(1, plan.stop + 1) if plan.evaluates(s)]
        assert min(seen) > contrast.stop
        assert plan.stop in seen

    def test_joint(self):
        made = runs.config(argument="group_la,joint")
        assert made["stages"] == ("main",)
        assert set(made["objective"]["terms"]) == {"group_contrast", "group_dir"}
        assert made["method"] == "group_la_joint"
        with pytest.raises(InputError, match=r"no contrast stage .* group_dir"):
            runs.config(argument="rrt,joint")

    @pytest.mark.slow
    @pytest.mark.parametrize("argument", ["group_dir,smoke", "group_etf,joint,smoke"])
    def test_a_run_learns_its_stages_and_predicts(self, argument, tmp_path):
        made = runs.tiny(argument, groups__num=3)
        result = runs.run(made, tmp_path)
        test = result["test"]
        assert np.isfinite(test["mae"]["all"])
        for name in ("group_accuracy", "group_distance", "oracle_mae"):
            assert np.isfinite(test[name]["all"])
        if argument.startswith("group_etf"):
            # Cosines are no probabilities.
            assert test["nll"] == test["nll_bound"] == {"all": None}
            assert runs.log(tmp_path, "val")[-1]["nll/all"] is None
        else:
            assert test["nll"]["all"] < test["nll_bound"]["all"]
        last = made["stages"][-1]
        assert {r["stage"] for r in runs.log(tmp_path, "val")} == {last}
        seen = {k for r in runs.log(tmp_path) for k in r}
        assert {"loss/group_contrast", "group/accuracy", "group/kl"} <= seen
        assert Predictor(tmp_path).config["groups"]["num"] == 3

    def test_wrong_groups_are_a_sentence(self, tmp_path):
        for fields, words in (
            ({"groups__num": 0}, "config.groups.num must be at least 1"),
            ({"groups__num": 1000}, "groups.num must be .* label bins"),
            ({"groups__width_mode": "x"}, "config.groups.width_mode"),
            ({"model__head": "linear", "model__head_options": {}}, "experts"),
        ):
            made = runs.tiny("group_ce,joint,smoke", **fields)
            if fields.get("model__head"):
                made["model"]["head_options"] = {}
            with pytest.raises(InputError, match=words):
                runs.run(made, tmp_path)


@pytest.mark.parametrize("criterion", group_dir.CRITERIA)
@pytest.mark.quick("soft")
def test_each_pixel_of_a_map_is_a_row(criterion):
    rng = np.random.default_rng(0)
    rows = toy.batch(rows=12)
    made = group_dir.make(criterion=criterion, weigh_groups=True)
    variables = jax.tree.map(jnp.asarray, made.init(jax.random.key(0), toy.SPEC))
    kind = heads.FixedExpertOutputs if criterion == "etf" else heads.ExpertOutputs
    outputs = kind(rows["label"], *np.float32(rng.normal(size=(2, 12, 3))))
    shape = (2, 2, 3)
    rows["weight"] = np.float32(rng.uniform(0.5, 2, 12))
    rows["mask"] = np.float32(rng.random(12) < 0.7)
    names = ("label", "bin", "weight", "mask")
    maps = {name: rows[name].reshape(shape) for name in names}
    of_maps = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), outputs)
    want, got = (
        made.loss(variables, base.View(None, seen, None, None), batch, None)
        for seen, batch in ((outputs, rows), (of_maps, maps))
    )
    chex.assert_trees_all_equal(got, want)
