"""The toy experiment behind SSIR, ten seeds: test MSE against the imbalance ratio.

    python -m dirjax.sweep --config configs/studies/ssir_motivation.py --workdir DIR

One program for all seeds, ratios and arms; 70 s of processor time.
dirjax/projects/ssir_toy/experiment.py says which of these values are the paper's and
how it was read. Any of them can be set: `--config.delta=10 --config.noise=shrunk
--config.seeds="(0, 1)"`.
"""

from ml_collections import ConfigDict


def get_config():
    """The study."""
    study = ConfigDict()
    study.program = "dirjax.projects.ssir_toy.study"
    study.seeds = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    # Rows of the common component for one of the rare (paper).
    study.ratios = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 100.0)

    # Data. Paper: dimension, means, and variances of 25.
    study.dim = 100
    study.means = (10.0, -10.0)
    study.stds = (5.0, 5.0)
    # Training rows at every ratio, and balanced test rows. 202 is 101 times 2: two rare
    # rows are left at ratio 100.
    study.total = 202
    study.test = 1000
    # Of w in y = w^T x: seed, and standard deviation of its entries.
    study.w_seed = 0
    study.w_scale = 0.1

    # Network: the width of each hidden layer (paper: two layers, 128 neurons).
    study.hidden = (128,)

    # Training. Paper: T1, T2, the two rates 1e-3 and 1e-2, and weight decay.
    study.pretext_epochs = 1000
    study.supervised_epochs = 500
    study.pretext_rate = 1e-3
    study.finetune_rate = 1e-2
    study.supervised_rate = 1e-2
    study.weight_decay = 5e-5
    # "adam", "adamw" or "sgd"; with sgd these rates diverge on inputs of this size.
    study.optimizer = "adam"
    # 0 for all rows, so that an epoch is a step.
    study.batch_size = 0
    # In the second phase: "all" or "head".
    study.trained = "all"

    # Noise n of the pretext task, |w^T n| < delta: "conditional" or "shrunk", and the
    # standard deviation of its coordinates.
    study.noise = "conditional"
    study.noise_std = 1.0
    study.delta = 1.0
    return study
