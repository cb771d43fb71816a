"""Corrects a finished model for the label distribution that you want.

    from dirjax import correct
    model = correct.fit(predictions, labels, train_labels=train_labels)
    better_for_rare_labels = model.apply(new_predictions, target="uniform", tau=0.5)

The predictions may come from any regressor: gradient boosting, PyTorch, a spreadsheet.
Numpy and scipy only, no JAX. docs/any-prior.md has the method, and what it gains.
"""

from dirjax.correct.correction import Correction, Prior, fit, of_prior

__all__ = ["Correction", "Prior", "fit", "of_prior"]
