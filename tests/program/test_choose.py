"""`dirjax.choose` on a table, with a portfolio of two methods."""

import json
import types

import pytest

from dirjax import choose, errors, evaluate, predict
from dirjax.choosing import models, portfolio, verdict
from dirjax.training.assemble import assemble
from dirjax.workdir import run_files
from tests import own_data, runs
from tests.program.answers import COLUMNS, PARTS, to_csv


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choose")
    file = own_data.write(folder, "mine.csv", to_csv(COLUMNS))
    fields = {k.replace("__", "."): v for k, v in own_data.TINY.items()}
    fields.pop("model.encoder", None)
    fields |= {"model.encoder.width": 8, "model.encoder.depth": 1}
    fields |= {"data.path": str(file), "data.label": "y"}
    request = choose.Request("configs/csv.py", (), fields, {"all": 1.0}, 10.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portfolio, "METHODS", ("vanilla", "sqinv", "histogram"))
        patch.setattr(portfolio, "ROUNDS", ((0,), (1,)))
        patch.setattr(portfolio, "KEPT", 1)
        patch.setattr(portfolio, "BOOSTED", (0,))
        patch.setattr(models, "LEAST", 2)
        said = []
        record = choose.choose(request, folder / "choice", say=said.append)
        again = []
        assert choose.choose(request, folder / "choice", say=again.append) == record
    return folder, record, said, again


@pytest.mark.slow
def test_the_worse_half_is_dropped(asked):
    _, record, said, _ = asked
    seeds = {c["method"]: c["seeds"] for c in record["candidates"]}
    assert seeds["vanilla"] == [0, 1]
    assert sorted(map(len, seeds.values())) == [1, 2, 2, 2, 2]
    together = [m for m in seeds if m.endswith(", 2 members")]
    assert "vanilla, 2 members" in together
    assert len(together) == 2
    assert sum("dropped:" in line for line in said) == 1


@pytest.mark.slow
def test_time_may_be_up_in_the_middle_of_a_round(asked, monkeypatch):
    """Who has not got that far takes part by the seeds that all have."""
    folder, _, _, _ = asked
    found = {
        m.name: {int(s.name[5:]): s for s in sorted(m.iterdir())}
        for m in (folder / "choice" / "runs").iterdir()
    }
    found["histogram"] = {0: found["histogram"][0]}
    found["sqinv"] = {0: found["sqinv"][0]}
    left = ["vanilla", "histogram"]
    monkeypatch.setattr(choose, "_check", lambda *_: 20)
    monkeypatch.setattr(choose, "_trained", lambda *_: (found, left))
    monkeypatch.setattr(choose, "_boosted", lambda *_: None)
    monkeypatch.setattr(choose, "_copied", lambda *_: folder)
    taking_part = []

    def winner(fit, base, **how):
        taking_part.extend((one.model.method, list(one.seeds)) for one, _ in fit)
        return verdict_winner(fit, base, **how)

    verdict_winner = verdict.winner
    monkeypatch.setattr(verdict, "winner", winner)
    request = choose.Request("", (), {}, {"all": 1.0}, 10.0)
    (folder / "cut").mkdir()
    choose.choose(request, folder / "cut", say=lambda _: None)
    assert sorted(taking_part) == [("histogram", [0]), ("vanilla", [0])]


@pytest.mark.slow
def test_repeated_it_trains_nothing(asked):
    _, _, said, again = asked
    assert any(line.startswith("runs/vanilla/seed_0 (") for line in said)
    assert not any(line.startswith("runs/") for line in again)


@pytest.mark.slow
def test_what_is_written(asked):
    folder, record, said, _ = asked
    stored = json.loads((folder / "choice" / choose.CHOICE).read_text())
    assert stored["sentence"] == record["sentence"]
    assert record["sentence"] in said
    assert (folder / "choice" / "report" / "report.html").exists()
    assert record["boosting"]["sentence"] in said
    assert record["boosting"]["sentence"].startswith("gradient boosting")
    errors_ = [c["val_error"] for c in record["candidates"]]
    assert errors_ == sorted(errors_)


@pytest.mark.slow
def test_the_chosen_run_predicts(asked):
    """It is a run as any other, with the correction of the winner."""
    folder, record, _, _ = asked
    chosen = folder / "choice" / "chosen"
    prior = run_files.read_config(chosen)["prior"]
    assert (prior["tau"] or 0.0) == record["winner"]["tau"]
    result = runs.result(chosen)
    assert result["method"] == record["winner"]["method"]
    got = evaluate.evaluate(chosen)["test"]["mae"]["all"]
    assert got == pytest.approx(result["test"]["mae"]["all"], rel=1e-5)
    out = folder / "out.csv"
    predict.predict(chosen, folder / "mine.csv", out)
    assert out.read_text().startswith("index,prediction\n")


@pytest.mark.slow
def test_other_data_are_refused(asked):
    """Also by a command that would train nothing more."""
    folder, *_ = asked
    file = folder / "mine.csv"
    before = file.read_bytes()
    labels = [y and float(y) + 1 for y in COLUMNS["y"]]
    own_data.write(folder, "mine.csv", to_csv({**COLUMNS, "y": labels}))
    fields = run_files.read_config(folder / "choice" / "chosen")["data"]
    given = {f"data.{name}": fields[name] for name in ("path", "label", "batch_size")}
    request = choose.Request("configs/csv.py", (), given, {"all": 1.0}, 10.0)
    result = (folder / "choice" / "chosen" / run_files.RESULT).read_bytes()
    with pytest.raises(errors.InputError, match="has changed since the run in"):
        choose.choose(request, folder / "choice", say=lambda _: None)
    assert (folder / "choice" / "chosen" / run_files.RESULT).read_bytes() == result
    # Or while a command is at work.
    found = [folder / "choice" / "runs" / "vanilla" / f"seed_{s}" for s in (0, 1)]
    with pytest.raises(errors.InputError, match="has changed since the run in"):
        assemble(found, folder / "joined", {})
    file.write_bytes(before)


def test_the_run_that_is_handed_out_is_the_best_by_what_counts(tmp_path, monkeypatch):
    by_seed = {0: {"all": 1.0, "few": 9.0}, 1: {"all": 2.0, "few": 5.0}}
    for seed in by_seed:
        (tmp_path / f"{seed}").mkdir()
        (tmp_path / f"{seed}" / run_files.CONFIG).write_text('{"prior": {}}')
    model = models.Runs("vanilla", {s: tmp_path / f"{s}" for s in by_seed})
    monkeypatch.setattr(models.Runs, "decode", "mean")

    def points(model, seed):
        return [{"tau": 0.0, "decode": "mean", "val": {"mae": by_seed[seed]}}]

    def copied(source, target):
        raise KeyError(source.name)

    monkeypatch.setattr(models.Runs, "points", points)
    monkeypatch.setattr(choose.shutil, "copytree", copied)
    winner = verdict.Candidate(model, 0.0, "mean")
    for wanted, seed in (({"all": 1.0}, "0"), ({"few": 1.0}, "1")):
        with pytest.raises(KeyError, match=seed):
            choose._copied(winner, wanted, tmp_path / "choice")


def test_data_need_not_have_a_test_split(tmp_path):
    """What was trained for minutes is not lost at the last sentence."""
    (tmp_path / run_files.RESULT).write_text('{"test": {}}')
    model = models.Runs("sqinv", {0: tmp_path})
    one = verdict.Candidate(model, 0.5, "mean")
    said = choose._tested(one, one, tmp_path, {"all": 1.0})
    assert said == "sqinv, tau=0.5 is untested: the data have no test split."


@pytest.mark.parametrize(
    ("val", "wanted", "said"),
    [
        (0, {"all": 1.0}, "a val split of at least two rows, mine has 0"),
        (1, {"all": 1.0}, "a val split of at least two rows, mine has 1"),
        (9, {"many": 1.0}, "--for weighs many-shot labels, and the validation split"),
        (9, {"all": 1.0}, ""),
    ],
)
def test_data_are_checked_before_training(val, wanted, said, tmp_path):
    rows = [i for i, part in enumerate(PARTS) if part == "val"]
    parts = ["train" if i in rows[val:] else p for i, p in enumerate(PARTS)]
    file = own_data.write(tmp_path, "mine.csv", to_csv({**COLUMNS, "split": parts}))
    fields = {"data.path": str(file), "data.label": "y", "data.many": 1000}
    request = choose.Request("configs/csv.py", (), fields, wanted, 10.0)
    if not said:
        assert choose._check(request, tmp_path / "choice") == 9
        return
    with pytest.raises(errors.InputError, match=said):
        choose.choose(request, tmp_path / "choice")
    assert not (tmp_path / "choice").exists()


@pytest.mark.parametrize(
    ("wanted", "rows", "taken"),
    [
        ({"all": 1.0}, 900, "vanilla"),
        ({"few": 1.0}, 10, "best"),
        ({"few": 1.0}, 9, "vanilla"),
        ({"few": 0.5, "all": 0.5}, 10, "best"),
    ],
)
def test_what_is_taken_where_nothing_is_proven(wanted, rows, taken):
    assert portfolio.undecided(wanted, rows) == taken


def test_members_are_made_here(tmp_path):
    file = own_data.write(tmp_path, "mine.csv", to_csv(COLUMNS))
    fields = {"data.path": str(file), "data.label": "y", "model.members": 2}
    request = choose.Request("configs/csv.py", (), fields, {"all": 1.0}, 10.0)
    with pytest.raises(errors.InputError, match="choosing makes members"):
        choose.choose(request, tmp_path / "choice")
    assert not (tmp_path / "choice").exists()


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "rare"], "--for must be all"),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--undecided", "sqinv"], "--undecided must be vanilla or best"),
    ],
)
def test_wrong_arguments(arguments, said, tmp_path):
    from absl import flags

    saved = flags.FLAGS.flag_values_dict()
    line = ["choose", "--config", "configs/csv.py", "--workdir", str(tmp_path / "a")]
    try:
        with pytest.raises(errors.InputError, match=said):
            choose.main([*line, *arguments])
    finally:
        for name in ("for", "minutes", "undecided", "config", "workdir"):
            flags.FLAGS[name].value = saved[name]
    assert not (tmp_path / "a").exists()


def test_boosting_respects_the_minutes(tmp_path, monkeypatch):
    """Late, only predictions that are there count."""
    monkeypatch.setattr(models, "has_boosting", lambda record: True)
    monkeypatch.setattr(run_files, "read_record", lambda run: {})
    plain = types.SimpleNamespace(weights=None)
    monkeypatch.setattr(models.Boosting, "spec", plain)
    request = choose.Request("configs/csv.py", (), {}, {"all": 1.0}, 10.0)
    said = []
    found = choose._boosted(request, tmp_path, tmp_path, True, said.append)
    assert found is None
    assert said == ["without boosting: --minutes are used up"]
    (tmp_path / "boosting").mkdir()
    for seed in portfolio.BOOSTED:
        (tmp_path / "boosting" / f"seed_{seed}.npz").touch()
    found = choose._boosted(request, tmp_path, tmp_path, True, said.append)
    assert found is not None
    assert len(said) == 1
