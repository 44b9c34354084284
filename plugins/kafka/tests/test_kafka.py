"""``source=kafka`` on librdkafka's mock cluster: at least once, the same rows when replayed, a
killed ingestion, bad messages parked.
"""

from __future__ import annotations

import io
import json
import struct
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pandas as pd
import pytest
from confluent_kafka import Consumer
from framework_kafka import KafkaOptions
from framework_kafka.source import KafkaSource
from kafka_cases import FIRST, MockCluster, message

from framework.errors import ConfigError, DataError
from framework.features.views import View
from framework.options import validate

VIEW = View.model_validate(
    {"entity": ["shop"], "columns": ["y", "kind"], "categories": ["kind"], "ttl": "1d"}
)


def source(cluster: MockCluster, **options: Any) -> KafkaSource:
    base = {"bootstrap_servers": cluster.servers, "timeout": "5s"}
    return KafkaSource(validate(KafkaOptions, {**base, **options}, "source"))


def drain(
    reader: KafkaSource, position: str | None = None
) -> tuple[list[list[tuple[str, float]]], str | None]:
    """Store everything: the rows of each batch, and the last position."""
    batches = []
    for batch in reader.batches("sales", VIEW, position):
        position = batch.position
        if len(batch.rows):
            batches.append(list(zip(batch.rows["shop"], batch.rows["y"], strict=True)))
        if batch.stored is not None:
            batch.stored()
    reader.close()
    return batches, position


def headers(message: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers()}


def test_messages_are_rows_and_offsets_are_committed_when_they_are_stored(
    cluster: MockCluster,
) -> None:
    cluster.send("sales", message("a", 0, None, kind=None), message("a", 1, 1), message("a", 2, 2))
    reader = source(cluster, batch=2)
    batches = reader.batches("sales", VIEW, None)
    first = next(batches)
    assert first.rows["y"].isna().tolist() == [True, False]
    assert first.rows["kind"].tolist() == [None, "k"]
    assert first.rows["event_timestamp"].iloc[0] == pd.Timestamp(FIRST)
    assert not first.whole
    assert cluster.committed("sales") == {}
    assert first.stored is not None
    first.stored()
    assert cluster.committed("sales")[0] == 2
    assert next(batches).rows["y"].tolist() == [2.0]
    reader.close()


def test_reading_goes_on_behind_what_is_stored_whatever_another_consumer_commits(
    cluster: MockCluster,
) -> None:
    cluster.send("sales", message("a", 0, 1))
    _, position = drain(source(cluster))
    cluster.send("sales", message("a", 1, 2))
    drain(source(cluster))  # another project, with the same group and a store of its own
    assert cluster.committed("sales")[0] == 2
    assert drain(source(cluster), position)[0] == [[("a", 2.0)]]


def test_what_was_stored_and_not_committed_comes_again_with_all_behind_it(
    cluster: MockCluster,
) -> None:
    """As after kill -9 between the two: parking is behind the commit, so it is done again too."""
    cluster.send("sales", message("a", 0, 1), message("a", 0, 2))
    reader = source(cluster, batch=1)
    batches = reader.batches("sales", VIEW, None)
    first = next(batches)
    assert first.stored is not None
    first.stored()
    position = next(batches).position  # its rows are stored, and the process ends
    reader.close()
    assert drain(source(cluster), position)[0] == [[("a", 2.0)]]


def test_offsets_that_somebody_sets_back_are_read_again(cluster: MockCluster) -> None:
    cluster.send("sales", message("a", 0, 1), message("a", 1, 2))
    _, position = drain(source(cluster))
    reader = source(cluster)
    reader._reader("sales").commit({0: 1})
    reader.close()
    assert drain(source(cluster), position)[0] == [[("a", 2.0)]]


def test_each_partition_goes_on_where_it_was(cluster: MockCluster) -> None:
    cluster.send("sales", message("a", 0, 1))
    cluster.send("sales", message("b", 0, 2), partition=3)
    assert sorted(drain(source(cluster))[0][0]) == [("a", 1.0), ("b", 2.0)]
    _, position = drain(source(cluster))
    cluster.send("sales", message("b", 1, 3), partition=3)
    cluster.send("sales", message("c", 0, 4), partition=1)
    reader = source(cluster)
    assert sorted(drain(reader, position)[0][0]) == [("b", 3.0), ("c", 4.0)]
    assert reader.warnings() == []


def test_a_series_in_two_partitions_is_a_warning(cluster: MockCluster) -> None:
    cluster.send("sales", message("a", 0, 1))
    cluster.send("sales", message("a", 0, 2), partition=1)
    reader = source(cluster)
    drain(reader)
    (line,) = reader.warnings()
    assert "one series are in more than one partition, such as {'shop': 'a'}" in line
    assert "['shop'] as the key" in line


def test_messages_that_were_deleted_before_they_were_stored_are_named_once(
    cluster: MockCluster,
) -> None:
    """The mock cluster keeps five megabytes of a partition."""
    cluster.send("sales", message("a", 0, 1))
    _, position = drain(source(cluster))
    for day in range(1, 9):
        cluster.send("sales", message("a", day, day, note="x" * 900_000))
    stored = []

    def store() -> None:
        for batch in source(cluster).batches("sales", VIEW, position):
            stored.append(batch)
            if batch.stored is not None:
                batch.stored()

    with pytest.raises(DataError, match=r"[1-4] messages were deleted .* offset 1 of partition 0"):
        store()
    rows = stored[-1].rows["y"].tolist()
    assert rows[-1] == 8.0
    assert len(rows) < 8
    assert stored[0].rows.empty
    assert drain(source(cluster), stored[-1].position)[0] == []


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(cluster: MockCluster) -> None:
    cluster.send("sales", *(message("a", day, 1) for day in range(3)))
    _, position = drain(source(cluster))
    other = MockCluster()
    other.send("sales", message("b", 0, 5))
    reader = source(other)
    assert drain(reader, position)[0] == [[("b", 5.0)]]
    assert "partition 0 ends at 1, and 3 was stored" in reader.warnings()[0]


BAD: list[tuple[Any, str]] = [
    (message("a", 1, "many"), "field 'y': 'many' is not a number"),
    (message("a", 1, True), "field 'y': True is not a number"),
    (message(" ", 1, 1), "field 'shop': empty"),
    (message(0.5, 1, 1), "field 'shop': 0.5 is a floating-point number"),
    (message("a", 1, 1, kind=["k"]), "field 'kind': a list is no text"),
    (message("a", 1, 1, event_timestamp="soon"), "field 'event_timestamp': 'soon' is not an ISO"),
    (message("a", 1, 1, event_timestamp=17), "field 'event_timestamp': 17 is a number; date_forma"),
    ({"shop": "a"}, "field 'event_timestamp': missing; the entry has ['shop']"),
    (b'{"y": NaN}', "no JSON: NaN is no number of JSON"),
    (b"[1]", "the value is list, not an object with fields"),
    (b"\xff", "no JSON: "),
    (None, "it has no value; a stored row is not deleted by a stream"),
]


def test_bad_messages_are_parked_before_they_are_committed(cluster: MockCluster) -> None:
    cluster.send("sales", message("a", 0, 1), *(body for body, _ in BAD), message("a", 2, 3))
    reader = source(cluster)
    assert drain(reader)[0] == [[("a", 1.0), ("a", 3.0)]]
    (line,) = reader.warnings()  # one, however many there are
    assert f"topic 'sales' has what is no row, the first message 0-1: {BAD[0][1]}" in line
    assert line.endswith("kept in 'sales.dead'")
    parked = cluster.messages("sales.dead")
    by_entry = {headers(m)["framework.entry"]: m for m in parked}
    assert len(parked) == len(BAD)
    for number, (body, why) in enumerate(BAD, 1):
        copy = by_entry[f"0-{number}"]
        assert headers(copy)["framework.error"].startswith(why)
        original = json.dumps(body).encode() if isinstance(body, dict) else body
        assert copy.value() == original


@pytest.mark.parametrize(
    ("options", "messages", "key"),
    [
        ({"date_format": "epoch_s"}, [message("a", 0, 1), message("a", 1, 1)], "date_format"),
        ({"rename": {"at": "event_timestamp"}}, [message("a", 0, 1)] * 2, "rename"),
        ({"format": "avro", "avro_schema": {"type": "int"}}, [message("a", 0, 1)] * 2, "format"),
    ],
)
def test_a_fault_of_every_message_is_one_of_the_configuration(
    cluster: MockCluster, options: Any, messages: list[Any], key: str
) -> None:
    """Nothing is parked or committed; a row beside them tells them from it."""
    cluster.send("sales", *messages)
    with pytest.raises(ConfigError, match=rf"^source\.topics\.sales\.{key}: none of the first 2 "):
        drain(source(cluster, topics={"sales": options}))
    assert cluster.messages("sales.dead") == []
    assert cluster.committed("sales") == {}
    rows, _ = drain(source(cluster))
    assert len(rows[0]) == 2


def test_faults_of_messages_behind_a_row_or_unlike_each_other_are_the_senders(
    cluster: MockCluster,
) -> None:
    cluster.send("sales", message("a", 0, "many"), {"shop": "a"})
    assert drain(source(cluster, batch=2))[0] == []
    cluster.send("sales", message("a", 0, 1), message("a", 1, "no"), message("a", 2, "no"))
    cluster.send("sales", message("a", 3, "no"))
    assert drain(source(cluster, batch=2))[0] == [[("a", 1.0)]]
    assert len(cluster.messages("sales.dead")) == 2 + 5


def test_a_bad_message_stops_the_ingestion_where_the_policy_says_so(cluster: MockCluster) -> None:
    cluster.send("sales", message("a", 0, "many"))
    with pytest.raises(DataError, match=r"topic 'sales': message 0-0: field 'y'.*=park"):
        drain(source(cluster, bad_entries="refuse"))
    assert cluster.committed("sales") == {}


def test_fields_have_names_and_times_of_their_own(cluster: MockCluster) -> None:
    cluster.send("tills", {"ts": 1_704_067_200_500, "till": 7, "y": 5, "kind": "k", "unused": []})
    rename = {"ts": "event_timestamp", "till": "shop"}
    topics = {"sales": {"topic": "tills", "rename": rename, "date_format": "epoch_ms"}}
    reader = source(cluster, topics=topics)
    (batch,) = reader.batches("sales", VIEW, None)
    assert batch.rows["shop"].tolist() == ["7"]
    assert batch.rows["event_timestamp"].iloc[0] == pd.Timestamp("2024-01-01T00:00:00.5Z")
    assert reader.read("sales")["event_timestamp"].iloc[0] == pd.Timestamp("2024-01-01T00:00:00.5Z")
    assert list(reader.fingerprint()) == ["tills (entries)"]
    reader.close()


SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "shop", "type": "long"},
        {"name": "event_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "y",
            "type": [
                "null",
                {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            ],
        },
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["k", "l"]}},
    ],
}


def datum(y: Decimal | None) -> bytes:
    stream = io.BytesIO()
    record = {"shop": 2**60 + 1, "event_timestamp": FIRST, "y": y, "kind": "l"}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), record)
    return stream.getvalue()


def test_avro_is_read_by_a_schema_in_a_file_and_the_rest_is_parked(
    cluster: MockCluster, tmp_path: Path
) -> None:
    (tmp_path / "sale.avsc").write_text(json.dumps(SCHEMA))
    cluster.send("sales", datum(Decimal("1.25")), datum(None), datum(None) + b"!", b"\x01")
    topics = {"sales": {"format": "avro", "avro_schema": str(tmp_path / "sale.avsc")}}
    (batch,) = source(cluster, topics=topics).batches("sales", VIEW, None)
    assert batch.rows["shop"].tolist() == [str(2**60 + 1)] * 2
    assert batch.rows["y"].fillna(0).tolist() == [1.25, 0]
    assert batch.rows["kind"].tolist() == ["l", "l"]
    assert batch.rows["event_timestamp"].iloc[0] == pd.Timestamp(FIRST)
    assert batch.stored is not None
    batch.stored()
    reasons = [headers(m)["framework.error"] for m in cluster.messages("sales.dead")]
    assert len(reasons) == 2
    assert any("bytes are left over" in reason for reason in reasons)


def test_avro_with_the_id_of_its_schema_is_read_by_that_schema_alone(cluster: MockCluster) -> None:
    other = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "more", "type": "int"}]}
    one = datum(Decimal("1.25"))
    cluster.send("sales", struct.pack(">bI", 0, 7) + one, struct.pack(">bI", 0, 9) + one + b"\x02")
    cluster.send("sales", struct.pack(">bI", 0, 8) + one)
    topics = {"sales": {"format": "avro", "avro_schemas": {7: SCHEMA, 9: other}}}
    rows, _ = drain(source(cluster, topics=topics))
    assert [y for _, y in rows[0]] == [1.25, 1.25]
    (dead,) = cluster.messages("sales.dead")
    assert headers(dead)["framework.error"] == "its schema is 8; avro_schemas has [7, 9]"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"topics": {"sales": {"format": "avro"}}}, "format: avro needs avro_schema or"),
        ({"topics": {"sales": {"avro_schema": "a"}}}, "go with format: avro"),
        (
            {"client": {"group_id": "x"}},
            r"source\.client: group_id is not set here; use source\.gro",
        ),
        ({"client": {"ssl.key.pem": "hunter2"}}, "use ssl_key_location, the file of the key"),
        ({"client": {"sasl": {"password": "hunter2"}}}, "a property is one key, such as sasl_mec"),
        ({"client": {"sasl_pasword": "x"}}, r'source\.client: No such .* "sasl\.pasword"'),
        ({"topics": {"sales": {"format": "avro", "avro_schema": "no.avsc"}}}, "no.avsc: No such"),
        ({"topics": {"sales": {"format": "avro", "avro_schema": {"type": "x"}}}}, "no Avro schema"),
    ],
)
def test_wrong_options_are_refused(cluster: MockCluster, options: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refusal:
        drain(source(cluster, **options))
    assert "hunter2" not in str(refusal.value)


def test_an_absent_broker_and_an_absent_topic_are_named(cluster: MockCluster) -> None:
    lost = source(cluster, bootstrap_servers="127.0.0.1:1", timeout="200ms")
    with pytest.raises(DataError, match=r"topic 'sales' at 127\.0\.0\.1:1: .*Connection refused"):
        drain(lost)
    with pytest.raises(DataError, match=r"topic 'sales' .*Unknown topic"):
        drain(source(cluster))


def test_a_password_is_masked_where_options_are_written(cluster: MockCluster) -> None:
    options = source(cluster, client={"sasl_password": "hunter2", "sasl_username": "me"}).options
    assert options.model_dump()["client"] == {"sasl_password": "***", "sasl_username": "me"}
    assert "hunter2" not in repr(options)


@pytest.mark.stress  # joining a group takes three seconds
def test_a_group_whose_members_share_the_partitions_is_refused(cluster: MockCluster) -> None:
    cluster.send("sales", message("a", 0, 1))
    member = Consumer({"bootstrap.servers": cluster.servers, "group.id": "framework"})
    member.subscribe(["sales"])
    until = time.monotonic() + 20
    while not member.assignment() and time.monotonic() < until:
        member.poll(0.1)
    with pytest.raises(DataError, match=r"set source\.group to a name of its own"):
        drain(source(cluster))
    member.close()
