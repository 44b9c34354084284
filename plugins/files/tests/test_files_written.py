"""What is written in a CSV file is what is read: ids, dates and numbers keep their meaning, or the
option that gives them one is named.
"""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from framework_files.options import FilesOptions
from framework_files.source import FilesSource

from framework.data.canonical_text import key_texts
from framework.errors import DataError
from framework.features.operations import Join
from framework.features.views import View
from framework.interfaces.source import Roles

VIEW = View.model_validate(
    {"entity": ["shop"], "columns": ["y", "kind"], "categories": ["kind"], "ttl": "1d"}
)
ROLES = Roles(("shop",), ("y",), ("event_timestamp",))


def read(
    folder: Path,
    content: str | bytes,
    roles: Roles = ROLES,
    *,
    name: str = "t.csv",
    files: Any = None,
    **table: Any,
) -> pd.DataFrame:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return source(folder, name, **table).read_as("t", roles)


def source(folder: Path, name: str = "t.csv", **table: Any) -> FilesSource:
    options = {"files": {"t": str(folder / name)}, "tables": {"t": table} if table else {}}
    return FilesSource(FilesOptions.model_validate(options))


def refused(folder: Path, content: str | bytes, roles: Roles = ROLES, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, content, roles, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def days(*texts: str) -> str:
    return "shop,event_timestamp,y\n" + "".join(f"a,{text},1\n" for text in texts)


def numbers(*texts: str, delimiter: str = ";") -> str:
    rows = [
        "shop;event_timestamp;y",
        *(f"a;2024-01-{day:02};{text}" for day, text in enumerate(texts, 1)),
    ]
    return "\n".join(rows).replace(";", delimiter) + "\n"


@pytest.mark.parametrize(
    "ids",
    [
        ["1044372000012345678901", "1044372000012345678902"],
        ["007", "7"],
        ["1.0", "1"],
        ["true", "false"],
        ["1e5", "2e3"],
    ],
)
def test_a_key_and_a_category_are_the_texts_that_are_written(
    tmp_path: Path, ids: list[str]
) -> None:
    content = "shop,event_timestamp,y,kind\n" + "".join(f"{i},2024-01-01,1,{i}\n" for i in ids)
    rows = read(tmp_path, content, Roles.of_view(VIEW))
    assert rows["shop"].tolist() == rows["kind"].tolist() == ids
    assert rows["y"].tolist() == [1, 1]


def test_an_id_in_a_query_under_another_name_keeps_its_zeros_and_digits(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "store,meter,event_timestamp,y\n007,1044372000012345678901,2024-01-01,5\n"
    )
    query = "SELECT store AS shop, meter AS kind, event_timestamp, y + 1 AS y FROM t"
    options = FilesOptions.model_validate(
        {"files": {"t": str(tmp_path / "t.csv")}, "tables": {"v": {"query": query}}}
    )
    assert FilesSource(options).read_as("v", Roles.of_view(VIEW)).iloc[0][
        ["shop", "kind", "y"]
    ].tolist() == [
        "007",
        "1044372000012345678901",
        6,
    ]


def test_an_id_in_the_name_of_a_folder_keeps_its_zeros(tmp_path: Path) -> None:
    for shop in ("007", "7"):
        for kind in ("csv", "parquet"):
            folder = tmp_path / kind / f"shop={shop}"
            folder.mkdir(parents=True)
            rows = pd.DataFrame({"event_timestamp": pd.to_datetime(["2024-01-01"]), "y": [1.0]})
            rows.to_csv(folder / "p.csv", index=False) if kind == "csv" else rows.to_parquet(
                folder / "p.parquet"
            )
    for kind in ("csv", "parquet"):
        reader = FilesSource(FilesOptions.model_validate({"files": {"t": str(tmp_path / kind)}}))
        assert sorted(reader.read_as("t", ROLES)["shop"]) == ["007", "7"]


def test_large_and_decimal_keys_of_parquet_keep_their_digits(tmp_path: Path) -> None:
    columns = (
        "10443720000123456789::HUGEINT + i AS huge, (1000000000000000000001 + "
        "i)::DECIMAL(22, 0) AS exact, "
        "(1 + i / 2)::DECIMAL(6, 2) AS cents, CASE WHEN i = 1 THEN NULL ELSE "
        "9007199254740993 + i END AS gap"
    )
    place = tmp_path / "t.parquet"
    duckdb.sql(
        f"COPY (SELECT DATE '2024-01-01' AS event_timestamp, {columns} FROM range(2) r(i)) "
        f"TO '{place}'"
    )
    reader = FilesSource(
        FilesOptions.model_validate(
            {"files": {"p": str(place)}, "tables": {"t": {"query": "SELECT * FROM p"}}}
        )
    )
    rows = reader.read_as("t", Roles(("huge", "exact", "cents", "gap")))
    texts = {name: key_texts(rows[name], "t").tolist() for name in ("exact", "cents", "gap")}
    assert texts == {
        "exact": ["1000000000000000000001", "1000000000000000000002"],
        "cents": ["1", "1.5"],
        "gap": ["9007199254740993", None],
    }
    numbers = reader.read_as("t", Roles((), ("exact", "cents")))
    assert numbers["cents"].astype(float).tolist() == [1.0, 1.5]
    assert Decimal(int(numbers["exact"].iloc[0])) > 10**20


@pytest.mark.parametrize(
    ("texts", "last"),
    [
        (["2024-01-05", "2024-02-03"], "2024-02-03"),
        (["2024-1-5"], "2024-01-05"),
        (["2024/01/05"], "2024-01-05"),
        (["2024.01.05"], "2024-01-05"),
        (["2024-01"], "2024-01-01"),
        (["2024-01-05 06:00"], "2024-01-05T06"),
        (["2024-01-05T06:00Z"], "2024-01-05T06"),
        (["2024/01/05 06:00:00"], "2024-01-05T06"),
        (["2024-01-05T06:00:00+02:00"], "2024-01-05T04"),
        (["2024-01-05T06:00:00.500"], "2024-01-05T06:00:00.5"),
        (["31/01/2024", "01/02/2024"], "2024-02-01"),  # only day first fits
        (["01/31/2024", "02/01/2024"], "2024-02-01"),  # only month first fits
        (["31.01.2024 06:30", "01.02.2024 06:30"], "2024-02-01T06:30"),
    ],
)
def test_a_date_with_one_reading_is_read(tmp_path: Path, texts: list[str], last: str) -> None:
    assert read(tmp_path, days(*texts))["event_timestamp"].iloc[-1] == pd.Timestamp(last, tz="UTC")


@pytest.mark.parametrize("text", ["01/02/2024", "01.02.2024", "1-2-2024", "01/02/2024 06:00"])
def test_a_date_with_two_readings_is_refused_until_its_format_is_declared(
    tmp_path: Path, text: str
) -> None:
    sign, clock = text.strip("0123456789: ")[0], " %H:%M" if ":" in text else ""
    said = refused(tmp_path, days(text))
    for part in (
        "column 'event_timestamp'",
        f"'{text}' fits day first and month first",
        "source.tables.t.date_format",
        f"'%d{sign}%m{sign}%Y{clock}'",
    ):
        assert part in said
    for order, month in (("%d{0}%m{0}%Y", 2), ("%m{0}%d{0}%Y", 1)):
        pattern = order.format(sign) + clock
        assert (
            read(tmp_path, days(text), date_format=pattern)["event_timestamp"].iloc[0].month
            == month
        )
        assert (
            read(tmp_path, days(text), date_format={"event_timestamp": pattern})["event_timestamp"]
            .iloc[0]
            .month
            == month
        )


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["31/01/2024", "01/31/2024"], {}, ["day first and month first in turn", "date_format"]),
        (["31/01/24"], {}, ["a year of two digits", "%d/%m/%y"]),
        (["5 Jan 2024"], {}, ["no ISO 8601 time", "date_format"]),
        (["20240105"], {}, ["BIGINT", "20240105 is a day", "date_format='%Y%m%d'"]),
        (["1704412800"], {}, ["are seconds since 1970", "date_format=epoch_s", "to_timestamp("]),
        (["1704412800000"], {}, ["milliseconds since 1970", "epoch_ms", "to_timestamp("]),
        (["1704412800", "soon"], {"date_format": "epoch_s"}, ["'soon'", "does not fit 'epoch_s'"]),
        (["1704412800000"], {"date_format": "epoch_s"}, ["are milliseconds", "=epoch_ms"]),
        (["2024-02-30"], {}, ["'2024-02-30' is no day"]),
        (["01/02/2024", "2024-02-03"], {}, ["no ISO 8601 time"]),
        (
            ["01/02/2024", "01/25/2024"],
            {"date_format": "%d/%m/%Y"},
            ["'01/25/2024'", "does not fit '%d/%m/%Y'", "1 of 2"],
        ),
        (["01/02/24"], {"date_format": "%d/%m/%Y"}, ["a year of two digits"]),
        (["01/25/2024"], {"date_format": "%d.%m.%Y"}, ["'01/25/2024' does not fit '%d.%m.%Y'"]),
        (["01/02/2024"], {"date_format": {"day": "%d/%m/%Y"}}, ["date_format: no column 'day'"]),
    ],
)
def test_any_other_date_is_refused_with_a_value_and_the_option(
    tmp_path: Path, texts: list[str], options: dict, words: list[str]
) -> None:
    said = refused(tmp_path, days(*texts), **options)
    for word in words:
        assert word in said


def test_a_declared_format_reads_days_without_signs_and_names_of_months(tmp_path: Path) -> None:
    assert read(tmp_path, days("20240105"), date_format="%Y%m%d")["event_timestamp"].iloc[
        0
    ] == pd.Timestamp("2024-01-05", tz="UTC")
    assert read(tmp_path, days("5 Jan 2024"), date_format="%d %b %Y")["event_timestamp"].iloc[
        0
    ] == pd.Timestamp("2024-01-05", tz="UTC")
    assert read(tmp_path, days("01/02/24"), date_format="%d/%m/%y")["event_timestamp"].iloc[
        0
    ] == pd.Timestamp("2024-02-01", tz="UTC")


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["1704412800", "1704416400"], "epoch_s"),
        (["1704412800000", "1704416400000"], "epoch_ms"),
        (["2024-01-05", "05.01.2024 01:00"], ["%Y-%m-%d", "%d.%m.%Y %H:%M"]),
    ],
)
def test_several_formats_and_seconds_since_1970_are_read(
    tmp_path: Path, texts: list[str], formats: str | list[str]
) -> None:
    times = read(tmp_path, days(*texts), date_format=formats)["event_timestamp"]
    assert times.tolist() == list(pd.date_range("2024-01-05", periods=2, freq="h", tz="UTC"))


def test_dates_of_versions_and_of_joined_tables_are_held_to_the_same(tmp_path: Path) -> None:
    view = View.model_validate(
        {**VIEW.model_dump(), "columns": ["y"], "categories": [], "created": "seen"}
    )
    content = "shop,event_timestamp,y,seen\na,2024-01-01,1,01/02/2024\n"
    assert "column 'seen'" in refused(tmp_path, content, Roles.of_view(view))
    join = Join(op="join", table="t", by=("shop",), columns=("y",), time="since")
    assert "column 'since'" in refused(
        tmp_path, "shop,since,y\na,01/02/2024,1\n", Roles.of_joins([(view, join)])
    )


def test_a_query_may_parse_what_is_in_doubt_and_does_not_get_a_guess(tmp_path: Path) -> None:
    content = days("01/02/2024")
    query = "SELECT shop, strptime(event_timestamp, '%m/%d/%Y') AS event_timestamp, y FROM t"
    assert read(tmp_path, content, query=query)["event_timestamp"].iloc[0].month == 1
    query = "SELECT shop, date_trunc('month', event_timestamp) AS event_timestamp, y FROM t"
    said = refused(tmp_path, content, query=query)
    assert (
        "column 'event_timestamp' of file 't' is text: '01/02/2024' fits day first and month first"
        in said
    )


@pytest.mark.parametrize(
    ("texts", "options", "values"),
    [
        (["1.5", "-2", "+3", ".5", "1e5"], {}, [1.5, -2, 3, 0.5, 1e5]),
        (["987", "1.234"], {"thousands": "."}, [987, 1234]),
        (["987", "1.234"], {"decimal": "."}, [987, 1.234]),
        (["1.234,5", "7"], {"decimal": ",", "thousands": "."}, [1234.5, 7]),
        (["1,5", "2"], {"decimal": ","}, [1.5, 2]),
        (["1,234.5", "2"], {"thousands": ","}, [1234.5, 2]),
        (["1 234,5", "2"], {"decimal": ",", "thousands": " "}, [1234.5, 2]),
        (["1\u202f234", "1\u00a0235"], {"thousands": " "}, [1234, 1235]),
        (["1'234", "2"], {"thousands": "'"}, [1234, 2]),
        (["0.125", "12.500"], {}, [0.125, 12.5]),
        (["1234.500", "12.500", "7"], {}, [1234.5, 12.5, 7]),
        (["007", "12"], {}, [7, 12]),
        (["1", "NA", "-"], {"null_values": ["", "NA", "-"]}, [1, None, None]),
        (["true", "false"], {}, [1, 0]),
    ],
)
def test_a_number_with_one_reading_or_a_declared_one_is_read(
    tmp_path: Path, texts: list[str], options: dict, values: list
) -> None:
    column = read(tmp_path, numbers(*texts, delimiter="|"), **options)["y"]
    assert [None if pd.isna(v) else float(v) for v in column] == values


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["987", "1.234"], {}, ["'1.234' is 1.234 or 1234", "decimal='.'", "thousands='.'"]),
        (["1.234.567", "5"], {}, ["dots between thousands", "thousands='.'"]),
        (["1,5", "2"], {}, ["'1,5' has a decimal comma", "source.tables.t.decimal=','"]),
        (["1,234", "2"], {}, ["decimal=','", "thousands=','"]),
        (["1,234.5", "2"], {}, ["thousands=','"]),
        (["1.234,5", "2"], {}, ["decimal=','", "thousands='.'"]),
        (["1 234", "2"], {}, ['thousands=" "']),
        (["1\u00a0234", "2"], {}, ['thousands=" "']),
        (["1'234", "2"], {}, ['thousands="\'"']),
        (["12%", "13%"], {}, ["'12%' has a unit or a currency sign", "query"]),
        (["€5", "€6.50"], {}, ["a currency sign"]),
        (["5 EUR"], {}, ["a currency sign"]),
        (["1", "NA"], {"null_values": [""]}, ["'NA' is no number", "source.tables.t.null_values"]),
        (["1", "-"], {}, ["'-' is no number", "null_values"]),
        (["1", "-inf"], {}, ["'-inf' is no number", "null_values"]),
        (["yes", "no"], {}, ["'yes' is no number", "categories"]),
        (["1_000", "2_000"], {}, ['thousands="_"']),
        (["1.5", "2"], {"decimal": ","}, ["'1.5' is no number"]),
        (["12.34", "5"], {"thousands": "."}, ["'12.34' is no number"]),
    ],
)
def test_a_number_in_doubt_is_refused_with_the_option(
    tmp_path: Path, texts: list[str], options: dict, words: list[str]
) -> None:
    said = refused(tmp_path, numbers(*texts, delimiter="|"), **options)
    for word in ("column 'y' is text, a number is needed", *words):
        assert word in said


def test_the_usual_texts_for_null_are_null_between_numbers_and_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(numbers("1", "NA", "nan", " ", "2,5", "NA"))
    reader = source(tmp_path, decimal=",")
    column = reader.read_as("t", ROLES)["y"]
    assert [None if pd.isna(v) else v for v in column] == [1, None, None, None, 2.5, None]
    (line,) = reader.warnings()
    assert "column 'y': '' (1 rows), 'NA' (2 rows), 'nan' (1 rows) is read as null" in line
    assert "source.tables.t.null_values" in line


def test_dots_in_a_file_with_semicolons_are_in_doubt_and_said_elsewhere(tmp_path: Path) -> None:
    assert "'1.234' is 1.234 or 1234" in refused(tmp_path, numbers("1.234", "5.678"))
    (tmp_path / "t.csv").write_text(numbers("1.234", "5.678", delimiter=","))
    reader = source(tmp_path)
    assert reader.read_as("t", ROLES)["y"].tolist() == [1.234, 5.678]
    (line,) = reader.warnings()
    assert (
        "column 'y' has three digits behind a dot, such as '1.234'; they are read as decimals"
        in line
    )
    (tmp_path / "t.csv").write_text(numbers("1.234", "5.6", delimiter=","))
    reader = source(tmp_path)
    reader.read_as("t", ROLES)
    assert not reader.warnings()


def test_a_sum_over_a_column_in_doubt_is_refused_with_the_option(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        numbers("1,5", "2"),
        query="SELECT shop, event_timestamp, sum(y) AS y FROM t GROUP BY ALL",
    )
    assert (
        "column 'y' of file 't' is text: '1,5' has a decimal comma; set source.tables.t.decimal=','"
        in said
    )


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("latin-1", "cp1252"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16"), ("utf-8-sig", None)],
)
def test_another_encoding_is_named_and_read(
    tmp_path: Path, encoding: str, named: str | None
) -> None:
    content = days("2024-01-01").replace("a,", "Zürich,").encode(encoding)
    if named:
        assert "source.tables.t.encoding" in refused(tmp_path, content)
        assert named in refused(tmp_path, content)
    rows = read(tmp_path, content, encoding=encoding) if named else read(tmp_path, content)
    assert (rows.columns[0], rows["shop"].iloc[0]) == ("shop", "Zürich")


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n\n", "mixed"])
def test_lines_end_in_any_way(tmp_path: Path, ending: str) -> None:
    content = days("2024-01-01", "2024-01-02")
    content = (
        content.replace("\n", "\r\n", 1) if ending == "mixed" else content.replace("\n", ending)
    )
    assert len(read(tmp_path, content)) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("shop,event_timestamp,y\na,2024-01-01,1\na,2024-01-02\n", ["line 3", "2 of 3 fields"]),
        (
            "shop,event_timestamp,y\na,2024-01-01,1\na,2024-01-02,1,5\na,2024-01-03,1\n",
            ["line 3", "4 of 3 fields", "delimiter"],
        ),
        ('shop,event_timestamp,y\na,2024-01-01,1\n"a,2024-01-02,1\n', ["line 3", "quotation mark"]),
        ("shop,y,event_timestamp,y\na,1,2024-01-01,1\n", ["two columns 'y'"]),
        ("shop,Y,event_timestamp,y\na,1,2024-01-01,1\n", ["two columns 'y'"]),
        (
            "a,2024-01-01,1\na,2024-01-02,1\n",
            ["no column 'shop'", "the first line of a CSV names the columns"],
        ),
        ("Shop,event_timestamp,y\na,2024-01-01,1\n", ["no column 'shop'", "Did you mean 'Shop'?"]),
        (
            "shop,date,y\na,2024-01-01,1\n",
            ["no column 'event_timestamp'", "rename: {COLUMN: event_timestamp}"],
        ),
        ("", ["t.csv is empty"]),
        ("\n", ["blank"]),
        (b"PK\x03\x04 and so on", ["Excel", "save the sheet as CSV"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", ["Excel"]),
        (b"BZh91AY", ["bzip2"]),
        (
            gzip.compress(days("2024-01-01").encode(), mtime=0)[:-12],
            ["cannot be read", "is the file whole?"],
        ),
        (
            "shop;event_timestamp,x;y\na;2024-01-01,1;1\nb;2024-01-01,1;1\n",
            ["not clear", "source.tables.t.delimiter"],
        ),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    tmp_path: Path, content: str | bytes, words: list[str]
) -> None:
    said = refused(tmp_path, content)
    for word in words:
        assert word in said


def test_a_file_cut_short_and_a_file_of_another_kind_are_named(tmp_path: Path) -> None:
    pd.DataFrame({"shop": ["a"]}).to_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    for part in (content[: len(content) // 2], b""):
        assert "cannot be read" in refused(tmp_path, part, name="t.parquet")
    assert "save the sheet as CSV" in refused(tmp_path, b"PK\x03\x04", name="t.xlsx")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            {"rename": {"date": "event_timestamp"}},
            ["rename: date to event_timestamp", "has a column 'event_timestamp' already"],
        ),
        ({"rename": {"date": "x", "shop": "x"}}, ["rename: both", "'date'", "'shop'", "to 'x'"]),
        ({"rename": {"dat": "x"}}, ["rename: no column 'dat'", "Did you mean 'date'?"]),
        ({"order_by": ["shp"]}, ["order_by: no column 'shp'", "Did you mean 'shop'?"]),
        ({"texts": ["shp"]}, ["source.tables.t.texts: no column 'shp'", "Did you mean 'shop'?"]),
        ({"query": "SELECT * FROM t WHERE shp = 'a'"}, ["table 't'", "shp", "shop"]),
        ({"query": "SELECT * FROM tt"}, ["table 't'", "tt"]),
        ({"query": "CREATE TABLE x (y INT)"}, ["one SELECT"]),
        (
            {"query": "SELECT shop, 5 AS event_timestamp, y FROM t"},
            ["INTEGER", "a timestamp is needed", "cast it in a query"],
        ),
    ],
)
def test_a_table_that_names_what_is_not_there_is_refused(
    tmp_path: Path, table: dict, words: list[str]
) -> None:
    said = refused(tmp_path, "shop,date,event_timestamp,y\na,2024-01-01,2024-01-01,1\n", **table)
    for word in words:
        assert word in said


def test_columns_may_change_their_names_with_each_other_and_are_sorted_by_either_name(
    tmp_path: Path,
) -> None:
    content = "shop,date,y\nb,2024-01-01,1\na,2024-01-02,2\na,2024-01-01,3\n"
    for order in (["shop", "date"], ["shop", "event_timestamp"]):
        assert read(tmp_path, content, rename={"date": "event_timestamp"}, order_by=order)[
            "y"
        ].tolist() == [3, 2, 1]
    swapped = read(
        tmp_path,
        "shop,event_timestamp,y\na,2024-01-01,b\n",
        Roles(("shop", "y")),
        rename={"shop": "y", "y": "shop"},
    )
    assert swapped[["shop", "y"]].to_numpy().tolist() == [["b", "a"]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"decimal": ";"}, "decimal"),
        ({"decimal": ",", "thousands": ","}, "the same sign"),
        ({"encoding": "utf-9"}, "no such encoding"),
        ({"encoding": "base64"}, "no such encoding"),
        ({"date_format": "DD/MM/YYYY"}, "such as %d/%m/%Y"),
    ],
)
def test_options_are_checked_before_anything_is_read(
    tmp_path: Path, table: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        source(tmp_path, **table)


def test_an_option_that_does_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"tables\.v\.decimal says how the file 'v' is read, and there is none"
    ):
        FilesOptions.model_validate(
            {"files": {"t": "t.csv"}, "tables": {"v": {"query": "SELECT 1", "decimal": ","}}}
        )
    pd.DataFrame({"shop": ["a"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"source\.tables\.t\.decimal is for CSV files"):
        source(tmp_path, "t.parquet", decimal=",").read("t")
