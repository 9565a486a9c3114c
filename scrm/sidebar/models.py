"""What the workbench remembers: which missed welcomes and lost customers a member has dealt with."""

from sqlalchemy import Column, String, Table

from scrm.db.tables import UtcDateTime, metadata

today_mark = Table(
    "today_mark",
    metadata,
    Column("userid", String(64), primary_key=True),
    # welcome, lost
    Column("about", String(8), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    # The moment of what was dealt with: the same customer lost once more is shown once more.
    Column("since", UtcDateTime, nullable=False),
    Column("marked_at", UtcDateTime, nullable=False),
)
