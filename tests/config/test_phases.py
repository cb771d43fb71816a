"""A budget that is divided, and the presets that divide it."""

import pytest

from dirjax.config import phases, validation
from dirjax.config import plan as plan_lib
from dirjax.errors import InputError
from tests import runs

TARGET = "norm_target"


def divided(epochs=100.0, steps=0, shares=(0.7, 0.2, 0.1)):
    """Lengths of three parts."""
    config = {
        "phases": {"parts": ("a", "b.c", "d"), "shares": shares},
        "a": {"epochs": epochs, "steps": steps},
        "b": {"c": {"epochs": None, "steps": None}},
        "d": {"epochs": None, "steps": None},
    }
    phases.divide(config)
    return [tuple(t.values()) for t in (config["a"], config["b"]["c"], config["d"])]


def test_lengths_add_up():
    assert divided() == [(70, 0), (20, 0), (10, 0)]
    assert [s for _, s in divided(steps=3000)] == [2100, 600, 300]
    assert divided(shares=(1, 0, 0))[1:] == [(0, 0), (0, 0)]
    # A part of few steps has one.
    assert [s for _, s in divided(steps=3)] == [2, 1, 1]
    assert divided(epochs=5.0)[0] == (3.5, 0)


def test_a_length_that_is_set_stays():
    config = {"phases": {"parts": ("a", "b"), "shares": (0.5, 0.5)}}
    config |= {"a": {"epochs": 8.0, "steps": 0}, "b": {"epochs": 3.0, "steps": None}}
    phases.divide(config)
    assert config["a"]["epochs"] == 4
    assert config["b"] == {"epochs": 3.0, "steps": 0}


def test_without_phases_nothing_happens():
    config = {"a": {"epochs": 8.0, "steps": 0}}
    phases.divide(config)
    assert config == {"a": {"epochs": 8.0, "steps": 0}}


@pytest.mark.parametrize(
    "shares", [(0.7, 0.2), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), "abc", 0.7]
)
def test_shares_that_do_not_fit(shares):
    with pytest.raises(
        InputError, match=r"3 non-negative numbers of sum 1, for a, b\.c"
    ):
        divided(shares=shares)


class TestFrobenius:
    def lengths(self, argument="frobenius", name="bikeshare", **fields):
        """Of main training, the line and fine-tuning, in epochs and steps."""
        made = runs.config(name, argument, **fields)
        validation.validate(made)
        main, tune = (made["stage"][n] for n in ("main", "tune"))
        line = tune["objective"]["terms"][TARGET]
        return [(part["epochs"], part["steps"]) for part in (main, line, tune)]

    def test_shares_of_the_length_of_other_methods(self):
        assert self.lengths() == [(70, 0), (20, 0), (10, 0)]
        assert [s for _, s in self.lengths(name="abalone")] == [2100, 600, 300]
        assert self.lengths("frobenius_tune") == self.lengths()
        shares = {"phases__shares": (0.5, 0.3, 0.2)}
        assert [e for e, _ in self.lengths(**shares)] == [50, 30, 20]
        half = {"stage__main__epochs": 50.0}
        assert [e for e, _ in self.lengths(**half)] == [35, 10, 5]
        one = {"stage__tune__epochs": 4.0}
        assert [e for e, _ in self.lengths(**one)] == [70, 20, 4]
        plan = plan_lib.plan(runs.config(argument="frobenius,smoke"), 1024)
        assert [s.steps for s in plan.stages] == [42, 6]
        # Without the last phase, main training is as long as elsewhere.
        alone = runs.config(argument="frobenius", stages=("main",))
        assert alone["stage"]["main"]["epochs"] == 70
        with pytest.raises(InputError, match=r"config\.phases\.shares"):
            self.lengths(phases__shares=(0.7, 0.2, 0.2))

    def test_stages(self):
        main, tune = plan_lib.plan(runs.config(argument="frobenius"), 6547).stages
        assert set(main.objective["terms"]) == {"l1", "norm_order"}
        assert main.objective["terms"]["norm_order"]["weight"] == 0.1
        assert set(tune.objective["terms"]) == {"l1", TARGET, "norm_order"}
        # It is in the log only.
        assert tune.objective["terms"]["norm_order"]["weight"] == 0
        assert tune.init_from == "best"
        rates = [s.schedule["learning_rate"] for s in (main, tune)]
        assert rates[1] == pytest.approx(rates[0] * 5e-5 / 1e-3)
        assert tune.schedule["name"] == "constant"
        assert tune.optimizer == main.optimizer
        assert tune.trainable == main.trainable == ()

    def test_the_four_models(self):
        """Plain, ordered, fine-tuned, and both."""
        order, tune, both = (
            runs.config(argument=m)
            for m in ("frobenius_order", "frobenius_tune", "frobenius")
        )
        assert order["stages"] == ("main",)
        assert order["objective"] == both["objective"]
        assert order["stage"]["main"]["epochs"] == 100
        assert tune["stage"] == both["stage"]
        assert tune["objective"]["terms"]["norm_order"]["weight"] == 0
        vanilla = runs.config()["model"]["label_scaling"]
        assert vanilla == "standard"
        for made in (order, tune, both):
            assert made["model"]["label_scaling"] == "deviation"
