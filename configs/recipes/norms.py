"""How the Frobenius-norm method is trained: what its recipes have in common.

The appendix gives the rates, 1e-3 in phase 1, 1e-4 in phase 2 and 5e-5 in phase 3, and
a weight decay without its size, which is 1e-4 in the author's code. Phase 3 has a
constant rate; phase 1 the schedule of the benchmark, stretched to its length. The rate
of phase 2 is that of `fit="sgd"`; the presets fit the line in closed form.
"""

TARGET = "stage.tune.objective.terms.norm_target"
# Models of the ablation and controls of equal length -> preset.
MODELS = {
    "vanilla": "vanilla",
    "frobenius_order": "frobenius_order",
    "frobenius_tune": "frobenius_tune",
    "frobenius": "frobenius",
    "tune_no_target": "frobenius_tune",
    "frobenius_no_target": "frobenius",
    "vanilla_80": "vanilla",
}
STAGE = {"optimizer": "adam", "weight_decay": 1e-4, "decay": "all"}


def rows(epochs, *options):
    """The rows of all models: name -> (`METHOD[,OPTION...]`, fields).

    Args:
      epochs: length of all phases together.
      *options: of the data set's config.
    """
    return {
        name: (",".join([preset, *options]), _fields(name, preset, epochs))
        for name, preset in MODELS.items()
    }


def _fields(name, preset, epochs):
    phases = preset in ("frobenius", "frobenius_tune")
    fields = {
        f"stage.{stage}.{field}": value
        for stage in ("main", "tune")[: 1 + phases]
        for field, value in STAGE.items()
    }
    fields |= {"stage.main.epochs": epochs, "model.label_scaling": "deviation"}
    fields["stage.main.learning_rate"] = 1e-3
    if phases:
        fields["stage.tune.learning_rate"] = 5e-5
        fields[f"{TARGET}.learning_rate"] = 1e-4
    if name.endswith("no_target"):
        fields[f"{TARGET}.weight"] = 0.0
    if name == "vanilla_80":
        fields["stage.main.epochs"] = 0.8 * epochs
    return fields | ({"method": name} if name != preset else {})
