"""Are columns of text read as what they mean, whatever their form, and written in that form again?"""

from __future__ import annotations

import datetime as dt
import gzip
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from diffuscope.data.columnar import FileOptions, open_rows, read_rows, read_types, write_filled, write_rows
from diffuscope.data.columnar.dates import write_dates
from diffuscope.data.columnar.numbers import find_number_form, parse_number, write_numbers
from diffuscope.data.columnar.schema import ColumnSchema
from diffuscope.errors import FormatError, InputError

needs_excel = pytest.mark.skipif(find_spec("openpyxl") is None, reason="openpyxl is not installed")


def table(path: Path, **columns: list[str]) -> Path:
    """Write columns of cells as a CSV file, all cells in quotes."""
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    text = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def day(y: int, m: int, d: int, *time: int) -> pd.Timestamp:
    return pd.Timestamp(dt.datetime(y, m, d, *time))


FORMS: dict[str, tuple[list[str], str, list]] = {
    "codes": (["02116", "10001", "00501"], "str", ["02116", "10001", "00501"]),
    "codes of any width": (["07", "7", "112"], "str", ["07", "7", "112"]),
    "codes with a hole": (["02116", "NA", "10001"], "str", ["02116", None, "10001"]),
    "thousands": (["1,903,000", "12,000", "5"], "int64", [1903000, 12000, 5]),
    "thousands and decimals": (["1,234.50", "0.25", "12.00"], "float64", [1234.5, 0.25, 12.0]),
    "decimal comma": (["8,99", "10,50", "0,05"], "float64", [8.99, 10.5, 0.05]),
    "decimal comma, few digits": (["8,9", "10,5", "3,0"], "float64", [8.9, 10.5, 3.0]),
    "comma after a zero": (["0,125", "0,250", "0,375"], "float64", [0.125, 0.25, 0.375]),
    "points as thousands": (["1.903.000", "12.000", "5"], "int64", [1903000, 12000, 5]),
    "European": (["1.234,50", "0,25", "12,00"], "float64", [1234.5, 0.25, 12.0]),
    "Swiss": (["1'234.50", "0.25", "12'000.00"], "float64", [1234.5, 0.25, 12000.0]),
    "spaces": (["1 234,5", "12 345,25", "1,125"], "float64", [1234.5, 12345.25, 1.125]),
    "no-break spaces": (["1\u00a0234", "12\u202f345".replace("\u202f", "\u00a0"), "7"], "int64", None),
    "dollars": (["$9.87", "$1,234.00", "-$3.50"], "float64", [9.87, 1234.0, -3.5]),
    "euros behind": (["8,99 €", "1.234,00 €", "0,05 €"], "float64", [8.99, 1234.0, 0.05]),
    "a currency by its code": (["EUR 12", "EUR 7", "EUR 1,200"], "int64", [12, 7, 1200]),
    "per cent": (["45%", "3%", "100%"], "int64", [45, 3, 100]),
    "per cent with decimals": (["4.5 %", "3.0 %", "100.0 %"], "float64", [4.5, 3.0, 100.0]),
    "units": (["170 cm", "182 cm", "9 cm"], "int64", [170, 182, 9]),
    "parentheses": (["(1,234)", "56,789", "(3)"], "int64", [-1234, 56789, -3]),
    "fixed decimals": (["1.50", "2.25", "10.00"], "float64", [1.5, 2.25, 10.0]),
    "days first": (["13/09/2024", "01/02/2024"], "datetime64[us]", [day(2024, 9, 13), day(2024, 2, 1)]),
    "months first": (["9/13/2024", "1/2/2024"], "datetime64[us]", [day(2024, 9, 13), day(2024, 1, 2)]),
    "points in dates": (["13.09.2024", "01.02.2024"], "datetime64[us]", [day(2024, 9, 13), day(2024, 2, 1)]),
    "names of months": (["13 Sep 2024", "1 Feb 2024"], "datetime64[us]", [day(2024, 9, 13), day(2024, 2, 1)]),
    "American names": (
        ["Sep 13, 2024", "Feb 1, 2024"],
        "datetime64[us]",
        [day(2024, 9, 13), day(2024, 2, 1)],
    ),
    "two digits": (["13/09/24", "31/12/99"], "datetime64[us]", [day(2024, 9, 13), day(1999, 12, 31)]),
    "twelve hours": (
        ["9/13/2024 2:05 PM", "9/14/2024 11:59 AM", "12/1/2024 12:00 AM"],
        "datetime64[us]",
        [day(2024, 9, 13, 14, 5), day(2024, 9, 14, 11, 59), day(2024, 12, 1)],
    ),
    "times of the day": (
        ["14:05", "00:30"],
        "datetime64[us]",
        [day(1900, 1, 1, 14, 5), day(1900, 1, 1, 0, 30)],
    ),
    "durations": (["14:05", "26:30"], "str", ["14:05", "26:30"]),
    "ISO days with a hole": (["2024-09-13", "NA"], "datetime64[us]", [day(2024, 9, 13), None]),
    "ISO minutes": (["2024-09-13 12:30", "2024-09-14 00:00"], "datetime64[us]", None),
    "ISO seconds of one zone": (
        ["2024-01-01T00:00:00Z", "2024-01-01T05:30:00Z", "NA"],
        "datetime64[us, UTC]",
        [pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-01 05:30", tz="UTC"), None],
    ),
    "ISO of a zone two hours ahead": (
        ["2024-01-01 01:00:00+02:00", "2024-01-01 05:00:00+02:00"],
        "datetime64[us, UTC]",
        [pd.Timestamp("2023-12-31 23:00", tz="UTC"), pd.Timestamp("2024-01-01 03:00", tz="UTC")],
    ),
    "ISO milliseconds": (
        ["2024-01-01T00:00:00.250Z", "2024-01-01T05:30:00.000Z"],
        "datetime64[us, UTC]",
        None,
    ),
    "ISO microseconds": (
        ["2024-01-01T00:00:00.250001", "2024-01-01T05:30:00.000000"],
        "datetime64[us]",
        None,
    ),
    "exponents now and then": (["1.46e-05", "0.25", "3.0"], "float64", [1.46e-05, 0.25, 3.0]),
    "exponents in capitals": (["4.30E-06", "1.00E+02", "-2.50E-03"], "float64", [4.3e-06, 100.0, -2.5e-03]),
    "short exponents": (["1e-5", "2.5e-7", "3e12"], "float64", [1e-5, 2.5e-7, 3e12]),
    "truth in capitals": (["TRUE", "FALSE", "TRUE"], "bool", [True, False, True]),
    "numbers and a word": (["1", "2", "#hole"], "str", ["1", "2", "#hole"]),
    "two currencies": (["$5", "€5", "$6"], "str", ["$5", "€5", "$6"]),
    "telephones": (["600 123 456", "601 234 567", "611 111 111"], "str", None),
    "addresses of machines": (["192.168.100.101", "192.168.100.102"], "str", None),
    "versions": (["1.2.3", "1.10.0"], "str", ["1.2.3", "1.10.0"]),
    "ranges": (["10-20", "20-30"], "str", ["10-20", "20-30"]),
    "contradictions": (["1,5", "2.5"], "str", ["1,5", "2.5"]),
    "a day that is none": (["31/02/2024", "13/09/2024"], "str", ["31/02/2024", "13/09/2024"]),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_column_is_read_as_what_it_means_and_written_as_it_was(tmp_path: Path, name: str) -> None:
    cells, dtype, values = FORMS[name]
    path = table(tmp_path / "t.csv", column=cells, other=["x"] * len(cells))
    read = open_rows(path)
    column = read.frame["column"]
    assert str(column.dtype) == dtype
    if values is not None:
        pd.testing.assert_series_equal(column, pd.Series(values, dtype=dtype), check_names=False)
    write_rows(tmp_path / "again.csv", read.frame, read.schema)
    again = open_rows(tmp_path / "again.csv")
    assert again.cells is not None
    assert again.cells[0].tolist() == cells
    pd.testing.assert_frame_equal(again.frame, read.frame)


@pytest.mark.parametrize("name", FORMS)
def test_a_file_with_few_rows_is_read_as_the_one_that_is_known(tmp_path: Path, name: str) -> None:
    cells, _, _ = FORMS[name]
    read = open_rows(table(tmp_path / "t.csv", column=cells, other=["x"] * len(cells)))
    for i, cell in enumerate(cells):
        one = table(tmp_path / "one.csv", column=[cell], other=["x"])
        value = read_rows(one, known=read.schema)["column"][0]
        expected = read.frame["column"][i]
        assert value == expected or (pd.isna(value) and pd.isna(expected))


@pytest.mark.parametrize("word", ["NA", "N/A", "NaN", "null", "None", "?", "-", ""])
def test_a_hole_is_one_in_every_kind_of_column(tmp_path: Path, word: str) -> None:
    columns = {
        "number": ["1.5", word, "2.5"],
        "integer": ["1", word, "2"],
        "money": ["$1,000", word, "$2"],
        "date": ["13/09/2024", word, "14/09/2024"],
        "iso": ["2024-09-13", word, "2024-09-14"],
        "truth": ["true", word, "false"],
        "code": ["02116", word, "10001"],
        "text": ["red", word, "blue"],
    }
    read = open_rows(table(tmp_path / "t.csv", **columns))
    assert [str(one.schema.kind) for one in read.columns] == [
        *("number", "integer", "integer", "date", "date", "boolean", "category", "category")
    ]
    np.testing.assert_array_equal(read.frame.isna(), [[False] * 8, [True] * 8, [False] * 8])
    assert all(one.words == ((word,) if word else ()) for one in read.columns)


def test_words_for_missing_values_can_be_said_and_real_ones_kept(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", smoker=["None", "NA", "light", ""], x=["1", "-9", "2", ""])
    assert read_rows(path)["smoker"].tolist()[2:3] == ["light"]
    kept = read_rows(path, FileOptions(missing=()))
    assert kept["smoker"].tolist()[:3] == ["None", "NA", "light"]
    assert kept["smoker"].isna().tolist() == [False, False, False, True]
    said = read_rows(path, FileOptions(missing=("-9", "NA")))
    assert said["x"].isna().tolist() == [False, True, False, True]
    assert said["smoker"].isna().tolist() == [False, True, False, True]


# --- what is ambiguous -------------------------------------------------------------------------------------


def test_an_ambiguous_date_is_said_with_the_option_that_changes_it(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", when=["03/04/2024", "05/06/2024"], x=["1", "2"])
    read = open_rows(path)
    assert read.frame["when"].tolist() == [day(2024, 4, 3), day(2024, 6, 5)]
    assert "--date-format when=%m/%d/%Y" in " ".join(read.columns[0].remarks)
    for said in ("%m/%d/%Y", {"when": "%m/%d/%Y"}):
        other = open_rows(path, FileOptions(date_format=said))
        assert other.frame["when"].tolist() == [day(2024, 3, 4), day(2024, 5, 6)]
        assert other.columns[0].remarks == ()


def test_one_column_settles_the_order_of_days_in_another(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", a=["03/04/2024", "05/06/2024"], b=["12/31/2024", "01/01/2024"])
    assert read_rows(path)["a"].tolist() == [day(2024, 3, 4), day(2024, 5, 6)]


def test_an_ambiguous_comma_is_said_with_the_option_that_changes_it(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", x=["1,234", "9,999"], y=["1", "2"])
    read = open_rows(path)
    assert read.frame["x"].tolist() == [1234, 9999]
    assert "--decimal ','" in " ".join(read.columns[0].remarks)
    assert read_rows(path, FileOptions(decimal=","))["x"].tolist() == [1.234, 9.999]
    assert read_rows(path, FileOptions(thousands="."))["x"].tolist() == [1.234, 9.999]


def test_a_point_elsewhere_settles_that_a_comma_separates_thousands(tmp_path: Path) -> None:
    read = open_rows(table(tmp_path / "t.csv", x=["1,234", "9,999"], y=["1.5", "2.25"]))
    assert read.frame["x"].tolist() == [1234, 9999]
    assert "--decimal" not in " ".join(read.columns[0].remarks)


def test_a_sign_that_is_said_of_all_columns_spares_those_that_contradict_it(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", x=["1,25", "9,999"], y=["1.5", "2.25"])
    assert read_rows(path, FileOptions(decimal=",")).to_dict("list") == {"x": [1.25, 9.999], "y": [1.5, 2.25]}


def test_one_column_settles_the_decimal_sign_of_another(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv", price=["8,99", "1,50"], comma=["1,234", "9,999"], point=["1.234", "9.999"]
    )
    read = open_rows(path)
    assert read.frame["comma"].tolist() == [1.234, 9.999]
    assert read.frame["point"].tolist() == [1234, 9999]
    assert "--decimal '.'" in " ".join(read.columns[2].remarks)


# --- what is said ------------------------------------------------------------------------------------------


def test_kinds_that_are_said_are_taken(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv",
        code=["1", "2", "1"],
        zip=["02116", "10001", "00501"],
        whole=["1", "2", "3"],
        answer=["yes", "no", "yes"],
        note=["a, b", "c", ""],
        when=["20240913", "20240914", "20240915"],
    )
    said = "code=category,zip=integer,whole=number,answer=boolean,note=ignored,when=date"
    options = FileOptions(types=read_types([said]), date_format={"when": "%Y%m%d"})
    read = open_rows(path, options)
    kinds = [str(dtype) for dtype in read.modelled.dtypes]
    assert kinds == ["str", "int64", "float64", "bool", "datetime64[us]"]
    assert read.frame["zip"].tolist() == [2116, 10001, 501]
    assert "note" not in read_rows(path, options)
    write_rows(tmp_path / "again.csv", read.frame, read.schema, options)
    again = pd.read_csv(tmp_path / "again.csv", dtype=str)
    assert again["answer"].tolist() == ["yes", "no", "yes"]
    assert again["when"].tolist() == ["20240913", "20240914", "20240915"]
    assert again["whole"].tolist() == ["1", "2", "3"]


@pytest.mark.parametrize("kind", ["number", "integer", "date", "boolean"])
def test_a_cell_that_is_not_of_the_said_kind_is_named_with_its_row(tmp_path: Path, kind: str) -> None:
    good = {"number": "1.5", "integer": "1", "date": "2024-01-01", "boolean": "true"}[kind]
    path = table(tmp_path / "t.csv", a=[good, "", good, "red"], b=["1"] * 4)
    with pytest.raises(
        InputError, match=r"'red' in row 3 .*'a'.*\n.*missing=\"red\".*types={\"a\": \"category\"}"
    ):
        read_rows(path, FileOptions(types={"a": kind}))
    known = open_rows(table(tmp_path / "k.csv", a=[good], b=["1"])).schema
    with pytest.raises(InputError, match="'red' in row 3"):
        read_rows(path, known=known)


def test_an_option_for_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", a=["1", "2"])
    for options in (FileOptions(types={"b": "id"}), FileOptions(date_format={"b": "%d/%m/%Y"})):
        with pytest.raises(InputError, match="no column 'b'"):
            read_rows(path, options)


def test_types_are_read_from_words_also_with_odd_names() -> None:
    assert read_types(["a=id,b c=number", "x=y,z=date"]) == {"a": "id", "b c": "number", "x=y,z": "date"}
    for wrong in ("a", "a=", "=id", "a=colour"):
        with pytest.raises(InputError, match="COLUMN=KIND"):
            read_types([wrong])


@pytest.mark.parametrize("option", [{"date_format": "day"}, {"date_format": "%Q"}, {"encoding": "klingon"}])
def test_an_option_that_means_nothing_is_refused(option: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(option.values()))):
        FileOptions(**option)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_separator_and_encoding_are_those_that_were_said(tmp_path: Path, encoding: str, suffix: str) -> None:
    text = 'größe;ort\n"1,5";Köln\n"2,25";"a;b"\n'.encode(encoding)
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    options = FileOptions(sep=";", encoding=encoding)
    read = open_rows(path, options)
    assert read.frame.to_dict("list") == {"größe": [1.5, 2.25], "ort": ["Köln", "a;b"]}
    write_rows(tmp_path / f"again{suffix}", read.frame, read.schema, options)
    again = (tmp_path / f"again{suffix}").read_bytes()
    again = gzip.decompress(again) if suffix.endswith("gz") else again
    assert again.decode(encoding).replace('"', "") == text.decode(encoding).replace('"', "")


def test_a_compressed_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for length in (5, len(whole) // 2, len(whole) - 1):
        (tmp_path / "t.csv.gz").write_bytes(whole[:length])
        with pytest.raises(FormatError, match="whole gzip file"):
            read_rows(tmp_path / "t.csv.gz")


# --- letter for letter -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_cells_that_were_not_filled_are_written_letter_for_letter(tmp_path: Path, suffix: str) -> None:
    cells = {
        "zip": ["02116", "", "00501"],
        "pay": ["1,000", "2000", "NA"],
        "x": ["1.50", "+2", "?"],
        "when": ["1/09/2024", "13/09/2024", "-"],
        "note": [' "a", b ', "NA", "c\nd"],
        "left": ["None", "x", "007"],
    }
    options = FileOptions(types={"left": "ignored"})
    read = open_rows(table(tmp_path / "t.csv", **cells), options)
    filled = read.modelled.copy()
    filled.loc[1, "zip"], filled.loc[2, "pay"], filled.loc[2, "x"] = "10001", 12345, 3.5
    filled.loc[2, "when"], filled.loc[1, "note"] = day(2024, 9, 3), "e,f"
    write_filled(tmp_path / f"filled{suffix}", read, filled, options)
    again = open_rows(tmp_path / f"filled{suffix}")
    assert again.cells is not None
    expected = {name: list(column) for name, column in cells.items()}
    expected["zip"][1], expected["pay"][2], expected["x"][2] = "10001", "12,345", "3.5"
    expected["when"][2], expected["note"][1] = "3/09/2024", "e,f"
    assert dict(zip(cells, again.cells.to_dict("list").values(), strict=True)) == expected


def test_blanks_quotes_and_ends_of_lines_of_what_was_not_filled_stay(tmp_path: Path) -> None:
    text = (
        'name , "b", t\r\n x ,1.46e-05, "2024-01-01T00:00:00Z"\r\n "y, z" , 3E4,\r\n w ,,2024-01-02T00:00:00Z'
    )
    (tmp_path / "t.csv").write_text(text, newline="")
    read = open_rows(tmp_path / "t.csv")
    filled = read.modelled.copy()
    filled.loc[1, "t"], filled.loc[2, "b"] = pd.Timestamp("2024-03-01 12:00", tz="UTC"), 2.5e-07
    write_filled(tmp_path / "f.csv", read, filled, FileOptions())
    expected = text.replace("3E4,", "3E4,2024-03-01T12:00:00Z").replace(",,", ",2.5e-07,") + "\n"
    assert (tmp_path / "f.csv").read_bytes().decode() == expected
    write_filled(tmp_path / "f.tsv", read, filled, FileOptions())
    again = open_rows(tmp_path / "f.tsv", known=read.schema)
    pd.testing.assert_frame_equal(again.frame, filled)


def test_numbers_before_an_exponent_have_the_decimals_of_their_column() -> None:
    form = ColumnSchema(name=0, kind="number", decimals=(2, 2), exponent="E+00")
    x = np.array([1.23456e-05, 0.0, -98765.4321, 9.996e10, np.nan])
    assert write_numbers(x, form) == ["1.23E-05", "0.00E+00", "-9.88E+04", "1.00E+11", "nan"]


def test_new_rows_have_the_blanks_of_their_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a, b,c\n x , 1,u\n y , 2, v\n")
    read = open_rows(tmp_path / "t.csv")
    assert read.frame["a"].tolist() == ["x ", "y "]
    new = pd.DataFrame({"a": ["y ", "z, w", None], "b": [3, 4, 5], "c": ["u", "v", "v"]})
    write_rows(tmp_path / "new.csv", new, read.schema)
    assert (tmp_path / "new.csv").read_text() == 'a,b,c\n y , 3,u\n "z, w", 4,v\n, 5,v\n'


@pytest.mark.parametrize("first", ["%d/%m/%Y", "%m/%d/%Y"])
def test_dates_in_two_formats_are_all_read(tmp_path: Path, first: str) -> None:
    days = pd.date_range("2024-03-01", periods=60)
    texts = [day.strftime(first if i % 3 == 0 else "%Y-%m-%d") for i, day in enumerate(days)]
    read = open_rows(table(tmp_path / "t.csv", when=[*texts, "NA"]))
    assert read.frame["when"][:-1].tolist() == days.tolist()
    assert read.columns[0].remarks == (f"written in 2 ways: %Y-%m-%d, {first}",)
    few = read_rows(table(tmp_path / "few.csv", when=[texts[0], texts[1]]), known=read.schema)
    assert few["when"].tolist() == days[:2].tolist()
    with pytest.raises(InputError, match="'2024/03/01' in row 0"):
        read_rows(table(tmp_path / "few.csv", when=["2024/03/01"]), known=read.schema)
    write_rows(tmp_path / "again.csv", read.frame, read.schema)
    assert open_rows(tmp_path / "again.csv").cells[0][:60].tolist() == days.strftime("%Y-%m-%d").tolist()


def test_dates_in_two_formats_of_which_one_is_not_clear_are_text_with_a_warning(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", when=["2024-03-01", "05/03/2024", "07/08/2024"])
    with pytest.warns(UserWarning, match="'when'.*'05/03/2024' and '2024-03-01'.*--date-format when="):
        read = open_rows(path)
    assert read.frame["when"].tolist() == ["2024-03-01", "05/03/2024", "07/08/2024"]
    said = read_rows(path, FileOptions(date_format={"when": "%d/%m/%Y"}))
    assert said["when"].tolist() == [day(2024, 3, 1), day(2024, 3, 5), day(2024, 8, 7)]
    other = {"when": ["2024-03-01", "05/03/2024", "07/08/2024"], "then": ["13/01/2024", "1/2/2024", "NA"]}
    settled = read_rows(table(tmp_path / "t.csv", **other))
    assert settled["when"].tolist() == said["when"].tolist()


def test_a_file_without_names_is_filled_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1.50,2\nnan,3\n2.25,4\n")
    read = open_rows(tmp_path / "t.csv")
    write_filled(tmp_path / "f.csv", read, read.frame.fillna(7.0), FileOptions())
    assert (tmp_path / "f.csv").read_text() == "1.50,2\n7.00,3\n2.25,4\n"


def test_codes_without_names_are_written_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("02116,1.5\n00501,2.5\n")
    read = open_rows(tmp_path / "t.csv")
    assert read.frame[0].tolist() == ["02116", "00501"]
    write_rows(tmp_path / "again.csv", read.frame, read.schema)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


# --- forms of numbers and dates, at random -----------------------------------------------------------------

MARKS = st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", "."), ("", "."), ("", ",")])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    values=st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=6, unique=True),
    decimals=st.integers(0, 4),
    marks=MARKS,
    affix=st.sampled_from([("", ""), ("$", ""), ("", "%"), ("€ ", ""), ("", " kg"), ("US$", "")]),
    parentheses=st.booleans(),
)
def test_numbers_of_any_form_are_read_as_they_were_written(
    values: list[int], decimals: int, marks: tuple[str, str], affix: tuple[str, str], parentheses: bool
) -> None:
    form = ColumnSchema(
        name=0,
        kind="number" if decimals else "integer",
        prefix=affix[0],
        suffix=affix[1],
        thousands=marks[0],
        decimal=marks[1],
        decimals=(decimals, decimals),
        parentheses=parentheses,
    )
    x = np.array(values) / 10**decimals if decimals else np.array(values)
    texts = write_numbers(x, form)
    assert [parse_number(text, form) for text in texts] == x.tolist()
    found = find_number_form(list(dict.fromkeys(texts)), None, None, None)
    assume(found is not None)  # what could be something else is left as text
    assert found is not None
    if found.decides == marks[1]:
        assert [parse_number(text, found.form) for text in texts] == x.tolist()
        assert write_numbers(x, found.form) == texts
    said = find_number_form(list(dict.fromkeys(texts)), marks[1], marks[0] or "none", None)
    assert said is not None
    assert [parse_number(text, said.form) for text in texts] == x.tolist()


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    times=st.lists(st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2049, 12, 31)), min_size=3, max_size=12),
    form=st.sampled_from(
        [
            "%d/%m/%Y",
            "%-m/%-d/%Y",
            "%d.%m.%Y",
            "%d %b %Y",
            "%B %-d, %Y",
            "%Y/%m/%d",
            "%d-%m-%Y %H:%M:%S",
            "%Y年%-m月%-d日",
            "%Y年%m月%d日 %H:%M:%S",
        ]
    ),
)
def test_dates_of_any_form_are_read_as_they_were_written(times: list[dt.datetime], form: str) -> None:
    keep = {"microsecond": 0} if "%S" in form else {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    times = [dt.datetime(2024, 12, 31), *(time.replace(**keep) for time in times)]
    texts = write_dates(times, form)
    assert texts == [time.strftime(form) for time in times]
    with tempfile.TemporaryDirectory() as folder:
        path = table(Path(folder) / "t.csv", when=texts, x=["1"] * len(texts))
        read = open_rows(path)
        assert read.frame["when"].tolist() == [pd.Timestamp(time) for time in times]
        write_rows(Path(folder) / "again.csv", read.frame, read.schema)
        assert open_rows(Path(folder) / "again.csv").cells[0].tolist() == texts


# --- spreadsheets ------------------------------------------------------------------------------------------


@needs_excel
def test_a_spreadsheet_comes_back_as_it_went_in(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "zip": pd.array(["02116", None, "00501"], dtype="str"),
            "pay": pd.array([1000, None, 3], dtype="Int64"),
            "x": [0.1, 1e-300, np.nan],
            "day": pd.to_datetime(["2024-09-13", None, "2024-09-14"]).astype("datetime64[us]"),
            "at": pd.to_datetime(["2024-09-13 12:30:15", "2024-09-13 00:00:00", None]).astype(
                "datetime64[us]"
            ),
            "ok": [True, False, True],
            "text": pd.array(["=1+1", "a\nb", None], dtype="str"),
        }
    )
    write_rows(tmp_path / "t.xlsx", frame)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "t.xlsx"), frame)


@needs_excel
def test_a_sheet_made_elsewhere_keeps_the_formats_of_its_cells(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    page = book.active
    rows = [["paid", "share", "when", "zip"], [9.5, 0.25, dt.datetime(2024, 9, 13), "02116"]]
    rows += [[1234.0, 0.5, dt.datetime(2024, 9, 14), "00501"], [3.25, 0.75, None, "10001"]]
    for row in [*rows, [None] * 4]:
        page.append(row)
    formats = ['"$"#,##0.00', "0%", "dd/mm/yyyy", "@"]
    for cells in page.iter_rows(min_row=2):
        for cell, form in zip(cells, formats, strict=True):
            cell.number_format = form
    book.save(tmp_path / "t.xlsx")
    read = open_rows(tmp_path / "t.xlsx")
    assert [str(dtype) for dtype in read.frame.dtypes] == ["float64", "float64", "datetime64[us]", "str"]
    assert read.frame.iloc[0].tolist() == [9.5, 0.25, day(2024, 9, 13), "02116"]
    write_rows(tmp_path / "again.xlsx", read.frame, read.schema)
    again = openpyxl.load_workbook(tmp_path / "again.xlsx").active
    assert [cell.number_format for cell in again[2]][:3] == formats[:3]
    assert [cell.value for cell in again[2]] == rows[1]


@needs_excel
def test_a_damaged_spreadsheet_raises_nothing_but_our_own_errors(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.xlsx", pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    whole, random = (tmp_path / "t.xlsx").read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged = bytearray(whole)
        for place in random.integers(len(damaged), size=3):
            damaged[place] = random.integers(256)
        (tmp_path / "t.xlsx").write_bytes(damaged[: None if random.random() < 0.7 else len(damaged) // 2])
        try:
            read_rows(tmp_path / "t.xlsx")
        except (InputError, FormatError):
            refused += 1
    assert refused > 5


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_numbers_and_dates_are_read_as_they_are_written_in_china(tmp_path: Path, encoding: str) -> None:
    cells = {
        "价格": ["￥17,013.97", "￥38.20", "￥1,200.00"],
        "折扣": ["27％", "3％", "98％"],
        "日期": ["2021年8月15日", "2025年11月4日", "2020年1月9日"],
        "时间": ["2025年8月15日0时04分", "2025年1月1日15时03分", "2025年3月2日8时30分"],
        "年龄": ["18岁", "89岁", "40岁"],
        "收入": ["1.52万", "4.24万", "3.65万"],
    }
    path = tmp_path / "t.csv"
    lines = [
        ",".join(cells),
        *(",".join(f'"{cell}"' for cell in row) for row in zip(*cells.values(), strict=True)),
    ]
    path.write_text("\n".join(lines), encoding=encoding)
    read = open_rows(path, FileOptions(encoding=encoding if encoding != "utf-8" else None))
    frame = read.frame
    assert frame["价格"].tolist() == [17013.97, 38.2, 1200.0]
    assert frame["折扣"].tolist() == [27, 3, 98]
    assert frame["日期"].tolist() == [pd.Timestamp(day) for day in ("2021-08-15", "2025-11-04", "2020-01-09")]
    assert frame["时间"].tolist()[0] == pd.Timestamp("2025-08-15 00:04")
    assert frame["年龄"].tolist() == [18, 89, 40]
    assert frame["收入"].tolist() == [1.52, 4.24, 3.65]
    write_rows(tmp_path / "again.csv", frame, read.schema)
    again = open_rows(tmp_path / "again.csv")
    assert [again.cells[j].tolist() for j in range(len(cells))] == list(cells.values())
