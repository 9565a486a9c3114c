"""All SQL about customer service, followers and keyword replies."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, delete, func, or_, select, update

from scrm import audit
from scrm.db import upsert
from scrm.db.vault import cover_phones
from scrm.profiles.models import external_contact, member, person
from scrm.wechat.keywords import Reply
from scrm.wechat.models import keyword_reply, kf_account, kf_message, kf_visitor, oa_follower, oa_message
from scrm.wecom.kf import KfAccount, KfMessage

# WeCom's limits on what we may say to a customer (doc 94677).
WINDOW = timedelta(hours=48)
MOST_SENT = 5

# Customer service: accounts and their cursors ---------------------------------------------------------------------------


def ensure_account(conn: Connection, open_kfid: str, *, now: datetime) -> Row[Any]:
    conn.execute(upsert(kf_account, conn).values(open_kfid=open_kfid, created_at=now).on_conflict_do_nothing())
    return conn.execute(select(kf_account).where(kf_account.c.open_kfid == open_kfid)).one()


def find_account(conn: Connection, open_kfid: str) -> Row[Any] | None:
    return conn.execute(select(kf_account).where(kf_account.c.open_kfid == open_kfid)).one_or_none()


def list_accounts(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(kf_account).order_by(kf_account.c.created_at, kf_account.c.open_kfid)))


def save_accounts(conn: Connection, accounts: Sequence[KfAccount], *, now: datetime) -> None:
    """What WeCom says of them; the words of the welcome are ours and stay."""
    for one in accounts:
        values = {"name": one.name[:80], "avatar": one.avatar[:512], "managed": one.managed}
        conn.execute(
            upsert(kf_account, conn)
            .values(open_kfid=one.open_kfid, created_at=now, **values)
            .on_conflict_do_update(index_elements=["open_kfid"], set_=values)
        )


@audit.keeps("kf_account", kf_account.c.open_kfid, of=("open_kfid",))
def change_account(conn: Connection, /, open_kfid: str, **values: Any) -> None:
    conn.execute(update(kf_account).where(kf_account.c.open_kfid == open_kfid).values(**values))


# Customer service: messages and visitors --------------------------------------------------------------------------------


def _covered(content: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it is kept: the middle of mobile numbers that a customer wrote is covered."""
    said = {name: cover_phones(content[name]) for name in ("content", "Content") if isinstance(content.get(name), str)}
    return {**content, **said}


def keep_message(conn: Connection, message: KfMessage, person_id: int | None, *, now: datetime) -> int | None:
    """The new row's id; None for a message we have already."""
    return conn.execute(
        upsert(kf_message, conn)
        .values(
            msgid=message.msgid[:64],
            open_kfid=message.open_kfid,
            external_userid=message.external_userid[:64],
            person_id=person_id,
            origin=message.origin,
            msgtype=message.msgtype[:32],
            servicer_userid=message.servicer_userid[:64],
            content=_covered(message.content),
            sent_at=message.sent_at,
            received_at=now,
        )
        .on_conflict_do_nothing()
        .returning(kf_message.c.id)
    ).scalar_one_or_none()


def get_message(conn: Connection, message_id: int) -> Row[Any] | None:
    return conn.execute(select(kf_message).where(kf_message.c.id == message_id)).one_or_none()


def ensure_visitor(conn: Connection, open_kfid: str, external_userid: str, person_id: int, *, now: datetime) -> bool:
    """True when it is the first time."""
    made = conn.execute(
        upsert(kf_visitor, conn)
        .values(open_kfid=open_kfid, external_userid=external_userid, person_id=person_id, changed_at=now)
        .on_conflict_do_nothing()
        .returning(kf_visitor.c.external_userid)
    )
    return made.scalar_one_or_none() is not None


def find_visitor(conn: Connection, open_kfid: str, external_userid: str) -> Row[Any] | None:
    return conn.execute(select(kf_visitor).where(_visitor(open_kfid, external_userid))).one_or_none()


def _visitor(open_kfid: str, external_userid: str) -> Any:
    return and_(kf_visitor.c.open_kfid == open_kfid, kf_visitor.c.external_userid == external_userid)


def change_visitor(conn: Connection, /, open_kfid: str, external_userid: str, **values: Any) -> None:
    conn.execute(update(kf_visitor).where(_visitor(open_kfid, external_userid)).values(**values))


def customer_spoke(conn: Connection, open_kfid: str, external_userid: str, at: datetime, *, now: datetime) -> None:
    """A customer's message opens the window anew: 48 hours, five answers; a late old one changes nothing."""
    is_newest = or_(kf_visitor.c.last_customer_at.is_(None), kf_visitor.c.last_customer_at < at)
    conn.execute(
        update(kf_visitor)
        .where(_visitor(open_kfid, external_userid), is_newest)
        .values(
            last_customer_at=at,
            sent_since=0,
            changed_at=now,
            # A session that had ended begins anew.
            service_state=case((kf_visitor.c.service_state == 4, 0), else_=kf_visitor.c.service_state),
        )
    )


def take_turn(conn: Connection, open_kfid: str, external_userid: str, *, now: datetime) -> str:
    """One of the five answers within 48 hours; '' when it was taken, else why not, in words."""
    taken = conn.execute(
        update(kf_visitor)
        .where(
            _visitor(open_kfid, external_userid),
            kf_visitor.c.last_customer_at > now - WINDOW,
            kf_visitor.c.sent_since < MOST_SENT,
        )
        .values(sent_since=kf_visitor.c.sent_since + 1)
    )
    if taken.rowcount:
        return ""
    row = find_visitor(conn, open_kfid, external_userid)
    if row is not None and row.last_customer_at is not None and row.last_customer_at > now - WINDOW:
        return "客户发来消息后已经回复了 5 条，等客户再说话才能继续回复"
    return "客户 48 小时内没有发过消息，微信不允许主动回复"


def close_window(conn: Connection, open_kfid: str, external_userid: str) -> None:
    """WeCom counts more than we know of (95001): nothing more until the customer speaks."""
    change_visitor(conn, open_kfid, external_userid, sent_since=MOST_SENT)


def list_visitors(conn: Connection, *, limit: int = 50) -> list[Row[Any]]:
    """Who came lately, with the name, the account's name and the servicer's."""
    query: Select[Any] = (
        select(
            kf_visitor,
            person.c.name,
            external_contact.c.avatar,
            kf_account.c.name.label("account_name"),
            member.c.name.label("servicer_name"),
        )
        .outerjoin(person, person.c.id == kf_visitor.c.person_id)
        .outerjoin(external_contact, external_contact.c.external_userid == kf_visitor.c.external_userid)
        .outerjoin(kf_account, kf_account.c.open_kfid == kf_visitor.c.open_kfid)
        .outerjoin(member, member.c.userid == kf_visitor.c.servicer_userid)
        .order_by(kf_visitor.c.changed_at.desc())
        .limit(limit)
    )
    return list(conn.execute(query))


# Replies by keyword -------------------------------------------------------------------------------------------------------


def list_replies(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(keyword_reply).order_by(keyword_reply.c.keyword, keyword_reply.c.id)))


def list_enabled(conn: Connection, channel: str) -> list[Reply]:
    """What may be answered in a channel: kf or oa. A library has hundreds of rows, not more."""
    table = keyword_reply.c
    query = select(table.id, table.keyword, table.match, table.answer, table.attachment).where(
        table.enabled.is_(True), table.channel.in_(("both", channel))
    )
    return [Reply(*row) for row in conn.execute(query)]


def count_hit(conn: Connection, reply_id: int) -> None:
    conn.execute(update(keyword_reply).where(keyword_reply.c.id == reply_id).values(hits=keyword_reply.c.hits + 1))


@audit.keeps(
    "keyword_reply",
    keyword_reply.c.channel,
    keyword_reply.c.match,
    keyword_reply.c.keyword,
    of=("channel", "match", "keyword"),
)
def save_reply(
    conn: Connection,
    keyword: str,
    match: str,
    answer: str,
    channel: str,
    *,
    attachment: Mapping[str, Any] | None = None,
    enabled: bool = True,
    now: datetime,
) -> int:
    """A keyword of one channel and match has one answer: the same again changes it."""
    values = {"answer": answer, "attachment": dict(attachment or {}), "enabled": enabled, "changed_at": now}
    return int(
        conn.execute(
            upsert(keyword_reply, conn)
            .values(keyword=keyword, match=match, channel=channel, **values)
            .on_conflict_do_update(index_elements=["channel", "match", "keyword"], set_=values)
            .returning(keyword_reply.c.id)
        ).scalar_one()
    )


@audit.keeps("keyword_reply", keyword_reply.c.id, of=("reply_id",))
def delete_reply(conn: Connection, reply_id: int) -> bool:
    return bool(conn.execute(delete(keyword_reply).where(keyword_reply.c.id == reply_id)).rowcount)


@audit.keeps("keyword_reply", keyword_reply.c.id, of=("reply_id",))
def switch_reply(conn: Connection, reply_id: int, enabled: bool) -> bool:
    changed = conn.execute(update(keyword_reply).where(keyword_reply.c.id == reply_id).values(enabled=enabled))
    return bool(changed.rowcount)


# The Official Account -----------------------------------------------------------------------------------------------------


def find_oa_message(conn: Connection, once: str) -> Row[Any] | None:
    return conn.execute(select(oa_message).where(oa_message.c.once == once)).one_or_none()


def keep_oa_message(conn: Connection, values: dict[str, Any]) -> int | None:
    """The new row's id; None when WeChat only repeats itself."""
    return conn.execute(
        upsert(oa_message, conn)
        .values(**{**values, "content": _covered(values["content"])})
        .on_conflict_do_nothing()
        .returning(oa_message.c.id)
    ).scalar_one_or_none()


def save_follower(conn: Connection, app_id: str, openid: str, person_id: int, *, now: datetime, **values: Any) -> None:
    """`subscribed` with its time and scene when the event says so; a plain message proves that somebody follows."""
    values |= {"person_id": person_id, "changed_at": now}
    conn.execute(
        upsert(oa_follower, conn)
        .values(app_id=app_id, openid=openid, **values)
        .on_conflict_do_update(index_elements=["app_id", "openid"], set_=values)
    )


def find_follower(conn: Connection, app_id: str, openid: str) -> Row[Any] | None:
    return conn.execute(
        select(oa_follower).where(oa_follower.c.app_id == app_id, oa_follower.c.openid == openid)
    ).one_or_none()


def list_oa_messages(conn: Connection, *, limit: int = 50) -> list[Row[Any]]:
    """What came last, with the person's name."""
    query: Select[Any] = (
        select(oa_message, oa_follower.c.person_id, person.c.name)
        .outerjoin(
            oa_follower, and_(oa_follower.c.app_id == oa_message.c.app_id, oa_follower.c.openid == oa_message.c.openid)
        )
        .outerjoin(person, person.c.id == oa_follower.c.person_id)
        .order_by(oa_message.c.id.desc())
        .limit(limit)
    )
    return list(conn.execute(query))


def count_followers(conn: Connection, app_id: str) -> tuple[int, int]:
    """(subscribed, with a unionid that joins them to a person)."""
    query = select(func.count(), func.coalesce(func.sum(case((oa_follower.c.unionid != "", 1), else_=0)), 0)).where(
        oa_follower.c.app_id == app_id, oa_follower.c.subscribed.is_(True)
    )
    total, joined = conn.execute(query).one()
    return int(total), int(joined)
