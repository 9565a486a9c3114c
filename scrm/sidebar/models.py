"""What the workbench remembers (missed welcomes and lost customers a member has dealt with), and forms sent twice."""

from sqlalchemy import BigInteger, Column, Index, String, Table, text

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

form_made = Table(
    "form_made",
    metadata,
    # Of the member, the customer and the form that was filled in: a digest, which names nobody.
    Column("once", String(32), primary_key=True),
    # What the first sending of the form made.
    Column("made", BigInteger, nullable=False, server_default=text("0")),
    Column("made_at", UtcDateTime, nullable=False),
    Index("ix_form_made_made_at", "made_at"),
)
