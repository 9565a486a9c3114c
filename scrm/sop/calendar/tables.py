"""How far dates have been told, and which fires of schedules have been dealt with."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Table, text

from scrm.db.tables import UtcDateTime, metadata

# One row for each date that playbooks wait for; gone as soon as none does, so that coming back begins anew.
date_watch = Table(
    "date_watch",
    metadata,
    Column("date", String(80), primary_key=True),
    Column("lunar", Boolean, primary_key=True),
    Column("yearly", Boolean, primary_key=True),
    # Days before the date.
    Column("lead", Integer, primary_key=True, autoincrement=False),
    # The last day that was told, as YYYY-MM-DD.
    Column("told_until", String(10), nullable=False),
    # Values that were changed since are looked at once more.
    Column("looked_at", UtcDateTime, nullable=False),
)

# One fire of one schedule, claimed by its row.
schedule_fire = Table(
    "schedule_fire",
    metadata,
    Column("cron", String(80), primary_key=True),
    Column("segment", String(80), primary_key=True),
    Column("fire_at", UtcDateTime, primary_key=True),
    # The last member of the segment who was told.
    Column("after_id", BigInteger, nullable=False, server_default=text("0")),
    Column("told", Integer, nullable=False, server_default=text("0")),
    Column("ended_at", UtcDateTime),
)

# How many days one piece of what a playbook watches lasts: the median of the gaps between its buyers' orders.
consumption_cycle = Table(
    "consumption_cycle",
    metadata,
    Column("playbook_key", String(64), primary_key=True),
    Column("days", Float, nullable=False),
    # So many gaps; too few say nothing.
    Column("samples", Integer, nullable=False),
    Column("counted_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)
