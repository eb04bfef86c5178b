"""What is a diffusion model as a scikit-learn estimator? ``fit``, ``sample``, ``score_samples``.

Rows of a table become coordinates (:mod:`diffuscope.data.tables`), among them those of ``y``. One network is
trained on them, with masks of known and absent coordinates (:mod:`diffuscope.diffusion.masked`).
"""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from diffuscope.data.tables import RowCodec, TableData, read_frame
from diffuscope.data.tables.columns.weights import effective_rows, even_places, read_weights
from diffuscope.data.tables.constraints import Check
from diffuscope.data.tables.dataset import few_rows_note
from diffuscope.data.tables.panels import panel_note
from diffuscope.data.tables.targets import read_target
from diffuscope.errors import FormatError, InputError
from diffuscope.estimator.subsets import SHOWN_ROWS, at_most, rows_at, shown_rows
from diffuscope.modalities.tables.filling import Only, read_only
from diffuscope.modalities.tables.generator import TableGenerator
from diffuscope.modalities.tables.modality import TABLE
from diffuscope.modalities.tables.tuning import sizes_for
from diffuscope.model import Model, pick_device
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe, load_recipe
from diffuscope.request import Request
from diffuscope.runs.plan import decided
from diffuscope.runs.setup import Setup
from diffuscope.training import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DiffusionModel"]

_MOST_SEED = 2**31 - 1
_NOTE = "estimator"
_PLAIN = (type(None), bool, int, float, str)
_LONG = 200  # steps of a training whose held-out loss says something
_STILL = 0.05
_REFINING = 0.3  # of the time that a fit may take
_FEWEST_TOLD_APART = 50  # rows
_APART = 0.05  # accuracy above that of chance at which trees tell samples from data
_NOTHING_LEARNED = (
    "The loss on held-out rows did not fall, so the model is about the Gaussian copula of the columns, with "
    "which training starts, and trees tell its rows from the data. Use more rows, fewer columns, another "
    "learning_rate, or more dropout."
)
_STEPS_RAN_OUT = "The loss on held-out rows still fell when the steps ran out; more may help: steps={steps}."

Floats = NDArray[np.float64]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class DiffusionModel(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """A diffusion model of the rows of a table.

    Columns may be numbers, integers, booleans, categories, text and times, with missing values. It is used
    like :class:`sklearn.mixture.GaussianMixture`, and can also sample rows given some of their columns.

    Parameters
    ----------
    steps : int, optional
        Maximum number of training steps; by default, like the next five, chosen by the size of the table.
    width, depth : int, optional
        Units of each hidden layer of the network, and number of hidden layers.
    dropout : float, optional
        Dropout rate, against memorising small tables.
    batch_size : int, optional
    learning_rate : float, optional
    partial : float
        Share of the training rows with masked columns (known or absent), from which ``impute``, ``given``,
        ``y`` and rows with missing values are learned. 0: complete rows only.
    categories : {"onehot", "bits"}
        How categories become coordinates; see :mod:`diffuscope.data.tables.columns.categories`. Only
        ``onehot`` has densities.
    early_stopping, validation_fraction : bool, float
        Whether held-out rows, this share of all, decide when training stops and which weights are kept.
        Without it, small tables are memorised.
    sampler, sampling_steps : str, int
        A name from ``diffuscope list samplers``, and the number of steps.
    guidance : float
        Scale of classifier-free guidance for rows sampled given ``y``. 1 is the distribution itself; more
        makes rows more typical of their ``y``, and less diverse.
    refine : bool
        Whether rows are refined, once the network is trained: exact relations between columns, and trees that
        tell rows of the model from the data; see :mod:`diffuscope.modalities.tables.refinement`.
    constraints : list of str or callable, optional
        What holds in every row: ``"start < end"``, ``"a + b <= 100"``, ``"total == a + b"``, with names that
        are not Python's in backticks, or a function of a pandas DataFrame that returns a truth value for each
        row. A column that an equality gives is computed; rows that break another one are drawn again.
    max_seconds : float, optional
        Approximate limit of the training time.
    warm_start : bool
        Whether ``fit`` continues from the weights and the column encodings of the last ``fit``.
    random_state : int, RandomState or None
        Of training, and of draws without their own.
    verbose : int, optional
        1 shows progress, 0 does not; by default it is shown in a notebook and on a terminal.
    device : str
        auto, cpu, cuda or mps.

    Attributes
    ----------
    model_ : Model
        Denoiser, recipe and column encodings.
    n_iter_, best_iter_ : int
        Number of training steps, and the step whose weights were kept.
    validation_loss_ : float or None
        Loss of those weights on the held-out rows.
    loss_curve_ : list of (int, float)
        Steps and training loss.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns, and their names where X had some.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from diffuscope import DiffusionModel
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = DiffusionModel(steps=20, random_state=0).fit(X, y)
    >>> model.sample(3, y=2).shape
    (3, 4)
    """

    steps: int | None = None
    width: int | None = None
    depth: int | None = None
    dropout: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    partial: float = 0.5
    categories: Literal["onehot", "bits"] = "onehot"
    early_stopping: bool = True
    validation_fraction: float = 0.1
    sampler: str = "dpmpp_2m"
    sampling_steps: int = 15
    guidance: float = 1.0
    refine: bool = True
    constraints: Any = None
    max_seconds: float | None = None
    warm_start: bool = False
    random_state: Any = None
    verbose: int | None = None
    device: str = "auto"

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the distribution of rows, and of ``y`` with them.

        A table with more rows than training can use is subsampled at random.

        Parameters
        ----------
        X : DataFrame (pandas, polars), array or list of rows, shape (n, d)
            NaN, None and NaT are missing values.
        y : array_like of shape (n,), optional
            A class or a number per row, by which rows can be sampled. Integers of at most 20 distinct
            values are classes.
        sample_weight : array_like of shape (n,), optional
            How many rows each row stands for, such as the weights of a survey: finite, at least 0. The law
            that is learned is that of the table in which they are repeated so often, but no value becomes a
            heap by its weight.

        Raises
        ------
        InputError
            When the table or a setting cannot be used; the message names the column and what to do.
        RunError
            When training fails: the loss is not finite.
        """
        n, seed = read_frame(X).n, _draw_seed(self.random_state)
        weights = read_weights(sample_weight, n)
        if y is not None:
            read_target(y, n)
        if weights is not None and not weights.all():
            X, y, weights = rows_at(np.flatnonzero(weights), X, y, weights)
            n = len(weights)
        if n < 2:
            raise InputError(f"The table has only one sample (n_samples = {n}).", "Give at least two rows.")
        start = self.model_ if self.warm_start and hasattr(self, "model_") else None
        texts, checks = self._constraints
        settings: Any = {"categories": self.categories, "seed": seed, "weights": weights}
        rows = RowCodec.fit(X, y, **settings, constraints=texts) if start is None else start.codec
        assert isinstance(rows, RowCodec)
        if rows.constraints != texts:
            raise InputError("A warm start cannot have other constraints.", "Fit anew: warm_start=False.")
        _warn_of_broken(rows, checks, X)
        for note in (few_rows_note(n), panel_note(rows.features.aligned(X).data)):
            if note is not None:
                warnings.warn(note, UserWarning, stacklevel=2)
        self._check_features(X, rows, reset=True)
        recipe = self._recipe(effective_rows(weights, n), rows, seed)
        training = recipe.training
        assert training.steps is not None
        most = round(training.steps * training.batch_size / (1 - training.hold_out))
        X, y, weights = at_most(most, X, y, weights, n, seed)
        data = TableData.of(X, y, rows=rows, seed=seed, weights=weights)
        device = pick_device(self.device)
        recipe = decided(recipe, device)
        setup = Setup(recipe, data, device, start=start)
        if self.max_seconds is not None:
            steps = setup.steps_within(self.max_seconds * (1 - _REFINING * self.refine))
            changed = recipe.changed({"training.steps": steps})
            setup = Setup(changed, data, device, start=start)
        self._train(setup)
        seconds = None if self.max_seconds is None else self.max_seconds * _REFINING
        for line in TABLE.complete(self.model_, data, self._reporter, seconds):
            self._reporter.say(line)
        self._generator = TableGenerator(self.model_, checks)
        self._shown = shown_rows(X, weights, read_frame(X).n, seed)
        return self

    def _recipe(self, n: int, rows: RowCodec, seed: int) -> Recipe:
        """Return the recipe: sizes for the table, then the parameters that were set."""
        if self.max_seconds is not None and not self.max_seconds > 0:
            what = f"max_seconds must be above 0, not {self.max_seconds!r}."
            raise InputError(what, "Give a time in seconds.")
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
            "data.refine": self.refine,
            "data.constraints": rows.constraints or None,
            "sampling.name": self.sampler,
            "sampling.steps": self.sampling_steps,
            "seed": seed,
        }
        if not self.partial:
            chosen["denoiser.factors"] = 0
        set_here = {key: value for key, value in chosen.items() if value is not None}
        return load_recipe("table").changed({**sizes_for(n, rows), **set_here})

    @property
    def _constraints(self) -> tuple[tuple[str, ...], tuple[Check, ...]]:
        """The constraints that are text, and those that are functions."""
        given = self.constraints or ()
        given = [given] if isinstance(given, str) or callable(given) else list(given)
        odd = [one for one in given if not isinstance(one, str) and not callable(one)]
        if odd:
            raise InputError(
                f"A constraint is text or a function of a DataFrame, and {odd[0]!r} is neither.",
                "Write 'start < end', for example.",
            )
        texts = tuple(one for one in given if isinstance(one, str))
        return texts, tuple(Check(one) for one in given if callable(one))

    def _train(self, setup: Setup) -> None:
        trainer, reporter, begun = setup.trainer(), self._reporter, time.perf_counter()
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
        self.n_iter_, self.model_ = trainer.step, setup.model
        if held is not None and trainer.total_steps >= _LONG:
            if not held.fell and self._is_told_apart(setup):
                warnings.warn(_NOTHING_LEARNED, UserWarning, stacklevel=3)
            elif self.n_iter_ == trainer.total_steps and _still_falls(held.history):
                reporter.say(_STEPS_RAN_OUT.format(steps=2 * self.n_iter_))
        reporter.say(
            f"trained on {len(setup.source):,} rows in {time.perf_counter() - begun:.1f} s: "
            f"the weights of step {self.best_iter_:,} of {self.n_iter_:,}"
            + ("" if held is None else f", validation loss {self.validation_loss_:.4f}")
        )

    def _is_told_apart(self, setup: Setup) -> bool:
        """Whether boosted trees tell coordinates of samples from those of data, beyond chance."""
        from diffuscope.metrics import classifier_two_sample

        generator, seed = TableGenerator(self.model_), setup.recipe.seed
        x = np.nan_to_num(setup.data.x)  # what is missing is among the coordinates
        weights = getattr(setup.data, "weights", None)
        if weights is not None:
            x = x[even_places(weights, effective_rows(weights, len(x)))]
        n = min(len(x), SHOWN_ROWS)
        if n < _FEWEST_TOLD_APART:
            return False
        request = dataclasses.replace(self._request(None), seed=seed)
        made = np.concatenate([x.numpy() for x in generator.unconstrained(n, request)])
        return classifier_two_sample(x, made, seed=seed % 2**31).low > 0.5 + _APART

    def _check_features(self, X: Any, rows: RowCodec, reset: bool) -> None:
        """Remember number and names of columns as scikit-learn does, or compare them."""
        names = rows.features.container
        if hasattr(X, "shape") and len(X.shape) == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
        if reset:
            self.n_features_in_ = len(names.names)
            if names.has_names and all(isinstance(name, str) for name in names.names):
                self.feature_names_in_ = np.asarray(names.names, dtype=object)

    def sample(
        self,
        n_samples: int = 1,
        y: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
        missing: Literal["modelled", "none"] = "modelled",
        guidance: float | None = None,
        return_y: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Draw rows.

        Parameters
        ----------
        n_samples : int
        y : scalar or array_like of shape (n_samples,), optional
            Class or number to condition on; unconditional by default.
        given : mapping, optional
            Names of columns (positions where X had no names) to their known values: one for all rows, or
            one for each. The other columns are drawn from their distribution given these.
        missing : {"modelled", "none"}
            Whether values are missing as in the training rows, where a cause of death is missing for the
            living, or none are.
        guidance : float, optional
            In place of the model's, see :class:`DiffusionModel`.
        return_y : bool
            Whether to return the y of each row too; without a given y it is sampled with the rows.
        random_state : int, RandomState or None
            The model's own by default.

        Returns
        -------
        table of shape (n_samples, d), and with ``return_y`` an array_like of shape (n_samples,)
            Of the kind, and with the types, of the X that was fitted.

        Raises
        ------
        InputError
            When a column, a category or a class is not known, or the model has no y.
        RunError
            When too few rows keep the constraints; it names the one that fewest keep.
        """
        generator = self._fitted()
        if not isinstance(n_samples, int | np.integer) or isinstance(n_samples, bool) or n_samples < 1:
            raise InputError(
                f"Invalid value for 'n_samples': it must be at least 1, not {n_samples!r}.",
                "Give at least 1.",
            )
        if guidance is None and y is not None:
            guidance = self.guidance
        condition = {"given": given or {}, "missing": missing, **({} if y is None else {"y": y})}
        request = dataclasses.replace(self._request(random_state), guidance=guidance)
        request = generator.conditional(request, condition, n_samples, with_target=return_y)
        points = generator.points(n_samples, request, self._reporter)
        known = generator.given_columns(n_samples, request)
        X = generator.rows.decode_features(points, known, seed=request.seed, exact=True)
        if not return_y:
            return X
        if generator.rows.target is None:
            raise InputError("This model was fitted without y.", "Fit with y, or omit return_y.")
        return X, generator.rows.decode_target(points, known, exact=True)

    def score_samples(
        self, X: Any, y: Any = None, *, missing: Literal["modelled", "ignored"] = "modelled"
    ) -> Floats:
        """Return the log-density (n,) of rows X (n, d), given their y (n,) if there is one.

        It is in nats: per unit of columns of numbers; a probability for integers, times and categories.
        Missing values are marginalised out: the density is that of the other columns, times the probability
        that these values are missing, where some were in training and that is not ``ignored``. A category
        that was not seen in training has the probability of any new one, (s + 1) / (n + 2) where s of n rows
        were the only ones of theirs; a warning tells of them. Where y was not seen, the density is that of
        the row alone.

        Raises
        ------
        InputError
            When X has other columns, or categories are encoded as bits.
        """
        return self._fitted(X).log_density(X, y, missing)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-density of rows, given their y if there is one; see :meth:`score_samples`."""
        if self._fitted().rows.target is None:
            y = None  # a y that was not fitted is ignored
        return float(self.score_samples(X, y).mean())

    def impute(
        self,
        X: Any,
        y: Any = None,
        *,
        n_draws: int = 1,
        average: bool = False,
        only: Only = None,
        random_state: Any = None,
    ) -> Any:
        """Impute missing values by draws from their distribution given the rest of the row.

        Parameters
        ----------
        X : table of shape (n, d)
        y : array_like of shape (n,), optional
            The target, if known.
        n_draws : int
            Number of imputed tables; their variation shows the uncertainty.
        average : bool
            Return one table, filled with the mean of the draws (categories: the most frequent). It is nearer
            to the missing values than a draw, and less diverse than the data.
        only : "existing" or list of names, optional
            Fill only values that exist by the model's draw: a missing value that means "none" stays missing.
            Or only the missing values of these columns; what is missing in others then is meant to be. By
            default all are filled.
        random_state : int, RandomState or None
            The model's own by default.

        Returns
        -------
        table of shape (n, d), or list of ``n_draws`` of them if above 1 and not averaged
            Of the kind of X, with its index; values that are not missing are unchanged. Categories that were
            not seen in training are among these: they tell nothing of what is filled, and a warning says so.
        """
        generator, request = self._fitted(X), self._request(random_state)
        draws = generator.filling.draws(
            X, y, request, n_draws=n_draws, average=average, only=only, reporter=self._reporter
        )
        _, columns = read_only(only)
        if average or n_draws == 1:
            return generator.rows.fill(X, draws, columns)
        return [generator.rows.fill(X, [draw], columns) for draw in draws]

    def probability_of_existing(self, X: Any, y: Any = None) -> Floats:
        """Return for each cell of X (n, d) the probability that it has a value, given the rest of the row.

        It is 1 where there is a value, and in columns where none was missing in training. Where a value is
        missing, a small probability says that this means "none".
        """
        return self._fitted(X).probability_of_existing(X, y)

    def denoise(self, X: Any, noise_std: ArrayLike, *, random_state: Any = None) -> Any:
        """Return the means of rows before Gaussian noise was added to their numbers.

        Parameters
        ----------
        X : table of shape (n, d)
            With noise. Columns other than floats are taken as exact; missing values stay missing.
        noise_std : float or array_like of shape (d,)
            Standard deviation of the noise, in the units of each column.
        random_state : int, RandomState or None
            Used where the noise of columns differs, as noise is added then; the model's own by default.

        Returns
        -------
        table of shape (n, d)
            Of the kind of X, see :mod:`diffuscope.modalities.tables.denoising`.
        """
        return self._fitted(X).denoise(X, noise_std, self._request(random_state).seed)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns, shape (d,); x0, x1, ... where they have none."""
        check_is_fitted(self)
        own = getattr(self, "feature_names_in_", None)
        if input_features is None:
            made = [f"x{j}" for j in range(self.n_features_in_)]
            return np.asarray(made if own is None else own, dtype=object)
        names = np.asarray(input_features, dtype=object)
        if names.shape != (self.n_features_in_,) or (own is not None and not np.array_equal(names, own)):
            raise InputError(
                "input_features is not equal to feature_names_in_, or has another number of features.",
                "Omit it.",
            )
        return names

    def plot(self, X: Any = None, *, columns: Any = None, random_state: Any = None) -> Figure:
        """Show real rows and as many synthetic ones, all pairs of columns.

        Real rows are X (n, d), by default up to 2,000 of the training rows, which a loaded model does not
        have; ``columns`` a list, by default of the most informative ones.
        """
        from diffuscope.plots import plot_pairs

        rows = self._fitted().rows
        X = getattr(self, "_shown", None) if X is None else X
        if X is None:
            what = "The training rows are not stored with a loaded model."
            raise InputError(what, "Pass real rows: plot(X).")
        frame = rows.features.aligned(X).data
        synthetic = read_frame(self.sample(len(frame), random_state=random_state)).data
        hidden = list(rows.identifiers)
        figure: Figure = plot_pairs(frame.drop(columns=hidden), synthetic.drop(columns=hidden), columns)
        return figure

    def save(self, path: str | Path) -> Path:
        """Write the model to a .safetensors file, whole or not at all: numbers and text, no code, no rows.

        Constraints that are text are written too. A warning says where there are functions, which are not.
        """
        generator = self._fitted()
        model = generator.model
        lost = [rule.text for rule in generator.redrawn.rules if isinstance(rule, Check)]
        if lost:
            warnings.warn(
                f"A function is not saved, so the file lacks the constraint {', '.join(lost)}.",
                UserWarning,
                stacklevel=2,
            )
        params = self.get_params(deep=False)
        settings = {key: value for key, value in params.items() if isinstance(value, _PLAIN)}
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
        InputError, FormatError
            When there is no such file, it is not a model of a table, or it is damaged.
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
            own._recipe(2, model.codec, 0)  # raises where settings are not valid
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise FormatError(
                f"{path} is not a valid model file: {error}.",
                "Restore a copy, or fit and save the model again.",
            ) from error
        own.constraints = list(model.codec.constraints) or None
        own.model_ = model
        own._generator = TableGenerator(model)
        own._check_features(None, model.codec, reset=True)
        return own

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the rows that only plots use."""
        return {name: value for name, value in super().__getstate__().items() if name != "_shown"}

    def _fitted(self, X: Any = None) -> TableGenerator:
        """Return the generator of the fitted model, once the columns of X are compared with its own."""
        check_is_fitted(self)
        if X is not None:
            self._check_features(X, self._generator.rows, reset=False)
        return self._generator

    @property
    def _reporter(self) -> Reporter:
        return Reporter(None if self.verbose is None else bool(self.verbose))

    def _request(self, random_state: Any) -> Request:
        """Return the request for sampling rows."""
        state = self.random_state if random_state is None else random_state
        return Request(sampler=self.sampler, steps=self.sampling_steps, seed=_draw_seed(state))

    def __sklearn_tags__(self) -> Any:
        return allow_any_columns(super().__sklearn_tags__())


def _warn_of_broken(rows: RowCodec, checks: tuple[Check, ...], X: Any) -> None:
    """Say which constraints the training rows break, and how many of them."""
    if not rows.constraints and not checks:
        return
    for text, share in rows.shares_kept(rows.features.aligned(X).data, checks).items():
        if share < 1:
            warnings.warn(
                f"{1 - share:.2%} of the rows break the constraint {text!r}; no sampled row will.",
                UserWarning,
                stacklevel=3,
            )


def _still_falls(history: list[tuple[int, float]]) -> bool:
    """Return whether a noticeable part of the fall of the loss came in the last quarter of the run."""
    losses = [loss for _, loss in history]
    late = losses[3 * len(losses) // 4]
    return late - losses[-1] > _STILL * (losses[0] - losses[-1])


def allow_any_columns(tags: Any) -> Any:
    """Return tags of scikit-learn with missing values, categories and text."""
    tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
    return tags


def _draw_seed(random_state: Any) -> int:
    return int(check_random_state(random_state).randint(_MOST_SEED))
