"""Where the id of a person leads who became one with another."""

from sqlalchemy import Connection, bindparam, select

from scrm.profiles.merge_tables import person_redirect

_NEXT = select(person_redirect.c.new_id).where(person_redirect.c.old_id == bindparam("person_id"))
# A chain grows by one with each join of the person who was kept; more than this is no chain but a circle.
_LONGEST = 1000


def follow(conn: Connection, person_id: int) -> int:
    """The id that holds now what this one held; the id itself when nothing became of it."""
    for _ in range(_LONGEST):
        found = conn.execute(_NEXT, {"person_id": person_id}).scalar_one_or_none()
        if found is None:
            return person_id
        person_id = int(found)
    raise RuntimeError(f"person {person_id} leads to itself")
