"""Originals by their SHA-256, what WeCom calls them, and who needs them alive."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import UtcDateTime, metadata

# The bytes themselves lie in content.media_dir, under the same name.
media_original = Table(
    "media_original",
    metadata,
    Column("sha256", String(64), primary_key=True),
    # image, voice, video, file
    Column("kind", String(10), nullable=False),
    Column("filename", String(160), nullable=False),
    Column("content_type", String(120), nullable=False),
    Column("size", Integer, nullable=False),
    Column("width", Integer, nullable=False, server_default=text("0")),
    Column("height", Integer, nullable=False, server_default=text("0")),
    Column("added_by", String(64), nullable=False, server_default=text("''")),
    Column("is_hidden", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_media_original_created_at", "created_at"),
)

# What WeCom calls an original when it is used for something; ids of different uses are not interchangeable.
media_copy = Table(
    "media_copy",
    metadata,
    Column("sha256", ForeignKey("media_original.sha256"), primary_key=True),
    # message, picture, moment, album, group_welcome
    Column("use", String(16), primary_key=True),
    # A media id, or the permanent address of a picture; empty while there is none.
    Column("media_id", String(512), nullable=False, server_default=text("''")),
    # Of upload_by_url, until its result is there.
    Column("jobid", String(80), nullable=False, server_default=text("''")),
    Column("made_at", UtcDateTime),
    # When it is to be made anew, and when it dies; None for what lives for ever.
    Column("renew_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("claimed_until", UtcDateTime),
    Column("errcode", Integer, nullable=False, server_default=text("0")),
    Column("reason", String(300), nullable=False, server_default=text("''")),
    Index("ix_media_copy_renew_at", "renew_at"),
    Index("ix_media_copy_jobid", "jobid"),
)

# Something that is published needs this original alive: "playbook:new-customer", "script:12" ...
media_wish = Table(
    "media_wish",
    metadata,
    Column("owner", String(120), primary_key=True),
    Column("sha256", ForeignKey("media_original.sha256"), primary_key=True),
    Column("use", String(16), primary_key=True),
    Index("ix_media_wish_sha256", "sha256", "use"),
)
