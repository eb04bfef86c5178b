"""How are missing values imputed in a pipeline? By draws from their distribution given the rest."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from diffuscope.estimator.model import DiffusionModel, allow_any_columns

__all__ = ["DiffusionImputer"]


class DiffusionImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Impute missing values with a diffusion model of the table.

    Parameters
    ----------
    model : DiffusionModel, optional
        How the table is learned; the defaults of :class:`DiffusionModel` otherwise. A copy is fitted.
    n_draws : int
        Draws that are averaged: means of numbers, the most frequent of categories. One draw keeps the
        spread of the data, as analyses of many filled tables ask for; the average of many is nearest to
        what is missing.
    random_state : int, RandomState or None

    Attributes
    ----------
    model_ : DiffusionModel
        The fitted one.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns, and their names where X had some.
    """

    def __init__(
        self, model: DiffusionModel | None = None, *, n_draws: int = 8, random_state: Any = None
    ) -> None:
        self.model = model
        self.n_draws = n_draws
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the distribution of rows X (n, d), NaN where a value is missing; y is ignored."""
        model = DiffusionModel() if self.model is None else clone(self.model)
        if self.random_state is not None:
            model.set_params(random_state=self.random_state)
        self.model_ = model.fit(X)
        self.n_features_in_ = model.n_features_in_
        if hasattr(model, "feature_names_in_"):
            self.feature_names_in_ = model.feature_names_in_
        return self

    def transform(self, X: Any) -> Any:
        """Return X with its missing values filled, of the kind that X is; an array for a list of rows."""
        check_is_fitted(self)
        filled = self.model_.impute(X, n_draws=self.n_draws, average=True, random_state=self.random_state)
        return np.asarray(filled) if isinstance(filled, list) else filled

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the columns, shape (d,)."""
        check_is_fitted(self)
        return self.model_.get_feature_names_out(input_features)

    def __sklearn_tags__(self) -> Any:
        return allow_any_columns(super().__sklearn_tags__())
