"""Toy experiment that motivates SSIR: test MSE against imbalance ratio, ten seeds.

    python -m dirjax.sweep --config configs/studies/ssir_motivation.py --workdir DIR

One program runs all seeds, ratios and arms in 70 s of CPU time. Values marked "paper"
are published; dirjax/projects/ssir_toy/experiment.py explains how the paper was read.
All values can be changed: `--config.delta=10 --config.noise=shrunk
--config.seeds="(0, 1)"`.

The paper gives two rates, 1e-3 for "representation learning" and 1e-2 for "supervised
learning", which are its names for the two arms as well as for the phases of one of
them. They are read as those of the phases; the argument `literal` takes them as those
of the arms, so that the self-supervised arm keeps 1e-3 in its second phase.
"""

from ml_collections import ConfigDict

from dirjax.configs.studies import common


def get_config(reading="phases"):
    """The study, with the rates of phases, or `literal`."""
    common.chosen("reading", reading, ("phases", "literal"))
    study = ConfigDict()
    study.program = "dirjax.projects.ssir_toy.study"
    study.seeds = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    # Common rows per rare row (paper).
    study.ratios = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 100.0)

    # Data. Paper: dimension, means, and variances of 25.
    study.dim = 100
    study.means = (10.0, -10.0)
    study.stds = (5.0, 5.0)
    # Training rows at every ratio, and balanced test rows. 202 = 101 * 2, which leaves
    # two rare rows at ratio 100.
    study.total = 202
    study.test = 1000
    # Seed of w in y = w^T x, and standard deviation of its entries.
    study.w_seed = 0
    study.w_scale = 0.1

    # Network: the width of each hidden layer (paper: two layers, 128 neurons).
    study.hidden = (128,)

    # Training. Paper: T1, T2, the two rates 1e-3 and 1e-2, and weight decay.
    study.pretext_epochs = 1000
    study.supervised_epochs = 500
    study.pretext_rate = 1e-3
    study.finetune_rate = 1e-3 if reading == "literal" else 1e-2
    study.supervised_rate = 1e-2
    study.weight_decay = 5e-5
    # "adam", "adamw" or "sgd"; with sgd these rates diverge on inputs of this size.
    study.optimizer = "adam"
    # 0 for all rows: an epoch is then one step.
    study.batch_size = 0
    # Parameters trained in the second phase: "all" or "head".
    study.trained = "all"

    # Noise n of the pretext task with |w^T n| < delta: "conditional" or "shrunk";
    # standard deviation of its coordinates; and delta.
    study.noise = "conditional"
    study.noise_std = 1.0
    study.delta = 1.0
    return study
