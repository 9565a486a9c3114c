"""Whose order it is: persons by the identities that an order names."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from scrm.commerce.models import orders
from scrm.commerce.snapshot import Snapshot
from scrm.db.bulk import among, each_of
from scrm.profiles.models import external_contact, identity


@dataclass(slots=True)
class Persons:
    """Who is known by which value, for one batch."""

    by_unionid: dict[str, int]
    by_external_userid: dict[str, int]
    by_phone: dict[str, int]

    def find(self, unionid: str, external_userid: str, phone_lookup: str) -> tuple[int | None, str]:
        """The person and how they were recognised; the surest way first."""
        for values, value, way in (
            (self.by_unionid, unionid, "unionid"),
            (self.by_external_userid, external_userid, "external_userid"),
            (self.by_phone, phone_lookup, "phone"),
        ):
            if value and value in values:
                return values[value], way
        return None, ""


def find_persons(conn: Connection, snapshots: list[Snapshot | None], unbound: list[Any]) -> Persons:
    taken = [snapshot for snapshot in snapshots if snapshot is not None]
    unionids = {snapshot.row["buyer_unionid"] for snapshot in taken} | {row.buyer_unionid for row in unbound}
    phones = {snapshot.row["buyer_phone_lookup"] for snapshot in taken} | {row.buyer_phone_lookup for row in unbound}
    contacts = {snapshot.external_userid for snapshot in taken}
    return Persons(
        find_by_identity(conn, "wx_unionid", unionids - {""}),
        find_by_contact(conn, contacts - {""}),
        find_by_identity(conn, "mobile_e164", phones - {""}),
    )


def find_by_identity(conn: Connection, kind: str, values: Collection[str]) -> dict[str, int]:
    """Person ids by the value of an identity that is the same in every shop."""
    if not values:
        return {}
    known = each_of(
        conn, identity.c.value, identity.c.person_id, values, identity.c.kind == kind, identity.c.scope == ""
    )
    return {str(value): int(person_id) for value, person_id in conn.execute(known)}


def find_owners(conn: Connection, keys: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], Any]:
    """Ids and persons of orders by channel, shop and number, for the rows of one import."""
    shops: dict[tuple[str, str], list[str]] = defaultdict(list)
    for channel, shop_key, number in keys:
        shops[channel, shop_key].append(number)
    found: dict[tuple[str, str, str], Any] = {}
    table = orders.c
    for (channel, shop_key), numbers in shops.items():
        mine = (table.channel == channel, table.shop_key == shop_key, among(conn, table.order_no, numbers))
        for row in conn.execute(select(table.id, table.order_no, table.person_id).where(*mine)):
            found[channel, shop_key, row.order_no] = row
    return found


def find_by_contact(conn: Connection, external_userids: Collection[str]) -> dict[str, int]:
    """Person ids by external_userid."""
    if not external_userids:
        return {}
    table = external_contact.c
    rows = conn.execute(
        select(table.external_userid, table.person_id).where(among(conn, table.external_userid, external_userids))
    )
    return {row.external_userid: row.person_id for row in rows}


def can_bind(found: Any, finder: Persons) -> bool:
    known = finder.find(found.buyer_unionid, "", found.buyer_phone_lookup)[0]
    return found.person_id is None and known is not None
