"""A form that is sent twice makes one thing: the answer to the first sending was lost, or a thumb was quick."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection, delete, select, update

from scrm.db import upsert
from scrm.errors import Invalid
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.models import form_made
from web.texts import _

# Nobody's sheet stays open longer than that.
_KEPT = timedelta(days=2)
_MOST = 64


def new_once() -> str:
    """For one form, until what it was filled in with is kept."""
    return secrets.token_urlsafe(12)


def make_once(conn: Connection, visit: Visit, once: str, make: Callable[[], int]) -> int:
    """What `make` makes, or what it made when this form was sent before; a form without a mark is always new."""
    if len(once) > _MOST:
        raise Invalid(_("请刷新页面再试。"))
    if not once:
        return make()
    key = hashlib.blake2b(f"{visit.userid}\n{visit.external_userid}\n{once}".encode(), digest_size=16).hexdigest()
    # Whoever comes second waits here until the first has finished.
    claim = upsert(form_made, conn).values(once=key, made_at=visit.now).on_conflict_do_nothing()
    if conn.execute(claim.returning(form_made.c.once)).one_or_none() is None:
        return int(conn.execute(select(form_made.c.made).where(form_made.c.once == key)).scalar_one())
    conn.execute(delete(form_made).where(form_made.c.made_at < visit.now - _KEPT))
    made = make()
    conn.execute(update(form_made).where(form_made.c.once == key).values(made=made))
    return made
