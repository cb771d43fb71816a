"""Tuning of Group-DIR, one question after the other.

    python -m dirjax.sweep --config configs/studies/group_grid.py:bikeshare,length \\
        --workdir runs/grid

The argument is a data set of `common.py` (or another file in configs/, also a recipe:
`recipes/group_dir_agedb`), a question (default: length), and a criterion of `group.py`
(default: group_dir):

    length       contrastive epochs, 0.1 to 6 times those of the main stage, and number
                 of groups; the supplementary has 300 and 50 to 90
    temperature  of the contrast, as in the supplementary, 1 to 5
    factors      lambda2 of the classification over lambda1 of the regression; but for
                 weight decay, Adam's steps depend on their ratio alone
    start        biases of the experts at the start: zeros, or centres of their groups
    beta         slope of the soft labels
    rate         learning rate of both stages, relative to that of the config; for
                 recipes the values of the supplementary
    finetuning   length of the main stage, for recipes: 50 to 90 epochs
    number       number of groups alone, as in the supplementary, up to 50, as far as
                 the data have as many label bins

Each question has the fields that `group.py` lists for the data set, and varies its own;
put what is best on validation there before the next. A separate seed is used, so that
tuning does not use the runs that `group.py` reports. To compare on validation:

    python -m dirjax.report runs/grid --split val
"""

from dirjax.configs.recipes import groups
from dirjax.configs.studies import common, group
from dirjax.configs.studies.group import CONTRAST, TERM

# Contrastive epochs relative to those of the main stage; the paper's are 3.3 to 6.
SHARES = (0.1, 0.3, 1.0, 3.0, 6.0)
NUMBERS = (5, 10, 20, 40)
FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
QUESTIONS = {
    "temperature": ((f"{CONTRAST}.temperature", groups.TEMPERATURES),),
    "factors": ((f"{TERM}.lambda2", FACTORS),),
    "start": (("model.head_options.start", ("zeros", "centers")),),
    "beta": ((f"{TERM}.beta", (0.5, 1.0, 2.0, 4.0)),),
    "finetuning": (("stage.main.epochs", groups.EPOCHS),),
}
# Learning rates relative to that of the data set.
RATES = (0.1, 0.3, 1.0, 3.0)
_STAGES = ("stage.contrast.learning_rate", "stage.main.learning_rate")
KNOWN = ("length", *QUESTIONS, "number", "rate")


def _grid(study, question):
    if question == "length":
        return (
            common.lengths(study, "contrast", SHARES),
            ("groups.num", common.numbers_of_groups(study, NUMBERS)),
        )
    if question == "number":
        return (("groups.num", common.numbers_of_groups(study, groups.NUMBERS)),)
    if question != "rate":
        return QUESTIONS[question]
    config = common.config(study)
    rate = config.stage.main.learning_rate
    rates = tuple(float(f"{rate * share:.3g}") for share in RATES)
    if "recipes/" in study.configs[0]:
        rates = groups.RATES[config.data.name]
    return ((_STAGES, tuple((rate, rate) for rate in rates)),)


def get_config(arg="bikeshare,length"):
    """The study on DATASET[,QUESTION[,CRITERION]]."""
    dataset, question, method = common.parts(arg, "DATASET[,QUESTION[,CRITERION]]")
    question, method = question or "length", method or "group_dir"
    common.chosen("question", question, KNOWN)
    common.chosen("criterion", method, group.CRITERIA)
    study = common.data(dataset)
    study.methods = (method,)
    study.seeds = (100,)
    study.grid = _grid(study, question)
    varied = {
        path
        for paths, _ in study.grid
        for path in ([paths] if isinstance(paths, str) else paths)
    }
    study.method_fields = tuple(
        field for field in group.tuned(dataset, (method,)) if field[1] not in varied
    )
    study.base = ""
    return study
