"""Synthetic run directories in the trainer's format, for tests of their readers."""

import json
import pathlib

import numpy as np

SHOTS = ("many", "median", "few")


def label_bins(rng, unit=""):
    """Bins of width ten for a long-tailed label like hourly bike rentals."""
    train = np.minimum(rng.gamma(0.95, 190.0, 10_000), 976.0)
    edges = np.arange(0.0, 981.0, 10.0)
    count = np.histogram(train, edges)[0]
    shots = np.select([count > 100, count < 20], ["few", "few"], "median")
    shots = np.where(count > 100, "many", shots)
    return {
        "label": "bikers",
        "unit": unit,
        "edges": edges.tolist(),
        "train_count": count.tolist(),
        "shots": shots.tolist(),
    }


def by_shot(error, prediction, label, shot):
    """The metrics of result.json, computed from their definitions."""
    table = {n: {} for n in ("mae", "gm", "mse", "rmse", "pearson", "count")}
    for name in ("all", *SHOTS):
        here = np.ones_like(shot, bool) if name == "all" else shot == name
        e = error[here]
        table["count"][name] = int(here.sum())
        empty = not here.any()
        table["mae"][name] = None if empty else float(e.mean())
        table["gm"][name] = None if empty else float(np.exp(np.log(e + 1e-10).mean()))
        table["mse"][name] = None if empty else float((e**2).mean())
        table["rmse"][name] = None if empty else float(np.sqrt((e**2).mean()))
        corr = None if empty else np.corrcoef(prediction[here], label[here])[0, 1]
        table["pearson"][name] = None if empty else float(corr)
    return table


def by_bin(error, index, shot):
    """bMAE: the mean over bins of the mean error in each bin."""
    table = {}
    for name in ("all", *SHOTS):
        here = np.ones_like(shot, bool) if name == "all" else shot == name
        means = [error[here & (index == k)].mean() for k in np.unique(index[here])]
        table[name] = float(np.mean(means)) if means else None
    return table


def predicted_groups(num, bins, index, prediction, label, shot):
    """Adds groups of equally many bins; returns predicted groups and their metrics."""
    of_bin = np.arange(98) * num // 98
    edges = np.asarray(bins["edges"])
    train = np.bincount(of_bin, weights=bins["train_count"], minlength=num)
    borders = [edges[np.flatnonzero(of_bin == g)[[0, -1]] + [0, 1]] for g in range(num)]
    bins["groups"] = {
        "num": num,
        "of_bin": of_bin.tolist(),
        "train_count": train.astype(int).tolist(),
        "centers": [float(border.mean()) for border in borders],
    }
    guess = np.clip(np.searchsorted(edges, prediction, side="right") - 1, 0, 97)
    stored = {
        "group": of_bin[index].astype(np.int32),
        "group_prediction": of_bin[guess].astype(np.int32),
        "oracle": ((label + prediction) / 2).astype(np.float32),
    }
    off = np.abs(stored["group_prediction"] - stored["group"])
    wrong = np.abs(stored["oracle"] - label)
    rows = {"group_accuracy": off == 0, "group_distance": off, "oracle_mae": wrong}
    scores = {
        name: {
            s: float(values[(shot == s) | (s == "all")].mean()) for s in ("all", *SHOTS)
        }
        for name, values in rows.items()
    }
    return stored, scores


def set_counts(scores, counts):
    """Sets the numbers of test examples and updates the errors of `all`."""
    scores["count"] = {"all": sum(counts), **dict(zip(SHOTS, counts, strict=True))}
    share = np.asarray(counts) / sum(counts)
    for name in ("mae", "gm", "mse"):
        parts = np.asarray([scores[name][shot] for shot in SHOTS])
        parts = np.log(parts) if name == "gm" else parts
        together = float(share @ parts)
        scores[name]["all"] = float(np.exp(together)) if name == "gm" else together
    scores["rmse"]["all"] = float(np.sqrt(scores["mse"]["all"]))


def write_run(
    folder,
    *,
    method="sqinv_lds",
    seed=0,
    shrink=0.25,
    dataset="bikeshare",
    finished=True,
    stages=("main",),
    examples=3476,
    counts=None,
    small_term=None,
    **config,
):
    """Writes a run directory and returns its path.

    `counts` overrides the numbers of many-, median- and few-shot test examples;
    `small_term` names a loss term that is much smaller than the others. A config with
    `groups` stands for a method that predicts groups, one with `squared` for plain MSE;
    the stage `contrast` has a separate loss and no validation.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    bins = label_bins(np.random.default_rng(7))
    edges = np.asarray(bins["edges"])
    rng = np.random.default_rng([seed, int(shrink * 1000)])
    test = np.random.default_rng(11)
    label = np.floor(np.minimum(test.gamma(0.95, 190.0, examples), 976.0))
    noise = rng.normal(0, 30 - 60 * shrink + 0.12 * label)
    prediction = label - shrink * (label - 190.0) + noise
    index = np.clip(np.searchsorted(edges, label, side="right") - 1, 0, 97)
    shot = np.asarray(bins["shots"])[index]
    scores = by_shot(np.abs(prediction - label), prediction, label, shot)
    arrays = {}
    if "groups" in config:
        arrays, more = predicted_groups(
            config["groups"]["num"], bins, index, prediction, label, shot
        )
        scores |= more
    if "groups" in config or "squared" in config:
        scores["bmae"] = by_bin(np.abs(prediction - label), index, shot)
    if counts is not None:
        set_counts(scores, counts)
    steps, every = 2000, 100
    lines = []
    for step in range(20, steps + 1, 20):
        stage = stages[min(step * len(stages) // (steps + 1), len(stages) - 1)]
        base = {"step": step, "epoch": step / 40, "stage": stage, "time": step / 80}
        decay = 1 + 3 * np.exp(-step / 250) + rng.normal(0, 0.04)
        terms = {"loss/l1": 48 * decay, "loss/ranksim": 2.5 * decay**2}
        total = terms["loss/l1"] + 0.5 * terms["loss/ranksim"]
        if stage == "contrast":
            terms = {"loss/group_contrast": total}
        elif "groups" in config:
            terms = {"loss/experts": total, "group/mse": 900 * decay}
        elif "squared" in config:
            terms = {"loss/mse": (total := 1800 * decay)}
        if small_term is not None:
            terms[f"loss/{small_term}"] = 0.02 * (1 - np.exp(-step / 400)) * decay
        train = {"loss": total, **terms, "learning_rate": 1e-3, "grad_norm": 1.0}
        lines.append({**base, "split": "train", **train})
        if step % every == 0 and stage != "contrast":
            drift = 0.02 * max(step - 1500, 0) / 100
            val = {
                f"mae/{name}": None if value is None else value * (decay + drift)
                for name, value in scores["mae"].items()
            }
            val["mse/all"] = scores["mse"]["all"] * (decay + drift)
            if "groups" in config:
                val["oracle_rmse/all"] = 25 * np.sqrt(decay)
            lines.append({**base, "split": "val", **val})
    stored = {
        "seed": seed,
        "method": method,
        "data": {"name": dataset, "label": "bikers", "bin_width": 10.0},
        "stages": list(stages),
        **config,
    }
    (folder / "config.json").write_text(json.dumps(stored))
    with (folder / "metrics.jsonl").open("w") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
    if not finished:
        return folder
    (folder / "bins.json").write_text(json.dumps(bins))
    np.savez(
        folder / "predictions.npz",
        index=np.arange(len(label)),
        label=label.astype(np.float32),
        prediction=prediction.astype(np.float32),
        **arrays,
    )
    result = {
        "schema": 1,
        "dirjax": "0.1.0",
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "steps": steps,
        "best_step": 1800,
        "select": {"split": "val", "metric": "mae", "shot": "all"},
        "test": scores,
        "val": {},
        "train_seconds": 21.4,
        "examples_per_second": 24012.5,
        "device": "cpu",
        "processes": 1,
        "versions": {"jax": "0.10.2", "flax": "0.12.8"},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder
