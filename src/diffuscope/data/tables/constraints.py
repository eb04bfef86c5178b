r"""Which relations between columns hold in every row?

``start < end``, ``a + b <= 100`` and ``total == a + b``: numbers, names of columns, ``+ - * /``, signs and
comparisons. A name that is none of Python's stands in backticks (one in it is doubled), a column without a
name is ``x0``, ``x1``. Times and durations count in days. Such a text is read into a tree by Python's parser,
and only these kinds of nodes are ever computed; nothing is run.

A row in which a compared value is missing keeps a constraint. Where there is arithmetic, what differs by a
billionth of the numbers in it is equal.
"""

from __future__ import annotations

import ast
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats, Name
from diffuscope.data.tables.dtypes import dtype_name, time_unit
from diffuscope.data.tables.values import as_durations, as_floats, as_ticks, form_of, kind_of
from diffuscope.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LONGEST", "Check", "Constraint", "Rule", "as_numbers", "in_order", "read_constraint"]

LONGEST = 1000  # characters of a constraint
_ROUNDING = 1e-9
_DAY = 86_400.0
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_HOW = "Write a comparison of columns and numbers, such as start < end or total == a + b."
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LESS, _MORE = (ast.Lt, ast.LtE), (ast.Gt, ast.GtE)
_COMPARISONS = (*_LESS, *_MORE, ast.NotEq, ast.Eq)


@dataclass(frozen=True)
class Rule:
    """A constraint that was written as text; ``computes`` is the column that an equality gives, if it is one.

    ``names`` maps the names in the tree to those of columns.
    """

    text: str
    tree: ast.Compare
    names: Mapping[str, Name]
    computes: Name | None = None

    @cached_property
    def columns(self) -> tuple[Name, ...]:
        """The columns in it."""
        found = [self.names[node.id] for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        return tuple(dict.fromkeys(found))

    @cached_property
    def parts(self) -> tuple[Name, ...]:
        """The columns but the computed one."""
        return tuple(name for name in self.columns if name != self.computes)

    @cached_property
    def _expression(self) -> ast.expr:
        """What the computed column is equal to."""
        left, right = self.tree.left, self.tree.comparators[0]
        computed = isinstance(left, ast.Name) and self.names[left.id] == self.computes
        return right if computed else left

    def kept(self, frame: Mapping[Any, Any]) -> NDArray[np.bool_]:
        """Return which rows (n,) of columns keep an inequality."""
        values = self._values(frame, self.columns)
        sides = [self.tree.left, *self.tree.comparators]
        good: Any = True
        for left, comparison, right in zip(sides, self.tree.ops, sides[1:], strict=False):
            good = good & _compared(left, comparison, right, values)
        return np.asarray(np.broadcast_to(good, _length(values)))

    def value(self, frame: Mapping[Any, Any]) -> Floats:
        """Return what the computed column is (n,), in numbers; NaN where it is missing or infinite."""
        values = self._values(frame, self.parts)
        with np.errstate(all="ignore"):
            x = np.broadcast_to(_computed(self._expression, values), _length(values))
        return np.where(np.isfinite(x), x, np.nan)

    def size(self, frame: Mapping[Any, Any]) -> Floats:
        """Return how large the numbers are (n,) of which the column is computed."""
        values = self._values(frame, self.parts)
        return np.asarray(np.broadcast_to(_size(self._expression, values), _length(values)))

    def solved(self, frame: Mapping[Any, Any], name: Name, total: Floats) -> Floats:
        """Return what a part must be (n,) for the computed column to be ``total`` (n,); NaN where unknown."""
        values = self._values(frame, [part for part in self.parts if part != name])
        word = next(word for word, column in self.names.items() if column == name)
        with np.errstate(all="ignore"):
            at = [_computed(self._expression, {**values, word: np.full(len(total), k)}) for k in (0, 1, 2)]
            slope = at[1] - at[0]
            linear = np.abs(at[2] - at[0] - 2 * slope) <= 1e-6 * np.abs(slope)
            x = (total - at[0]) / slope
        return np.where(linear & np.isfinite(x), x, np.nan)

    def _values(self, frame: Mapping[Any, Any], columns: Sequence[Name]) -> dict[str, Floats]:
        """Return the numbers of columns by their names in the tree."""
        return {
            word: as_numbers(frame[name], name, self.text)
            for word, name in self.names.items()
            if name in columns
        }


@dataclass(frozen=True)
class Check:
    """A constraint that is a function of a pandas frame, which returns a truth value for each row."""

    function: Callable[[Any], Any]

    @property
    def text(self) -> str:
        """What messages call it."""
        return str(getattr(self.function, "__name__", None) or self.function)[:100]

    @property
    def columns(self) -> None:
        """Any."""
        return None

    def kept(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows (n,) of a frame keep it; missing answers count as kept."""
        import pandas as pd

        try:
            answer = pd.Series(np.asarray(self.function(frame.copy(deep=False)), dtype=object).ravel())
        except Exception as error:  # whatever the user's own function may raise
            raise InputError(
                f"The constraint {self.text} fails: {type(error).__name__}: {error}.",
                f"It gets a pandas DataFrame with the columns {list(frame.columns)[:20]}.",
            ) from error
        if len(answer) != len(frame) or not answer.dropna().map(lambda one: isinstance(one, _TRUTH)).all():
            raise InputError(
                f"The constraint {self.text} must return a truth value for each of {len(frame)} rows.",
                "Return a comparison of columns, such as frame['a'] < frame['b'].",
            )
        return np.where(answer.isna(), True, answer).astype(bool)


_TRUTH = (bool, np.bool_)
Constraint = Rule | Check


def as_numbers(column: pd.Series[Any], name: Name, text: str = "") -> Floats:
    """Return numbers, truth values, and times and durations in days, as floats (n,), NaN where missing.

    Raises an InputError, which names the constraint, for text and categories.
    """
    kind = kind_of(column, name)
    if kind == "category":
        raise InputError(
            f"The constraint {text!r} compares {name!r}, which holds text or categories.",
            "Compare numbers and times; for all else give a function of the rows.",
        )
    if kind == "datetime":
        own = dtype_name(column.dtype)
        own = "datetime64[us]" if own == "object" else own
        ticks = as_ticks(column, name, own, local=False)
        missing = ticks == np.iinfo(np.int64).min
        per_second = _PER_SECOND[time_unit(own)]
        fine = ticks // (per_second // 10**6) if per_second > 10**6 else ticks
        return np.where(missing, np.nan, fine / (min(per_second, 10**6) * _DAY))
    if form_of(column) == "duration":
        ticks, present, tick = as_durations(column)
        return np.where(present, ticks / (_PER_SECOND[tick] * _DAY), np.nan)
    return as_floats(column, name)


def read_constraint(text: str, names: Sequence[Name], named: bool = True) -> Rule:
    """Read a constraint between columns of these names, or without names.

    Raises an InputError where it is none, names a column that there is not, or an equality has no column
    alone on one side.
    """
    if len(text) > LONGEST:
        raise InputError(f"A constraint has {len(text)} characters; at most {LONGEST}.", "Split it.")
    quoted: dict[str, str] = {}
    prefix = "column"
    while prefix in text:
        prefix += "_"

    def placed(match: re.Match[str]) -> str:
        word = f"{prefix}{len(quoted)}"
        quoted[word] = match[1].replace("``", "`")
        return f" {word} "

    plain = re.sub(r"`((?:[^`]|``)*)`", placed, text).strip()
    if "`" in plain:
        raise InputError(f"The constraint {text!r} has a backtick without another.", "Write `two words` < 3.")
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        hint = _HOW
        if re.search(r"(?<![<>=!])=(?!=)", plain):
            hint = "An equality has two signs, such as total == a + b."
        elif named:
            hint += " Names with spaces, signs or of words of Python stand in backticks: `net price` > 0."
        raise InputError(f"The constraint {text!r} cannot be read.", hint) from None
    try:
        found = _checked(text, tree, quoted, names, named)
    except RecursionError:
        raise InputError(f"The constraint {text!r} is nested too deeply.", "Split it.") from None
    return found


def _checked(
    text: str, tree: ast.expr, quoted: Mapping[str, str], names: Sequence[Name], named: bool
) -> Rule:
    """Return the rule of a tree that holds nothing but what may be in one."""
    if not isinstance(tree, ast.Compare) or not all(isinstance(op, _COMPARISONS) for op in tree.ops):
        raise InputError(f"The constraint {text!r} is no comparison.", _HOW)
    every = {str(name): name for name in names}
    every |= {} if named else {f"x{j}": name for j, name in enumerate(names)}
    alike = {unicodedata.normalize("NFKC", word): name for word, name in every.items()}  # as Python reads it
    columns: dict[str, Name] = {}
    for side in (tree.left, *tree.comparators):
        for word in _words(side, text):
            found = every.get(quoted[word]) if word in quoted else every.get(word, alike.get(word))
            if found is None:
                known = every if named else [f"x{j}" for j in range(len(names))]
                error = unknown_name("column", quoted.get(word, word), list(known)[:50])
                raise InputError(f"The constraint {text!r}: {error.what}", error.hint)
            columns[word] = found
    if not columns:
        raise InputError(f"The constraint {text!r} names no column.", _HOW)
    computes = None
    if any(isinstance(op, ast.Eq) for op in tree.ops):
        computes = _alone(text, tree, columns)
    return Rule(text, tree, columns, computes)


def _words(node: ast.expr, text: str) -> list[str]:
    """Return the names in an expression; an InputError where there is anything but arithmetic."""
    if isinstance(node, ast.Name):
        return [node.id]
    value = getattr(node, "value", None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            finite = np.isfinite(float(value))
        except OverflowError:
            finite = False
        if finite:
            return []
        raise InputError(f"The constraint {text!r} has a number beyond 1e308.", _HOW)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _words(node.operand, text)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _words(node.left, text) + _words(node.right, text)
    raise InputError(
        f"The constraint {text!r} has {ast.unparse(node)[:60]!r}, which is no name, number, +, -, * or /.",
        "For all else give a function of the rows.",
    )


def _alone(text: str, tree: ast.Compare, columns: Mapping[str, Name]) -> Name:
    """Return the column that an equality says how to compute."""
    hint = "Write the column that is computed of the others alone on one side, such as total == a + b."
    sides = [tree.left, *tree.comparators]
    if len(sides) > 2:
        raise InputError(f"The constraint {text!r} has an equality among other comparisons.", "Split it.")
    for one, other in (sides, sides[::-1]):
        if isinstance(one, ast.Name):
            parts = {columns[node.id] for node in ast.walk(other) if isinstance(node, ast.Name)}
            if parts and columns[one.id] not in parts:
                return columns[one.id]
    raise InputError(f"The constraint {text!r} does not say which column is computed of others.", hint)


def in_order(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return equalities so that what a column is computed of comes before it.

    Raises an InputError where two give the same column, or columns are computed of each other.
    """
    given: dict[Name, Rule] = {}
    for rule in rules:
        if rule.computes is not None:
            if rule.computes in given:
                first = given[rule.computes].text
                raise InputError(
                    f"The constraints {first!r} and {rule.text!r} both give {rule.computes!r}.",
                    "Solve one of them for another column.",
                )
            given[rule.computes] = rule
    ordered: list[Rule] = []
    left = dict(given)
    while left:
        ready = [rule for rule in left.values() if not set(rule.parts) & set(left)]
        if not ready:
            some = ", ".join(repr(rule.text) for rule in left.values())
            raise InputError(
                f"The constraints {some} compute columns of each other.", "Solve them for other columns."
            )
        ordered += ready
        for rule in ready:
            assert rule.computes is not None
            del left[rule.computes]
    return tuple(ordered)


def _length(values: Mapping[str, Floats]) -> tuple[int]:
    return (len(next(iter(values.values()))),)


def _computed(node: ast.expr, values: Mapping[str, Floats]) -> Any:
    """Return the value of an expression, shape () or (n,)."""
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return np.float64(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.UnaryOp):
        inner = _computed(node.operand, values)
        return -inner if isinstance(node.op, ast.USub) else inner
    assert isinstance(node, ast.BinOp)
    return _ARITHMETIC[type(node.op)](_computed(node.left, values), _computed(node.right, values))


def _size(node: ast.expr, values: Mapping[str, Floats]) -> Any:
    """Return how large the numbers are that an expression adds up, shape () or (n,)."""
    if isinstance(node, ast.UnaryOp):
        return _size(node.operand, values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return _size(node.left, values) + _size(node.right, values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _size(node.left, values) * _size(node.right, values)
    with np.errstate(all="ignore"):
        return np.abs(_computed(node, values))


def _compared(left: ast.expr, comparison: ast.cmpop, right: ast.expr, values: Mapping[str, Floats]) -> Any:
    """Return whether a comparison holds, shape () or (n,); True where a value is missing."""
    with np.errstate(all="ignore"):
        a, b = _computed(left, values), _computed(right, values)
        slack: Any = 0.0
        if isinstance(left, ast.BinOp) or isinstance(right, ast.BinOp):
            slack = _ROUNDING * (_size(left, values) + _size(right, values))
            slack = np.where(np.isfinite(slack), slack, 0.0)
        above = np.where(a == b, 0.0, a - b)  # infinite ones are equal
        if isinstance(comparison, ast.NotEq):
            good = np.abs(above) > slack
        else:
            above = -above if isinstance(comparison, _MORE) else above
            strict = isinstance(comparison, ast.Lt | ast.Gt)
            good = above < -slack if strict else above <= slack
        return good | np.isnan(a) | np.isnan(b)
