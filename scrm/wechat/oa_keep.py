"""What a message of the Official Account changes, and its answer: one transaction, once."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.db.vault import cover_phones
from scrm.events import Event, publish
from scrm.wechat import persons, store
from scrm.wechat.keywords import find_reply
from scrm.wechat.oa_messages import OaMessage
from scrm.wechat.saying import with_address
from scrm.work import queue

FOLLOWER = "oa.follower"

_EVENTS = {"subscribe": "oa.subscribed", "unsubscribe": "oa.unsubscribed", "scan": "oa.scanned"}


def keep(conn: Connection, message: OaMessage, app_id: str, reads_unionid: bool, now: datetime) -> str:
    """The answer ('' for none); a repeat gets the answer that was given before, and changes nothing."""
    earlier = store.find_oa_message(conn, message.once)
    if earlier is not None:
        return str(earlier.answer)
    answer = _answer(conn, message)
    kept = store.keep_oa_message(
        conn,
        {
            "once": message.once,
            "app_id": app_id,
            "openid": message.openid,
            "msgtype": message.msgtype,
            "event": message.event,
            "content": message.fields,
            "answer": answer,
            "occurred_at": message.occurred_at,
            "received_at": now,
        },
    )
    if kept is None:  # the same, a moment ago in another process
        return answer
    person_id = persons.know_follower(conn, app_id, message.openid, now=now)
    known = store.find_follower(conn, app_id, message.openid)
    store.save_follower(conn, app_id, message.openid, person_id, now=now, **_follows(message, known))
    if reads_unionid and message.event != "unsubscribe" and not (known is not None and known.unionid):
        queue.add(conn, follower_work(app_id, message.openid), now=now)
    _tell(conn, message, app_id, person_id, answer, now)
    return answer


def follower_work(app_id: str, openid: str) -> queue.Item:
    payload = {"app_id": app_id, "openid": openid}
    return queue.Item("sync", FOLLOWER, payload, dedupe_key=f"{FOLLOWER}:{app_id}:{openid}"[:160])


def _answer(conn: Connection, message: OaMessage) -> str:
    """By keyword; what nobody prepared gets none."""
    if not message.may_be_answered:
        return ""
    reply = find_reply(store.list_enabled(conn, "oa"), message.text)
    if reply is None:
        return ""
    store.count_hit(conn, reply.id)
    return with_address(reply.answer, reply.attachment)


def _follows(message: OaMessage, known: Any) -> dict[str, Any]:
    """Events may come late and in any order: an old one does not turn a newer one back."""
    at = message.occurred_at
    if message.event == "unsubscribe":
        came_back = known is not None and known.subscribed_at is not None and known.subscribed_at > at
        return {} if came_back else {"subscribed": False, "unsubscribed_at": at}
    left_since = known is not None and known.unsubscribed_at is not None and known.unsubscribed_at >= at
    if left_since:
        return {}
    if message.event == "subscribe":
        return {"subscribed": True, "subscribed_at": at, **({"scene": message.scene} if message.scene else {})}
    return {"subscribed": True}


def _tell(conn: Connection, message: OaMessage, app_id: str, person_id: int, answer: str, now: datetime) -> None:
    name = _EVENTS.get(message.event) if message.event else "oa.message"
    if name is None:
        return  # menus, locations, results of templates: kept, and no line in the life of a person
    facts: dict[str, Any] = {"app_id": app_id, "scene": message.scene}
    if name == "oa.message":
        facts |= {"msgtype": message.msgtype, "text": cover_phones(message.text)[:200], "answered": bool(answer)}
    told = Event(
        name=name,
        occurred_at=message.occurred_at,
        person_id=person_id,
        key=message.scene,
        facts=facts,
        once=f"oa:{message.once}"[:200],
    )
    publish(conn, [told], now=now)


def learn_unionid(conn: Connection, app_id: str, openid: str, unionid: str, now: datetime) -> None:
    """The follower is the person whom the unionid means."""
    person_id = persons.join_by_unionid(conn, app_id, openid, unionid, now=now)
    store.save_follower(conn, app_id, openid, person_id, now=now, unionid=unionid[:64])
