"""Alembic's entry: runs on the connection that scrm.db.migrate opened."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON, BigInteger

from scrm.db.every_table import metadata
from scrm.db.tables import UtcDateTime


def render_type(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Migrations name our own types by the plain type beneath, so that they never change with the code."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "sa.BigInteger()"
    if isinstance(item, JSON):
        autogen.imports.add("from scrm.db.tables import Json")
        return "Json"
    if isinstance(item, BigInteger) and "sqlite" in item._variant_mapping:
        autogen.imports.add("from scrm.db.tables import BigId")
        return "BigId"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=render_type,
)
with context.begin_transaction():
    context.run_migrations()
