r"""What is a diffusion model to those who know scikit-learn? ``fit``, ``sample``, ``score_samples``.

Rows of a table become coordinates (:mod:`diffuscope.data.tables`), among them those of ``y``. One network is
trained on them that can be told which are known and which absent (:mod:`diffuscope.diffusion.masked`), and so

* samples rows, rows of a class, or rows some of whose columns are given;
* fills holes by draws from the law of what is missing, given the rest;
* has a density, of whole rows and of rows with holes.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from diffuscope.data.tables import RowCodec, TableData, read_frame
from diffuscope.errors import FormatError, InputError
from diffuscope.modalities.tables.generator import TableGenerator
from diffuscope.modalities.tables.tuning import sizes_for
from diffuscope.model import Model, pick_device
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe, load_recipe
from diffuscope.request import Request
from diffuscope.runs.setup import Setup
from diffuscope.training import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DiffusionModel"]

_SHOWN_ROWS = 2000
_MOST_SEED = 2**31 - 1
_NOTE = "estimator"

Floats = NDArray[np.float64]


class DiffusionModel(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """A diffusion model of the rows of a table.

    Columns may be numbers, integers, truth values, categories, text and times, with holes. It is used as
    :class:`sklearn.mixture.GaussianMixture` is, and can also be asked for rows of which something is known.

    Parameters
    ----------
    steps : int, optional
        Steps of training at most. By the size of the table if left out, as are the next five.
    width, depth : int, optional
        Units of the network's hidden layers, and how many of these there are.
    dropout : float, optional
        Share of these units that are left out at random in training, against learning few rows by heart.
    batch_size : int, optional
    learning_rate : float, optional
    partial : float
        Share of the rows in training of which some columns are known or absent: what ``impute``, ``given``,
        ``y`` and rows with holes are learned from. 0 makes a network for whole rows only.
    categories : {"onehot", "bits"}
        How categories become coordinates; see :mod:`diffuscope.data.tables.columns.categories`. Only
        ``onehot`` has densities.
    early_stopping : bool
        Whether held-out rows decide when training is enough and which weights are kept. Without, small
        tables are learned by heart.
    validation_fraction : float
        Share of the rows that are held out for that.
    sampler : str
        A name from ``diffuscope list samplers``.
    sampling_steps : int
        Steps of a walk from noise to rows.
    guidance : float
        Scale of classifier-free guidance where rows are sampled for a ``y``. 1 is the law itself; more
        makes rows more typical of their ``y``, at the price of variety.
    max_seconds : float, optional
        Shorten the training so that it takes about as long at most.
    warm_start : bool
        Whether ``fit`` goes on with the weights of the last one, and with what columns meant there.
    random_state : int, RandomState or None
        Of training, and of draws for which no other is given.
    verbose : int
        1 shows progress.
    device : str
        auto, cpu, cuda or mps.

    Attributes
    ----------
    model_ : Model
        Denoiser, recipe, and what columns mean.
    n_iter_, best_iter_ : int
        Steps of training that were taken, and the one whose weights were kept.
    validation_loss_ : float or None
        Of those weights, on the held-out rows.
    loss_curve_ : list of (int, float)
        Steps and training loss.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X had names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from diffuscope import DiffusionModel
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = DiffusionModel(steps=20, random_state=0).fit(X, y)
    >>> model.sample(3, y=2).shape
    (3, 4)
    """

    def __init__(
        self,
        *,
        steps: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        dropout: float | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        partial: float = 0.5,
        categories: Literal["onehot", "bits"] = "onehot",
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        sampler: str = "dpmpp_2m",
        sampling_steps: int = 30,
        guidance: float = 1.0,
        max_seconds: float | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        device: str = "auto",
    ) -> None:
        self.steps = steps
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.partial = partial
        self.categories = categories
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.sampler = sampler
        self.sampling_steps = sampling_steps
        self.guidance = guidance
        self.max_seconds = max_seconds
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    # --- fitting -------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the law of rows, and of ``y`` with them.

        Of a table with more rows than training can look at, a random part is taken.

        Parameters
        ----------
        X : DataFrame (pandas, polars), array or list of rows, shape (n, d)
            NaN, None and NaT are missing values.
        y : array_like of shape (n,), optional
            A class or a number per row, by which rows can be sampled. Integers of at most 20 distinct
            values are classes.

        Returns
        -------
        DiffusionModel
            Itself.

        Raises
        ------
        InputError
            When the table or a setting cannot be used; the message names the column and what to do.
        RunError
            When training fails: the loss is not finite.
        """
        n, seed = read_frame(X).n, _draw_seed(self.random_state)
        if n < 2:
            raise InputError(f"The table has one sample only (n_samples = {n}).", "Give at least two rows.")
        start = self.model_ if self.warm_start and hasattr(self, "model_") else None
        rows = RowCodec.fit(X, y, categories=self.categories, seed=seed) if start is None else start.codec
        assert isinstance(rows, RowCodec)
        self._check_features(X, rows, reset=True)
        recipe = self._recipe(n, rows, seed)
        training = recipe.training
        assert training.steps is not None
        X, y = _at_most(round(training.steps * training.batch_size / (1 - training.hold_out)), X, y, n, seed)
        data = TableData.of(X, y, rows=rows, seed=seed)
        setup = Setup(recipe, data, pick_device(self.device), start=start)
        if self.max_seconds is not None:
            changed = recipe.changed({"training.steps": setup.steps_within(self.max_seconds)})
            setup = Setup(changed, data, setup.device, start=start)
        self._train(setup)
        self._generator = TableGenerator(self.model_)
        self._shown, _ = _at_most(_SHOWN_ROWS, X, None, read_frame(X).n, seed)
        return self

    def _recipe(self, n: int, rows: RowCodec, seed: int) -> Recipe:
        """Return the recipe: what suits the table, and on top what was asked for."""
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"max_seconds = {self.max_seconds!r} is not above 0.", "Give a time in seconds.")
        chosen = {
            "network.width": self.width,
            "network.depth": self.depth,
            "network.dropout": self.dropout,
            "training.steps": self.steps,
            "training.batch_size": self.batch_size,
            "training.learning_rate": self.learning_rate,
            "training.hold_out": self.validation_fraction if self.early_stopping else 0.0,
            "denoiser.partial": self.partial,
            "data.categories": self.categories,
            "sampling.name": self.sampler,
            "sampling.steps": self.sampling_steps,
            "seed": seed,
        }
        if not self.partial:
            chosen["denoiser.factors"] = 0
        own = sizes_for(n, rows)
        return load_recipe("table").changed({**own, **{k: v for k, v in chosen.items() if v is not None}})

    def _train(self, setup: Setup) -> None:
        trainer, reporter, begun = setup.trainer(), Reporter(bool(self.verbose)), time.perf_counter()
        self.loss_curve_: list[tuple[int, float]] = []
        with reporter.bar("training", trainer.total_steps, "steps") as bar:

            def follow(now: Progress) -> None:
                self.loss_curve_.append((now.step, now.loss))
                bar.update(now.step, f"loss {now.loss:.4f}")

            trainer.on_progress = follow
            trainer.run()
        trainer.finish()
        held = trainer.held_out
        self.validation_loss_ = None if held is None else held.best[0]
        self.best_iter_ = trainer.step if held is None else held.best[1]
        self.n_iter_ = trainer.step
        self.model_ = setup.model
        reporter.say(
            f"trained on {len(setup.source):,} rows in {time.perf_counter() - begun:.1f} s: "
            f"the weights of step {self.best_iter_:,} of {self.n_iter_:,}"
            + ("" if held is None else f", validation loss {self.validation_loss_:.4f}")
        )

    def _check_features(self, X: Any, rows: RowCodec, reset: bool) -> None:
        """Remember number and names of columns as scikit-learn does, or compare them."""
        names = rows.features.container
        if hasattr(X, "shape") and len(X.shape) == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
        if reset:
            self.n_features_in_ = len(names.names)
            if names.has_names and all(isinstance(name, str) for name in names.names):
                self.feature_names_in_ = np.asarray(names.names, dtype=object)

    # --- asking --------------------------------------------------------------------------------------------

    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
        guidance: float | None = None,
        return_y: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Draw rows.

        Parameters
        ----------
        n_samples : int
        y : scalar or array_like of shape (n_samples,), optional
            Draw rows of this class, or for this number; for none in particular if left out.
        given : mapping, optional
            Names of columns (positions where X had no names) to what is known of them: a value for all
            rows, or one for each. The rest is drawn from its law given these.
        guidance : float, optional
            In place of the model's, see :class:`DiffusionModel`.
        return_y : bool
            Whether to return the y of each row as well; where none is given it is drawn with them.
        random_state : int, RandomState or None
            The model's own if left out.

        Returns
        -------
        table of shape (n_samples, d)
            Of the kind, and with the types, of the X that was fitted.
        array_like of shape (n_samples,)
            With ``return_y``.

        Raises
        ------
        InputError
            When a column, a category or a class is not known, or the model has no y.
        """
        generator = self._fitted()
        if not isinstance(n_samples, int | np.integer) or isinstance(n_samples, bool) or n_samples < 1:
            raise InputError(
                f"Invalid value for 'n_samples': {n_samples!r} rows cannot be drawn.", "Give at least 1."
            )
        if guidance is None and y is not None:
            guidance = self.guidance
        condition = {} if y is None else {"y": y}
        request = dataclasses.replace(self._request(random_state), guidance=guidance)
        request = generator.conditional(
            request, {**condition, "given": given or {}}, n_samples, with_target=return_y
        )
        points = generator.points(n_samples, request, Reporter(bool(self.verbose)))
        X = generator.rows.decode_features(points, generator.given_columns(n_samples, request))
        if not return_y:
            return X
        if generator.rows.target is None:
            raise InputError("This model was fitted without y.", "Fit it with y, or leave return_y out.")
        return X, generator.rows.decode_target(points)

    def score_samples(self, X: Any, y: Any = None) -> Floats:
        """Return the log-density of rows, given their y if there is one.

        Parameters
        ----------
        X : table of shape (n, d)
            What is missing is left out of the density, which is that of the other columns.
        y : array_like of shape (n,), optional

        Returns
        -------
        ndarray of shape (n,), float64
            In nats: per unit of columns of numbers; a probability for integers, times and categories.

        Raises
        ------
        InputError
            When X does not fit, a category was not seen in ``fit``, or categories are coded as bits.
        """
        generator = self._fitted()
        self._check_features(X, generator.rows, reset=False)
        return generator.log_density(X, y)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-density of rows, given their y if there is one; see :meth:`score_samples`."""
        if self._fitted().rows.target is None:
            y = None  # of a y that was not fitted nothing is known
        return float(self.score_samples(X, y).mean())

    def impute(
        self,
        X: Any,
        y: Any = None,
        *,
        n_draws: int = 1,
        average: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Fill missing values by draws from their law given the rest of the row.

        Parameters
        ----------
        X : table of shape (n, d)
        y : array_like of shape (n,), optional
            Known besides.
        n_draws : int
            Filled tables to make: with more than one, their spread shows how sure each value is.
        average : bool
            Return one table, filled by the average of the draws: means of numbers, the most frequent of
            categories. It is nearer to what is missing than a draw, and less varied than the data.
        random_state : int, RandomState or None
            The model's own if left out.

        Returns
        -------
        table of shape (n, d), or list of ``n_draws`` of them
            Of the kind of X, with its index; values that are not missing are handed back unchanged. A list
            where ``n_draws`` is above 1 and they are not averaged.
        """
        generator = self._fitted()
        self._check_features(X, generator.rows, reset=False)
        reporter = Reporter(bool(self.verbose))
        draws = generator.fill(X, y, self._request(random_state), n_draws=n_draws, reporter=reporter)
        if average or n_draws == 1:
            return generator.rows.fill(X, draws)
        return [generator.rows.fill(X, [draw]) for draw in draws]

    def denoise(self, X: Any, noise_std: ArrayLike, *, random_state: Any = None) -> Any:
        """Return what rows are most likely to have been before Gaussian noise was added to their numbers.

        Parameters
        ----------
        X : table of shape (n, d)
            With noise. Columns that are no floats are taken as exact; missing values stay missing.
        noise_std : float or array_like of shape (d,)
            Standard deviation of the noise, in the units of each column.
        random_state : int, RandomState or None
            Where columns are noisy to unlike degrees, noise is added on the way; the model's own if left out.

        Returns
        -------
        table of shape (n, d)
            Of the kind of X: the means of the clean values given the noisy ones, see
            :mod:`diffuscope.modalities.tables.denoising`.
        """
        generator = self._fitted()
        self._check_features(X, generator.rows, reset=False)
        return generator.denoise(X, noise_std, self._request(random_state).seed)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns, shape (d,); x0, x1, ... where they have none."""
        check_is_fitted(self)
        if input_features is not None:
            names = np.asarray(input_features, dtype=object)
            own = getattr(self, "feature_names_in_", None)
            if names.shape != (self.n_features_in_,) or (own is not None and not np.array_equal(names, own)):
                raise InputError(
                    "input_features is not equal to feature_names_in_, or has another number of features.",
                    "Leave it out.",
                )
            return names
        if hasattr(self, "feature_names_in_"):
            return np.asarray(self.feature_names_in_)
        return np.asarray([f"x{j}" for j in range(self.n_features_in_)], dtype=object)

    def plot(self, X: Any = None, *, columns: Any = None, random_state: Any = None) -> Figure:
        """Show real rows and as many synthetic ones, all pairs of columns.

        Parameters
        ----------
        X : table of shape (n, d), optional
            Real rows; by default up to 2,000 of those that were fitted, which a model that was loaded from a
            file no longer has.
        columns : list, optional
            The columns to show; the most telling ones by default.
        random_state : int, RandomState or None
        """
        from diffuscope.plots import plot_pairs

        rows = self._fitted().rows
        X = getattr(self, "_shown", None) if X is None else X
        if X is None:
            raise InputError("This model no longer has rows it was fitted to.", "Hand some over: plot(X).")
        frame = rows.features.aligned(X).data
        synthetic = read_frame(self.sample(len(frame), random_state=random_state)).data
        figure: Figure = plot_pairs(frame, synthetic, columns)
        return figure

    # --- keeping -------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the model to a .safetensors file: numbers and text, no code, none of the rows.

        Raises
        ------
        RunError
            When it cannot be written; nothing is overwritten then.
        """
        model = self._fitted().model
        settings = {key: value for key, value in self.get_params(deep=False).items() if _is_plain(value)}
        path = Path(path)
        path = path if path.suffix else path.with_suffix(".safetensors")
        model.notes = {**model.notes, _NOTE: json.dumps(settings)}
        model.save(path)
        return path

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> Self:
        """Read a model that :meth:`save` wrote, or that of a run directory of ``diffuscope train``.

        Raises
        ------
        InputError
            When there is no such file, or it is no model of a table.
        FormatError
            When the file is damaged.
        """
        path = Path(path)
        model = Model.load(path / "model.safetensors" if path.is_dir() else path, device=device)
        if not isinstance(model.codec, RowCodec):
            raise InputError(
                f"{path} is a model of {model.codec.kind}, not of a table.",
                "Open it with diffuscope.load(RUN).",
            )
        own = cls()
        try:
            settings = json.loads(model.notes.get(_NOTE, "{}"))
            own.set_params(**{**settings, "device": device})
            own._recipe(2, model.codec, 0)  # settings that cannot be are refused here
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError(
                f"{path} does not hold the settings of a model: {error}.", "Take another copy of it."
            ) from error
        own.model_ = model
        own._generator = TableGenerator(model)
        own._check_features(None, model.codec, reset=True)
        return own

    def __getstate__(self) -> dict[str, Any]:
        """Leave the rows out that are only there to be shown."""
        state = dict(super().__getstate__())
        state.pop("_shown", None)
        return state

    def _fitted(self) -> TableGenerator:
        check_is_fitted(self)
        return self._generator

    def _request(self, random_state: Any) -> Request:
        """Return how rows are drawn."""
        state = self.random_state if random_state is None else random_state
        return Request(sampler=self.sampler, steps=self.sampling_steps, seed=_draw_seed(state))

    def __sklearn_tags__(self) -> Any:
        """Say what scikit-learn may expect: missing values, categories, text."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _draw_seed(random_state: Any) -> int:
    return int(check_random_state(random_state).randint(_MOST_SEED))


def _at_most(count: int, X: Any, y: Any, n: int, seed: int) -> tuple[Any, Any]:
    """Return a random part of so many rows, in their order, where there are more."""
    if n <= count:
        return X, y
    chosen = np.sort(np.random.default_rng(seed).choice(n, count, replace=False))
    return _safe_indexing(X, chosen), None if y is None else _safe_indexing(y, chosen)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
