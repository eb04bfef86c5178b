"""How are missing values imputed in a pipeline? By draws from their distribution given the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted

from diffuscope.data.tables import read_frame
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
    add_indicator : bool
        Whether columns that say which values were missing are appended, one for each column of X that had
        missing values in ``fit``.

    Attributes
    ----------
    model_ : DiffusionModel
        The fitted one.
    indicator_ : sklearn.impute.MissingIndicator or None
        What makes the appended columns.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns, and their names where X had some.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from diffuscope import DiffusionImputer, DiffusionModel
    >>> X = load_iris(as_frame=True).data
    >>> X.iloc[::10, 0] = np.nan
    >>> imputer = DiffusionImputer(DiffusionModel(steps=20), random_state=0)
    >>> int(imputer.fit_transform(X).isna().sum().sum())
    0
    """

    def __init__(
        self,
        model: DiffusionModel | None = None,
        *,
        n_draws: int = 8,
        random_state: Any = None,
        add_indicator: bool = False,
    ) -> None:
        self.model = model
        self.n_draws = n_draws
        self.random_state = random_state
        self.add_indicator = add_indicator

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the distribution of rows X (n, d), NaN where a value is missing; y is ignored."""
        model = DiffusionModel() if self.model is None else clone(self.model)
        if self.random_state is not None:
            model.set_params(random_state=self.random_state)
        self.model_ = model.fit(X)
        self.n_features_in_ = model.n_features_in_
        if hasattr(model, "feature_names_in_"):
            self.feature_names_in_ = model.feature_names_in_
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(_gaps(X))
        return self

    def transform(self, X: Any) -> Any:
        """Return X with its missing values filled, of the kind that X is; an array for a list of rows.

        With ``add_indicator`` truth values (0 and 1 in an array of numbers) stand behind the columns of X.
        """
        check_is_fitted(self)
        filled = self.model_.impute(X, n_draws=self.n_draws, average=True, random_state=self.random_state)
        if self.indicator_ is not None:
            filled = _appended(filled, self.indicator_.transform(_gaps(X)), self._flag_names)
        return np.asarray(filled) if isinstance(filled, list) else filled

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the columns, shape (d,); of the appended ones missingindicator_NAME."""
        check_is_fitted(self)
        names = self.model_.get_feature_names_out(input_features)
        if self.indicator_ is None:
            return names
        return np.concatenate([names, np.asarray(self._flag_names, dtype=object)])

    @property
    def _flag_names(self) -> list[str]:
        """The names of the appended columns, none of them one of X."""
        assert self.indicator_ is not None
        own = self.model_.get_feature_names_out()
        names = list(map(str, self.indicator_.get_feature_names_out(own)))
        while set(names) & set(own):
            names = [f"{name}_" for name in names]
        return names

    def __sklearn_tags__(self) -> Any:
        return allow_any_columns(super().__sklearn_tags__())


def _gaps(X: Any) -> NDArray[np.float64]:
    """Return NaN where a value of X (n, d) is missing, whatever stands for it, and 0 elsewhere."""
    return np.where(read_frame(X).data.isna(), np.nan, 0.0)


def _appended(table: Any, flags: NDArray[np.bool_], names: Sequence[str]) -> Any:
    """Return a table with truth values (n, k) behind its columns, with names where these have some."""
    import pandas as pd

    frame = read_frame(table)
    own, count = frame.container, flags.shape[1]
    d = len(own.names)
    new = tuple(names) if own.has_names else tuple(range(d, d + count))
    columns = [frame.data.iloc[:, j].reset_index(drop=True) for j in range(d)]
    columns += [pd.Series(flags[:, i]) for i in range(count)]
    return own.widened(new, "|b1").assemble(columns, frame.index)
