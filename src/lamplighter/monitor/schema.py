"""The tables of the monitor's store."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = "1"

metadata = MetaData()
_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in a column of exactly this type

about = Table("lamplighter", metadata, Column("key", String(40), primary_key=True), Column("value", Text))
"""Facts of the store itself: its schema version."""

predictions = Table(
    "predictions",
    metadata,
    Column("seq", _SERIAL, primary_key=True, comment="order of arrival"),
    Column("id", Text, nullable=False, unique=True, comment="prediction id, as the client got it"),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("time", Float(53), nullable=False, comment="Unix seconds"),
    Column("latency", Float(53), nullable=False, comment="seconds"),
    Column("label", Text),
    Column("value", Float(53)),
    Column("confidence", Float(53)),
    Column("features", LargeBinary, nullable=False, comment="little-endian float32"),
    Column("scores", LargeBinary, nullable=False, comment="little-endian float32"),
    Index("predictions_in_order", "model", "version", "seq", "time"),
)

labels = Table(
    "labels",
    metadata,
    Column("prediction_id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("label", Text, comment="a class, or the numbers of several targets as JSON"),
    Column("value", Float(53)),
    Column("time", Float(53), nullable=False, comment="when the label came"),
    Column("predicted_at", Float(53), nullable=False),
    Column("error", Float(53), nullable=False, comment="1 wrong, 0 right; absolute error of numbers"),
    Index("labels_in_order", "model", "version", "predicted_at"),
)

windows = Table(
    "windows",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="0, 1, 2, ..."),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("started", Float(53), nullable=False, comment="time of the first prediction"),
    Column("ended", Float(53), nullable=False, comment="time of the last prediction"),
    Column("n", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),
    Column("p_value", Float(53), nullable=False),
    Column("verdict", Text, nullable=False, comment="JSON"),
    UniqueConstraint("model", "version", "number"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("state", Text, nullable=False, comment="firing or resolved"),
    Column("started", Float(53), nullable=False),
    Column("ended", Float(53)),
    Column("summary", Text, nullable=False),
    Column("details", Text, nullable=False, comment="JSON"),
    Column("delivered", Text, nullable=False, comment="JSON: sink -> last state it was told"),
    Index("alerts_of_model", "model", "version", "name"),
)
