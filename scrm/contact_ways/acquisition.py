"""Acquisition links (获客链接): ours and WeCom's, their customers, and what is left of what was bought."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, case, func, select, update

from scrm import audit
from scrm.contact_ways import link_figures, registry, store
from scrm.contact_ways.models import (
    acquisition_customer,
    acquisition_link,
    acquisition_quota,
    acquisition_step,
    contact_way,
)
from scrm.contact_ways.plan import Plan, problems
from scrm.db import upsert
from scrm.errors import Invalid, NotFound
from scrm.services import Services
from scrm.wecom.acquisition import MOST_NAME_CHARACTERS, AcquisitionLink, LinkCustomer, Quota, with_channel
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue
from scrm.work.progress import Progress

log = structlog.get_logger()

QUOTA = "acquisition.quota"
# So far back WeCom's figures are completed when a night was missed.
NIGHTLY_DAYS = 7
_ROW = 1
# WeCom warns below so many uses, and so long before bought uses expire (doc 97299).
LOW_BALANCE = 20
EXPIRES_SOON = timedelta(days=14)
_GONE = (RetryClass.PARAMETER, RetryClass.RELATION)


# Acts -----------------------------------------------------------------------------------------------------------------


async def make_link(services: Services, title: str, userids: Sequence[str], *, skip_verify: bool = True) -> str:
    """A new link in WeCom, kept at once; returns its id. Raises Invalid, and WeCom's own error."""
    _check(title, userids)
    made = await services.wecom.acquisition.create_link(title, user_list=list(userids), skip_verify=skip_verify)
    await services.db.write(save_link, made, services.clock.now())
    return made.link_id


async def change_link(
    services: Services, link_id: str, title: str, userids: Sequence[str], *, skip_verify: bool = True
) -> None:
    """Departments that the link had stay. Raises NotFound, Invalid, and WeCom's own error."""
    _check(title, userids)
    row = await services.db.read(find_link, link_id)
    if row is None or row.condition == "deleted":
        raise NotFound("没有这个获客链接，或者它已经被删除")
    await services.wecom.acquisition.update_link(
        link_id, title, user_list=list(userids), department_list=row.party, skip_verify=skip_verify
    )
    told = AcquisitionLink(
        link_id=link_id, link_name=title, url=row.url, skip_verify=skip_verify, user_list=list(userids),
        department_list=list(row.party),
    )  # fmt: skip
    await services.db.write(save_link, told, services.clock.now())


async def end_link(services: Services, link_id: str) -> None:
    """Whoever opens it from now on is told that it is gone; WeCom sends no event of it."""
    try:
        await services.wecom.acquisition.delete_link(link_id)
    except WeComError as error:
        if error.retry_class not in _GONE:
            raise
    await services.db.write(note_condition, link_id, "deleted", services.clock.now())


def _check(title: str, userids: Sequence[str]) -> None:
    if not title.strip() or len(title) > MOST_NAME_CHARACTERS:
        raise Invalid(f"链接名称要有 1 到 {MOST_NAME_CHARACTERS} 个字，现在有 {len(title.strip())} 个")
    if not userids:
        raise Invalid("请至少选一位接待员工")


def add_channel(
    conn: Connection,
    link_id: str,
    *,
    title: str,
    kind: str,
    plan: Plan | None = None,
    state: str = "",
    now: datetime,
) -> str:
    """A channel of the link, with a state of its own that customers bring; returns the state."""
    row = find_link(conn, link_id)
    if row is None or row.condition == "deleted":
        raise NotFound("没有这个获客链接，或者它已经被删除")
    plan = plan or Plan()
    if found := problems(plan):
        raise Invalid("；".join(found))
    if not title.strip():
        raise Invalid("请填写渠道名称")
    state = state or registry.new_state()
    store.add_way(
        conn, state, title=title[:80], kind=kind[:40], userids=row.userids, skip_verify=row.skip_verify, plan=plan,
        link_id=link_id, now=now,
    )  # fmt: skip
    return state


def address_of(url: str, state: str) -> str:
    """What is handed out for a channel."""
    return with_channel(url, state) if state else url


# SQL ------------------------------------------------------------------------------------------------------------------


def find_link(conn: Connection, link_id: str) -> Row[Any] | None:
    return conn.execute(select(acquisition_link).where(acquisition_link.c.link_id == link_id)).one_or_none()


def list_links(conn: Connection) -> list[Row[Any]]:
    """Living links, the oldest first."""
    living = select(acquisition_link).where(acquisition_link.c.condition != "deleted")
    return list(conn.execute(living.order_by(acquisition_link.c.created_at, acquisition_link.c.link_id)))


@audit.keeps("acquisition_link", acquisition_link.c.link_id, of=("told.link_id",))
def save_link(conn: Connection, told: AcquisitionLink, now: datetime) -> bool:
    """Keep what WeCom says of a link; True when it was new or different."""
    row = find_link(conn, told.link_id)
    values = {
        "title": told.link_name[:80],
        "url": told.url[:512] or (row.url if row else ""),
        "userids": told.user_list,
        "party": told.department_list,
        "skip_verify": told.skip_verify,
        "condition": row.condition if row is not None and row.condition == "unavailable" else "ok",
    }
    same = row is not None and all(row._mapping[name] == value for name, value in values.items())
    created_at = datetime.fromtimestamp(told.create_time, now.tzinfo) if told.create_time else now
    conn.execute(
        upsert(acquisition_link, conn)
        .values(link_id=told.link_id, created_at=created_at, checked_at=now, **values)
        .on_conflict_do_update(index_elements=["link_id"], set_={**values, "checked_at": now})
    )
    return not same


@audit.keeps("acquisition_link", acquisition_link.c.link_id, of=("link_id",))
def note_condition(conn: Connection, link_id: str, condition: str, now: datetime) -> None:
    """ok, unavailable or deleted; the channels of a deleted link end with it."""
    conn.execute(
        upsert(acquisition_link, conn)
        .values(link_id=link_id, condition=condition, created_at=now)
        .on_conflict_do_update(index_elements=["link_id"], set_={"condition": condition})
    )
    if condition == "deleted":
        ended = update(contact_way).where(contact_way.c.link_id == link_id, contact_way.c.deleted_at.is_(None))
        conn.execute(ended.values(deleted_at=now))


def save_customer(
    conn: Connection, link_id: str, told: LinkCustomer, now: datetime, *, started_chat_at: datetime | None = None
) -> None:
    """Somebody who came through the link; what is known is never forgotten (a message once written was written)."""
    row = {
        "link_id": link_id,
        "external_userid": told.external_userid,
        "userid": told.userid,
        "state": told.state[:64],
        "chat_status": told.chat_status,
        "started_chat_at": started_chat_at,
        "noticed_at": now,
    }
    insert = upsert(acquisition_customer, conn).values(**row)
    new, known = insert.excluded, acquisition_customer.c
    conn.execute(
        insert.on_conflict_do_update(
            index_elements=["link_id", "external_userid", "userid"],
            set_={
                "state": case((new.state == "", known.state), else_=new.state),
                "chat_status": case((known.chat_status == 1, 1), else_=new.chat_status),
                "started_chat_at": func.coalesce(known.started_chat_at, new.started_chat_at),
            },
        )
    )


def count_step(conn: Connection, link_id: str, state: str, day: str, step: str) -> None:
    """One more who opened the link or asked to be added; WeCom names nobody."""
    conn.execute(
        upsert(acquisition_step, conn)
        .values(link_id=link_id[:64], state=state[:64], day=day, step=step, times=1)
        .on_conflict_do_update(
            index_elements=["link_id", "state", "day", "step"], set_={"times": acquisition_step.c.times + 1}
        )
    )


def count_customers(conn: Connection) -> dict[str, tuple[int, int]]:
    """By link: who came, and how many of them wrote."""
    wrote = func.count(case((acquisition_customer.c.chat_status == 1, 1)))
    rows = conn.execute(
        select(acquisition_customer.c.link_id, func.count(), wrote).group_by(acquisition_customer.c.link_id)
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def count_steps(conn: Connection, since: str) -> dict[tuple[str, str], int]:
    """By (link, step) since a day of the shop."""
    rows = conn.execute(
        select(acquisition_step.c.link_id, acquisition_step.c.step, func.sum(acquisition_step.c.times))
        .where(acquisition_step.c.day >= since)
        .group_by(acquisition_step.c.link_id, acquisition_step.c.step)
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def find_quota(conn: Connection) -> Row[Any] | None:
    return conn.execute(select(acquisition_quota).where(acquisition_quota.c.id == _ROW)).one_or_none()


def save_quota(conn: Connection, told: Quota, now: datetime) -> None:
    parts = [{"expire_date": part.expire_date, "balance": part.balance} for part in told.quota_list]
    _save_quota(conn, {"total": told.total, "balance": told.balance, "parts": parts, "checked_at": now})


def note_warning(conn: Connection, warning: str, now: datetime) -> None:
    """The latest thing WeCom said of the balance; '' ends a warning."""
    _save_quota(conn, {"warning": warning, "warned_at": now if warning else None})


def _save_quota(conn: Connection, values: dict[str, Any]) -> None:
    conn.execute(
        upsert(acquisition_quota, conn)
        .values(id=_ROW, **values)
        .on_conflict_do_update(index_elements=["id"], set_=values)
    )


def expiring(quota: Row[Any] | None, now: datetime) -> list[tuple[datetime, int]]:
    """Pure: when bought uses expire within two weeks, and how many of them are left."""
    parts = (
        []
        if quota is None
        else [(datetime.fromtimestamp(part["expire_date"], UTC), part["balance"]) for part in quota.parts]
    )
    return [(ends, left) for ends, left in parts if left and now < ends <= now + EXPIRES_SOON]


def warning_of(quota: Row[Any] | None, now: datetime) -> str:
    """Pure: what to be warned of, '' when nothing; a figure that was read after WeCom's warning counts more than it.

    WeCom tells of uses that were bought only when there were none: its warning would stand for ever.
    """
    if quota is None:
        return ""
    if quota.checked_at is None or (quota.warned_at is not None and quota.warned_at > quota.checked_at):
        return str(quota.warning)
    if quota.balance < LOW_BALANCE:
        return "balance_low" if quota.balance > 0 else "balance_exhausted"
    return "quota_expire_soon" if expiring(quota, now) else ""


# Work -----------------------------------------------------------------------------------------------------------------


def quota_work(now: datetime) -> queue.Item:
    """One look for all warnings of ten seconds; it begins after them."""
    return queue.Item(
        lane="sync",
        kind=QUOTA,
        due_at=now + timedelta(seconds=10),
        dedupe_key=f"{QUOTA}:{int(now.timestamp()) // 10}",
    )


async def run_quota(services: Services, item: queue.Claimed) -> None:
    """Work of kind "acquisition.quota": what is left now (doc 97375)."""
    await refresh_quota(services)


async def refresh_quota(services: Services) -> Quota:
    """Ask what is left and keep it."""
    told = await services.wecom.acquisition.customer_acquisition_quota()
    await services.db.write(save_quota, told, services.clock.now())
    return told


async def sync_links(services: Services, progress: Progress, full: bool) -> None:
    """Source of the sync: links with their members and customers, and the quota; an ended link says so itself."""
    api, now = services.wecom.acquisition, services.clock.now()
    seen = set()
    async for link_id in api.list_link():
        seen.add(link_id)
        is_changed = await services.db.write(save_link, await api.get_link(link_id), now)
        progress.advance(changed=int(is_changed))
        async for customer in api.customer(link_id):
            await services.db.together(_save_customers, (link_id, customer, now))
        await _read_figures(services, link_id, progress)
    for row in await services.db.read(list_links):
        if row.link_id not in seen:
            await _look_for(services, row.link_id, progress)
    await refresh_quota(services)


async def _read_figures(services: Services, link_id: str, progress: Progress) -> None:
    try:
        await link_figures.read_days(services, link_id, days=NIGHTLY_DAYS)
    except WeComError as error:
        if error.retry_class not in _GONE:
            raise
        progress.note(f"获客链接 {link_id} 的统计没有读到：{error.text}")


async def _look_for(services: Services, link_id: str, progress: Progress) -> None:
    """The list leaves out links that are not valid: only an answer about the very link ends it."""
    try:
        await services.wecom.acquisition.get_link(link_id)
    except WeComError as error:
        if error.retry_class not in _GONE:
            raise
        await services.db.write(note_condition, link_id, "deleted", services.clock.now())
        progress.advance(ended=1)


def _save_customers(conn: Connection, told: list[tuple[str, LinkCustomer, datetime]]) -> list[None]:
    for link_id, customer, now in told:
        save_customer(conn, link_id, customer, now)
    return [None] * len(told)
