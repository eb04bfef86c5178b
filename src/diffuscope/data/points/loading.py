"""How does whatever a user calls data become one kind of object: points, names, and fresh draws if any.

A :class:`Dataset` holds x of shape (n, d) in the user's own units. ``draw`` gives further independent
draws of the same law where that law is known (built-in sets, one's own generator); metrics take their
floor, real against real, from it.
"""

from __future__ import annotations

import inspect
import math
import operator
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from diffuscope.data.base import Dataset, describe_file
from diffuscope.data.columnar.arrays import Columns, Table, as_table
from diffuscope.data.columnar.reading import read_rows, read_table
from diffuscope.data.conditions import Kind, Labels, labels_of, named_columns
from diffuscope.data.packs import MAIN, Pack, check_no_target, is_pack, read_pack
from diffuscope.data.points.large import gathered, large_array, load_large, mapped
from diffuscope.data.points.toy import FRESH_DRAWS, POINT_SETS, draw_points
from diffuscope.errors import DiffuscopeError, FormatError, InputError, unknown_name

__all__ = ["load_dataset"]

Generate = Callable[[int, np.random.Generator], npt.ArrayLike]

_GENERATED_SIZE = 10_000
_LABELS = ("y", "labels")  # arrays of an archive with the labels of its points
_ABOUT = ("x", "columns", "classes", "numbers")  # what else it has of them


def load_dataset(
    source: Any,
    *,
    size: int | None = None,
    noise: float | None = None,
    seed: int = 0,
    labels: Any = None,
    target: str | Sequence[str] | None = None,
    condition: Kind | None = None,
    constant: bool = False,
) -> Dataset:
    """Turn ``source`` into a :class:`Dataset`.

    Parameters
    ----------
    source : str, path, array-like, DataFrame, callable or Dataset
        A name in :data:`POINT_SETS`; a .csv, .tsv, .parquet, .arrow, .npy or .npz file; points that were
        packed; numbers of shape (n, d) or (n,), which counts as (n, 1); a function ``f(n, rng) -> (n, d)`` of
        a ``numpy.random.Generator`` that draws n points; or a Dataset, which is returned as it is.
    size : int, optional
        Number of points, at least 2. Default: 10,000 for built-in sets and generators, all rows for one's
        own data, of which a smaller size takes a random subset in the original order.
    noise : float, optional
        Standard deviation of the Gaussian noise of a built-in set, in the units of its points.
    seed : int
        From 0 to 2³² - 1. The same seed gives the same points.
    labels : array_like of shape (n,) or (n, k), optional
        Labels of the points of an array or a DataFrame: classes (whole numbers, truth values or text), or
        numbers that were measured, one or k for each point.
    target : str or sequence of str, optional
        The column of a file or a DataFrame, or the array of a .npz archive, with the labels, or several
        columns with numbers, also as one text with commas. By default the array ``y`` or ``labels`` of an
        archive, where it has one beside ``x``.
    condition : {"classes", "numbers"}, optional
        What labels are; by default numbers if some are not whole, or there are several for a point.
    constant : bool
        Whether columns of an array may have one value, as the border of images has.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        For a name or a file that is not there, an argument that does not apply, or data that cannot be
        modelled: missing, infinite, constant, text.
    FormatError
        For a file that is corrupt, truncated or foreign.

    Examples
    --------
    >>> import diffuscope
    >>> data = diffuscope.load_dataset("s_curve", size=500)
    >>> data.name, data.x.shape
    ('s_curve', (500, 2))
    """
    seed = _check_seed(seed)
    size = None if size is None else _check_size(size)
    named = isinstance(source, str) and source in POINT_SETS
    if labels is not None and (named or isinstance(source, str | os.PathLike | Dataset) or callable(source)):
        raise InputError(
            "Labels can be given for an array of points only.",
            "Name the column or array of a file that has them: target=..., --target NAME.",
        )
    if target is not None and (named or isinstance(source, Dataset) or callable(source)):
        raise InputError(
            'target names a column of a table (kind = "table"), or the labels of points in a file.',
            "Omit it: this data has no columns.",
        )
    if isinstance(source, str) and source in POINT_SETS:
        return _load_builtin(source, size, noise, seed)
    if noise is not None:
        raise InputError(
            "noise applies to the built-in point sets only, not to your own data.",
            "Omit it, or add the noise to the data yourself.",
        )
    if isinstance(source, Dataset):
        if size is not None:
            raise InputError("size does not apply to a Dataset, which is loaded already.", "Omit it.")
        return source
    if isinstance(source, str | os.PathLike):
        return _load_file(source, size, seed, target, condition)
    if callable(source):
        return _load_callable(source, size or _GENERATED_SIZE, seed)
    called = None
    if target is not None:
        source, labels, called = _apart(source, target, labels)
    if (large := large_array(source)) is not None and not constant:
        about = {"kind": "array", "shape": list(large.shape)}
        return _large(large, None, "array", size, seed, "The array", about, labels, condition, called)
    x, columns = as_table(source, "The array", constant=constant)
    labelled = Labels() if labels is None else labels_of(labels, len(x), "The labels", condition, called)
    source = {"kind": "array", "shape": list(x.shape)}
    return _own("array", x, columns, size, seed, "The array", source, labelled)


def _apart(frame: Any, target: str | Sequence[str], labels: Any = None) -> tuple[Any, Any, tuple[str, ...]]:
    """Return a table without its target, the target, and the names of its columns."""
    names = [str(name) for name in getattr(frame, "columns", ())]
    if labels is not None:
        raise InputError("Labels and a target were both given.", "Give one of them.")
    if not names:
        raise InputError(
            "An array has no columns with names, so none can be the target.", "Give the labels: y=..."
        )
    called = named_columns(target, names)
    own = [frame.columns[names.index(name)] for name in called]
    return frame.drop(columns=own), frame[own[0] if len(own) == 1 else own], tuple(called)


def _load_builtin(name: str, size: int | None, noise: float | None, seed: int) -> Dataset:
    points = POINT_SETS[name]
    size = points.size if size is None else size
    noise = points.noise if noise is None else _check_noise(noise)
    x = points.function(size, noise, np.random.RandomState(seed))
    description = {"kind": "builtin", "name": name, "size": size, "noise": noise, "seed": seed}
    return Dataset(name, x, None, partial(draw_points, name, noise), description)


def _load_file(
    source: str | os.PathLike[str],
    size: int | None,
    seed: int,
    target: str | Sequence[str] | None,
    condition: Kind | None,
) -> Dataset:
    path = Path(source)
    # A bare word is a misspelt set; a suffix or a folder in it makes it a path.
    if isinstance(source, str) and not path.exists() and not path.suffix and path.name == source:
        raise unknown_name("data set", source, POINT_SETS)
    if is_pack(path):
        pack = read_pack(path)
        if pack.kind == "points":
            check_no_target(path, pack, target)
            return _load_pack(path, pack, size, seed)
        if pack.kind == "table":
            path = path / MAIN["table"]
    archive = path.suffix.lower() == ".npz"
    labelled, where = Labels(), f"The labels in {path}"
    note: tuple[str, ...] = ()
    if target is None and (values := mapped(path)) is not None:
        about = {"kind": "file", "path": str(path)}
        return _large(values, None, path.stem, size, seed, str(path), about, path=path)
    if (whole := gathered(path, target)) is not None:
        values, names_of_columns, given, called = whole
        about = {"kind": "file", "path": str(path)}
        return _large(
            values, names_of_columns, path.stem, size, seed, str(path), about, given, condition, called, path
        )
    if target is not None and not archive:
        frame, labels, called = _apart(read_rows(path), target)
        x, columns = as_table(frame, str(path))
        labelled = labels_of(labels, len(x), where, condition, called)
    else:
        x, columns = read_table(path)
    if archive:
        labels, names, note = _labels_in(path, target)
        if labels is not None:
            labelled = labels_of(labels, len(x), where, "numbers" if names else condition, names)
    own = _own(path.stem, x, columns, size, seed, str(path), describe_file(path), labelled)
    return replace(own, notes=note) if note else own


def _load_pack(path: Path, pack: Pack, size: int | None, seed: int) -> Dataset:
    """Return packed points with their labels."""
    file, labels = path / MAIN["points"], pack.labels(path)
    kind: Kind = "classes" if pack.classes else "numbers"
    about = {"kind": "file", "path": str(path), "sha256": pack.digest}
    labelled = Labels()
    if labels is not None and pack.classes:
        labels = np.array(pack.classes, dtype=object)[labels.astype(np.int64)]
    if labels is not None:
        labelled = labels_of(labels, pack.n, f"The labels of {path}", kind, pack.numbers or None)
    name = path.resolve().name
    if (values := mapped(file)) is not None:
        if size is not None:
            called = pack.numbers or None
            return _large(values, pack.columns, name, size, seed, str(path), about, labels, kind, called)
        return load_large(values, pack.columns, name, str(path), seed, about, labelled)
    x, _ = as_table(read_table(file)[0], str(path), pack.columns)
    if len(x) != pack.n:
        raise FormatError(f"{file} has {len(x):,} rows, not {pack.n:,}.", "Pack the data again.")
    return _own(name, x, pack.columns, size, seed, str(path), about, labelled)


def _labels_in(
    path: Path, target: str | Sequence[str] | None
) -> tuple[Any, tuple[str, ...] | None, tuple[str, ...]]:
    """Return the labels in an archive that has points, if there are some, their names, and what was not used.

    They have names where the archive says that they are numbers.
    """
    if target is not None and not isinstance(target, str):
        raise InputError("The labels of an archive are one array.", "Name one, of shape (n, k).")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            names = list(archive.files)
            if target is not None and target not in names:
                raise unknown_name("array", target, names)
            if "x" not in names:
                return (None if target is None else archive[target]), None, ()
            name = target or next((one for one in _LABELS if one in names), None)
            labels = None if name is None else archive[name]
            known = "numbers" in names and target is None
            called = tuple(map(str, np.atleast_1d(archive["numbers"]))) if known else None
    except DiffuscopeError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} cannot be read: {error}.", "Write it again.") from error
    rest = [one for one in names if one not in (*_ABOUT, name)]
    said = [] if name is None else [f"The array {name!r} of {path.name} has the labels of the points."]
    if rest:
        said.append(f"Not used of {path.name}: {', '.join(map(repr, rest[:10]))}.")
    return labels, called, tuple(said)


def _load_callable(generate: Generate, size: int, seed: int) -> Dataset:
    name = str(getattr(generate, "__name__", type(generate).__name__))
    try:
        inspect.signature(generate).bind(size, None)
    except ValueError:  # of some functions no arguments are known
        pass
    except TypeError as error:
        raise InputError(
            f"{name} cannot be called as {name}(n, rng).",
            "Give a function of how many points to draw and of a numpy.random.Generator, which returns "
            "points (n, d).",
        ) from error
    x, _ = as_table(generate(size, np.random.default_rng(seed)), f"What {name}({size}, rng) returned")
    _check_drawn(x, (size, x.shape[1]), name)
    description = {"kind": "callable", "name": name, "size": size, "seed": seed}
    return Dataset(name, x, None, partial(_draw_callable, generate, name, x.shape[1]), description)


def _draw_callable(generate: Generate, name: str, d: int, n: int, seed: int) -> Table:
    sequence = np.random.SeedSequence(seed, spawn_key=(FRESH_DRAWS,))
    x = np.asarray(generate(n, np.random.default_rng(sequence)), dtype=np.float64)
    x = np.ascontiguousarray(x[:, None] if x.ndim == 1 else x)
    _check_drawn(x, (n, d), name)
    return x


def _check_drawn(x: Table, shape: tuple[int, int], name: str) -> None:
    if x.shape != shape:
        raise InputError(
            f"{name}({shape[0]}, rng) returned shape {x.shape}, not {shape}.",
            "Return exactly n points of the same dimension at each call.",
        )
    if not np.isfinite(x).all():
        raise InputError(
            f"{name}({shape[0]}, rng) returned values that are not finite.",
            "Fix the generator: it must return finite values.",
        )


def _own(
    name: str,
    x: Table,
    columns: Columns,
    size: int | None,
    seed: int,
    where: str,
    source: dict[str, Any],
    labelled: Labels,
) -> Dataset:
    """Return all rows of the user's data with their labels, or a random subset."""
    if size is not None:
        if size > len(x):
            raise InputError(
                f"{where} has {len(x)} rows, fewer than size = {size}.", f"Give a size up to {len(x)}."
            )
        rows = np.sort(np.random.default_rng(seed).choice(len(x), size, replace=False))
        # A column that varies in the whole may be constant in a small part of it.
        x = as_table(x[rows], f"The random subset of {size} rows of {where}", columns)[0]
        source = {**source, "size": size, "seed": seed}
        labelled = labelled if labelled.labels is None else labelled._replace(labels=labelled.labels[rows])
    return Dataset(name, x, columns, None, source, **labelled._asdict())


def _large(
    values: npt.NDArray[Any],
    columns: Columns,
    name: str,
    size: int | None,
    seed: int,
    where: str,
    source: dict[str, Any],
    labels: Any = None,
    condition: Kind | None = None,
    called: Sequence[str] | None = None,
    path: Path | None = None,
) -> Dataset:
    """Return the user's large data, or a random subset of it."""
    n = len(values)
    labelled = Labels() if labels is None else labels_of(labels, n, "The labels", condition, called)
    if size is None:
        return load_large(values, columns, name, where, seed, source, labelled, path)
    if size > n:
        raise InputError(f"{where} has {n} rows, fewer than size = {size}.", f"Give a size up to {n}.")
    rows = np.sort(np.random.default_rng(seed).choice(n, size, replace=False))
    if path is not None:
        source = describe_file(path)
    x = as_table(values[rows], f"The random subset of {size} rows of {where}", columns)[0]
    if labelled.labels is not None:
        labelled = labelled._replace(labels=labelled.labels[rows])
    return Dataset(name, x, columns, None, {**source, "size": size, "seed": seed}, **labelled._asdict())


def _check_size(size: int) -> int:
    try:
        number = operator.index(size)
    except TypeError:
        raise InputError(f"size must be a whole number, not {size!r}.", "Give at least 2.") from None
    if number < 2 or isinstance(size, bool):
        raise InputError(f"size must be at least 2, not {size!r}.", "One point needs no model.")
    return number


def _check_seed(seed: int) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**32:
        raise InputError(
            f"seed must be a whole number from 0 to 2**32 - 1, not {seed!r}.", "Use 0, for example."
        )
    return number


def _check_noise(noise: float) -> float:
    try:
        number = float(noise)
    except (TypeError, ValueError):
        number = math.nan
    if not (0.0 <= number < math.inf):
        raise InputError(
            f"noise must be a finite number that is not negative, not {noise!r}.", "Use 0 for no noise."
        )
    return number
