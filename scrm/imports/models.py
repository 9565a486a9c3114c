"""Files brought in by people: what each came to, how tables of unknown headings are read, and tags that wait."""

from sqlalchemy import Boolean, Column, Float, Index, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


# How a table of somebody's own headings is read; recognised again by the same headings.
import_mapping = Table(
    "import_mapping",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("signature", String(64), nullable=False),
    # Our field -> their heading.
    Column("columns", Json, nullable=False),
    # channel, statuses: their word -> ours
    Column("options", Json, nullable=False, server_default=text("'{}'")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_import_mapping_signature", "signature"),
)

# state: waiting, checking, checked, running, stopping, stopped, done, failed
import_job = Table(
    "import_job",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # orders, customers
    Column("kind", String(16), nullable=False),
    Column("files", Json, nullable=False),
    _text("folder", 80),
    _text("format", 80),
    _text("shop_key", 80),
    Column("only_new", Boolean, nullable=False, server_default=text("false")),
    Column("state", String(16), nullable=False),
    Column("share", Float, nullable=False, server_default=text("0")),
    Column("forecast", Json, nullable=False, server_default=text("'{}'")),
    Column("counts", Json, nullable=False, server_default=text("'{}'")),
    Column("problem", Text, nullable=False, server_default=text("''")),
    _text("by", 64),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

# A tag for somebody who is no contact yet; value is a unionid, or the keyed hash of a phone.
pre_tag = Table(
    "pre_tag",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("value", String(128), primary_key=True),
    Column("tag", String(80), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("given_at", UtcDateTime),
)

# How far the tick that gives waiting tags has looked through events and identities.
import_cursor = Table(
    "import_cursor",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("seen", BigId, nullable=False, autoincrement=False),
)
