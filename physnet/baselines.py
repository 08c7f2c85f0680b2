"""Digital neighbours: what the same data gives without any physics."""

from __future__ import annotations

import warnings

import numpy as np

from .data import FeatureScaling, Splits


def raw_logistic_regression(splits: Splits) -> float:
    """Return the test accuracy of logistic regression on the features themselves.

    The features are standardised with the training split's statistics; the model is scikit-learn's multinomial logistic
    regression with its default L2 penalty, fitted on the training split alone. Nothing is chosen on test or validation.

    Args:
        splits: The samples that the network is trained and tested on.

    Returns:
        Test accuracy, 0 to 1; NaN without a test split.
    """
    if not len(splits.test):
        return float("nan")
    # Here, because it takes seconds to import and `physnet show` has no use for it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scaling = FeatureScaling.fit("standard", splits.train.x)
    model = LogisticRegression(max_iter=300)
    with warnings.catch_warnings():
        # It is a yardstick: the last digits of its optimum don't matter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaling(splits.train.x), splits.train.y)
    return float(np.mean(model.predict(scaling(splits.test.x)) == splits.test.y))
