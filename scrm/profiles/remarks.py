"""备注: the name, the words, the company and the phones that a member noted of a customer; in WeCom first, then here."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, update

from scrm.errors import Conflict, Invalid
from scrm.profiles.models import follow_user, identity
from scrm.profiles.phones import normalise_phone
from scrm.services import Services
from web.texts import N_, _

# WeCom's limits (doc 92115).
FIELDS = {"remark": (N_("备注名"), 20), "description": (N_("描述"), 150), "remark_company": (N_("公司"), 20)}
# The page names none; WeCom's own client has room for so many.
MOST_MOBILES = 5

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Noted:
    """The phones of one relation as WeCom has them, and those that other members noted of the same customer."""

    mine: tuple[str, ...]
    others: frozenset[str]


def read_changes(given: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """What differs from what is kept; raises Invalid for what WeCom would refuse. Pure."""
    changes = {}
    for key, (title, most) in FIELDS.items():
        if key not in given:
            continue
        text = given[key].replace("\r\n", "\n").strip()
        if len(text) > most:
            title = _(title)
            raise Invalid(_("{title}最多 {most} 个字，写了 {n} 个，请删短一些", title=title, most=most, n=len(text)))
        if text != kept[key]:
            changes[key] = text
    return changes


async def save(services: Services, pair: Pair, changes: Mapping[str, str]) -> None:
    """Raises WeCom's own error; then nothing has changed here."""
    if changes:
        await services.wecom.contacts.remark(*pair, **changes)
        await services.db.write(_keep, pair, dict(changes))


def _keep(conn: Connection, pair: Pair, changes: dict[str, str]) -> None:
    mine = follow_user.c.userid == pair[0], follow_user.c.external_userid == pair[1]
    conn.execute(update(follow_user).where(*mine).values(**changes))


async def add_mobile(services: Services, pair: Pair, text: str) -> str:
    """The number as +86...; WeCom's list is read before it is overwritten. Raises Invalid or Conflict in words."""
    phone = normalise_phone(text)
    if phone is None:
        raise Invalid(_("“{text}”不是 11 位手机号，请检查", text=text.strip()[:20]))
    noted = await read_mobiles(services, pair)
    if phone in map(normalise_phone, noted.mine):
        raise Conflict(_("这个号码已经在备注里了"))
    if len(noted.mine) >= MOST_MOBILES:
        raise Conflict(_("备注里最多 {most} 个号码，请先移除一个", most=MOST_MOBILES))
    await services.wecom.contacts.remark(*pair, remark_mobiles=[*noted.mine, phone.removeprefix("+86")])
    return phone


async def remove_mobile(services: Services, pair: Pair, phone: str) -> Noted:
    """Take a number (+86...) out of the member's own remark; what WeCom had before."""
    noted = await read_mobiles(services, pair)
    left = [number for number in noted.mine if normalise_phone(number) != phone]
    if len(left) < len(noted.mine):
        # The page says "an empty string" to clear it (doc 92115).
        await services.wecom.contacts.remark(*pair, remark_mobiles=left or [""])
    return noted


async def read_mobiles(services: Services, pair: Pair) -> Noted:
    told = await services.wecom.contacts.get_external_contact(pair[1])
    mine: tuple[str, ...] = ()
    others: set[str] = set()
    for follow in told["follow_user"]:
        numbers = [str(number) for number in follow.get("remark_mobiles") or [] if number]
        if str(follow.get("userid", "")).casefold() == pair[0].casefold():
            mine = tuple(numbers)
        else:
            others |= {phone for number in numbers if (phone := normalise_phone(number))}
    return Noted(mine, frozenset(others))


def forget_mobile(conn: Connection, person_id: int, identity_id: int) -> bool:
    """A number that was only known by a remark is known no more; one from an order or the customer stays."""
    gone = delete(identity).where(
        identity.c.id == identity_id,
        identity.c.person_id == person_id,
        identity.c.kind == "mobile_e164",
        identity.c.source == "remark",
    )
    return conn.execute(gone).rowcount > 0
