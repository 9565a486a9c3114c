"""What a member does with a task: send it in one tap, skip it, put it off. Everything is checked again at the tap."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from scrm.content.media.links import CARD, media_path
from scrm.content.render import CHAT_TEXT_CHARS
from scrm.errors import Conflict, Invalid, NotFound, ScrmError
from scrm.events import Event, forget, publish
from scrm.profiles.members import member_names
from scrm.services import Services
from scrm.sop import exits, ledger, store
from scrm.sop.content import with_files
from scrm.sop.guards.recheck import Rules, recheck
from scrm.sop.members import promises, task_store
from scrm.sop.shelf import house_of, playbooks_of, shop_of
from web.texts import N_, _
from web.texts.kept import retold

# A second tap within this time, before the first has been confirmed, would send twice.
SENDING = timedelta(seconds=60)
UNDO = timedelta(minutes=10)
# How long an ended task stays in sight.
RECENT = timedelta(hours=24)

# One word for each state, everywhere (docs/playbooks 8.3).
WORDS = {
    "open": N_("待员工确认"),
    "postponed": N_("已推迟"),
    "sent": N_("已发送"),
    "skipped": N_("已跳过"),
    "expired": N_("已过期"),
    "withdrawn": N_("已撤回"),
}
# What is not there to be sent has other words: a hint, a promise.
_OWN_WORDS = {
    "hint": {"sent": N_("已采用")},
    "promise": {"open": N_("待完成"), "postponed": N_("未到时间"), "sent": N_("已完成"), "skipped": N_("已取消")},
}
# How a member said that it was done, for the ledger's readers.
ON_CARD, IN_LIST = "员工在提醒卡片上点了「已完成」", "员工在今日待办里点了「已完成」"
_BY_HAND = frozenset({ON_CARD, IN_LIST})
SKIP_REASONS = (N_("已经聊过了"), N_("现在不合适"), N_("客户不需要"), N_("话术不合适"), N_("其他"))


@dataclass(frozen=True, slots=True)
class Release:
    """What the client sends, one sendChatMessage call for each message (doc 100749)."""

    task_id: int
    messages: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as a page shows it; `state` may be "postponed", `word` is its Chinese name."""

    id: int
    userid: str
    external_userid: str
    person_id: int
    customer_name: str
    customer_avatar: str
    customer_remark: str
    playbook_key: str
    playbook_title: str
    step_id: str
    step_number: int
    title: str
    text: str
    attachments: list[dict[str, Any]]
    state: str
    word: str
    reason: str
    open_at: datetime
    expires_at: datetime | None
    released_at: datetime | None
    ended_at: datetime | None
    can_undo: bool
    # send, suggestion (may be sent when they talk anyway), hint (only for the member's eyes), promise
    kind: str = "send"
    # By when a promise is to be kept.
    due_at: datetime | None = None
    # The shop's own fields that are asked for while they talk.
    form: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def is_unconfirmed(self) -> bool:
        """It was released, and nobody told us whether it went out."""
        return self.state == "open" and self.released_at is not None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why the tap does nothing; the task's end that comes with it is committed before it is raised."""

    error: ScrmError


# Acts -----------------------------------------------------------------------------------------------------------------


async def release(services: Services, userid: str, task_id: int, text: str | None = None) -> Release:
    """Hand the message to the member's client, if it may still be sent.

    Raises Conflict with the reason in words when it may not; the task then ends as withdrawn, skipped or expired.
    """
    if text is not None:
        text = _checked(text)
    answer = await services.db.write(_release, services, userid, task_id, text)
    if isinstance(answer, _Refusal):
        raise answer.error
    return answer


async def edit(services: Services, userid: str, task_id: int, text: str) -> Release:
    """`release` with the member's own words; raises Invalid when there are none, or too many."""
    return await release(services, userid, task_id, text)


async def confirm_sent(services: Services, userid: str, task_id: int, ok: bool, error: str = "") -> TaskView:
    """What the client said after sendChatMessage; a refusal leaves the task open, with the reason in the ledger."""
    return await services.db.write(_confirm, userid, task_id, ok, error, services.clock.now())


async def skip(services: Services, userid: str, task_id: int, reason: str = "") -> TaskView:
    """The member decides not to send it; can be undone for ten minutes."""
    return await services.db.write(skip_one, userid, task_id, reason, services.clock.now())


async def use_hint(services: Services, userid: str, task_id: int) -> TaskView:
    """The member took a hint up; raises Conflict for what is to be sent instead, or has ended otherwise."""
    return await services.db.write(_use_hint, userid, task_id, services.clock.now())


async def unskip(services: Services, userid: str, task_id: int) -> TaskView:
    """Undo a skip; raises Conflict when it was too long ago or the task could not be sent any more."""
    answer = await services.db.write(_unskip, services, userid, task_id, services.clock.now())
    if isinstance(answer, _Refusal):
        raise answer.error
    return answer


async def finish(services: Services, userid: str, task_id: int) -> TaskView:
    """The member did it by himself, and says so in his list; can be taken back for ten minutes."""
    return await services.db.write(mark_done, userid, task_id, services.clock.now(), IN_LIST)


async def take_back(services: Services, userid: str, task_id: int) -> TaskView:
    """Undo what the member did last: a skip, a task that was put off, one that he called done.

    Raises Conflict when it was too long ago, when a client sent it, or when it could not be sent any more.
    """
    answer = await services.db.write(_take_back, services, userid, task_id, services.clock.now())
    if isinstance(answer, _Refusal):
        raise answer.error
    return answer


async def postpone(services: Services, userid: str, task_id: int, until: datetime) -> TaskView:
    """Show it again (with a reminder) at `until`, which must lie before it expires; raises Conflict otherwise."""
    now, zone = services.clock.now(), services.settings.shop.zone
    return await services.db.write(_postpone, userid, task_id, until, now, zone)


# Lists ----------------------------------------------------------------------------------------------------------------


def list_for_contact(conn: Connection, userid: str, external_userid: str, now: datetime) -> list[TaskView]:
    """A member's tasks for one contact: open ones first, then postponed ones, then what ended within a day."""
    return views_of(task_store.list_contact_tasks(conn, userid, external_userid, now - RECENT), now)


def views_of(rows: Iterable[Any], now: datetime) -> list[TaskView]:
    """Rows of `task_store.contact_tasks` in the order of a member's list. Pure."""
    return _sorted([_view(row, now) for row in rows])


def list_for_member(conn: Connection, userid: str, now: datetime) -> list[TaskView]:
    """A member's day: what waits, the most urgent first, then what is put off, then what ended within a day."""
    rows = task_store.list_member_tasks(conn, userid, now - RECENT, now + timedelta(days=2))
    return views_of(rows, now)


def asked_by(conn: Connection, userid: str, external_userid: str, task_id: int) -> list[str]:
    """The fields that a member's task asks this contact for; none when it is not his."""
    row = task_store.find_task(conn, task_id)
    is_his = row is not None and row.userid.casefold() == userid.casefold() and row.external_userid == external_userid
    return list(row.form or ()) if row is not None and is_his else []


def list_these(conn: Connection, task_ids: Collection[int], now: datetime) -> dict[int, TaskView]:
    """Tasks by id, whatever their state."""
    return {row.id: _view(row, now) for row in task_store.list_tasks_with_names(conn, task_ids)}


def postpone_choices(now: datetime, zone: ZoneInfo, expires_at: datetime | None) -> list[tuple[str, datetime]]:
    """(label, moment) of the times a task can be put off to before it expires. Pure."""
    local = now.astimezone(zone)
    tonight = datetime.combine(local.date(), time(20), zone)
    tomorrow = datetime.combine(local.date() + timedelta(days=1), time(10), zone)
    choices = [(_("1 小时后"), now + timedelta(hours=1)), (_("今晚 20:00"), tonight), (_("明天 10:00"), tomorrow)]
    return [
        (label, moment)
        for label, moment in choices
        if moment > now + timedelta(minutes=5) and (expires_at is None or moment < expires_at)
    ]


def _sorted(views: list[TaskView]) -> list[TaskView]:
    def place(view: TaskView) -> tuple[int, float, int]:
        if view.state == "open":
            urgent = view.expires_at or view.due_at or view.open_at + timedelta(days=30)
            return 0, urgent.timestamp(), view.id
        if view.state == "postponed":
            return 1, view.open_at.timestamp(), view.id
        return 2, -(view.ended_at or view.open_at).timestamp(), view.id

    return sorted(views, key=place)


def _view(row: Row[Any], now: datetime) -> TaskView:
    state = state_of(row, now)
    return TaskView(
        id=row.id,
        userid=row.userid,
        external_userid=row.external_userid,
        person_id=row.person_id,
        customer_name=row.customer_name or "",
        customer_avatar=row.customer_avatar or "",
        customer_remark=row.customer_remark or "",
        playbook_key=row.playbook_key,
        playbook_title=row.playbook_title,
        step_id=row.step_id,
        step_number=row.step_number or 0,
        title=row.title,
        text=row.text,
        attachments=list(row.attachments or []),
        state=state,
        word=word_of(row.kind, state),
        reason=row.reason,
        open_at=row.open_at,
        expires_at=row.expires_at,
        released_at=row.released_at,
        ended_at=row.ended_at,
        can_undo=_may_undo(row, state, now),
        kind=row.kind,
        due_at=row.due_at,
        form=tuple(row.form or ()),
    )


def word_of(kind: str, state: str) -> str:
    """The one word for a state of that kind of task."""
    return _OWN_WORDS.get(kind, {}).get(state) or WORDS[state]


def _may_undo(row: Row[Any], state: str, now: datetime) -> bool:
    undone = ("skipped", "sent") if row.kind == promises.KIND else ("skipped",)
    return state in undone and row.ended_at is not None and now - row.ended_at <= UNDO


def state_of(row: Row[Any], now: datetime) -> str:
    """The state as people see it: what opens later is postponed, what ran out is expired before a tick says so."""
    if row.state != "open":
        return str(row.state)
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    return "postponed" if row.open_at > now else "open"


# Inside the transaction -----------------------------------------------------------------------------------------------


def _release(conn: Connection, services: Services, userid: str, task_id: int, text: str | None) -> Release | _Refusal:
    now = services.clock.now()
    task, run = _locked(conn, userid, task_id)
    if task.kind == "hint":
        raise Conflict(_("这是给你看的提示，不能直接发给客户。"))
    if task.kind == promises.KIND:
        raise Conflict(_("这是你答应客户的事，做好了请点“完成”。"))
    refusal = _not_sendable(task, now) or _stale(conn, services, task, run, now)
    if refusal is not None:
        return refusal
    said = task.text if text is None else text
    try:
        messages = with_files(conn, _messages(said, task.attachments), now, _address_of(services, now))
    except Conflict as conflict:
        return _Refusal(conflict)
    task_store.change_task(conn, task.id, released_at=now, text=said)
    _note_intent(conn, task, messages, now)
    return Release(task.id, messages)


def _locked(conn: Connection, userid: str, task_id: int) -> tuple[Row[Any], Row[Any] | None]:
    """The task and its run, the run first: ending a run takes them in the same order."""
    task = task_store.find_task(conn, task_id)
    if task is None or task.userid.casefold() != userid.casefold():
        raise NotFound(_("没有这条待办，或者它不是你的。"))
    run = store.lock_enrolment(conn, task.enrolment_id) if task.enrolment_id is not None else None
    task = task_store.lock_task(conn, task_id)
    assert task is not None  # noqa: S101 - tasks are never deleted
    return task, run


def _not_sendable(task: Row[Any], now: datetime) -> _Refusal | None:
    if task.state != "open":
        return _Refusal(Conflict(_ended_words(task)))
    if task.released_at is not None and now - task.released_at < SENDING:
        return _Refusal(Conflict(_("正在发送，请稍候。")))
    return None


def _ended_words(task: Row[Any]) -> str:
    if task.state == "sent":
        return _("这条待办已经发送过了。")
    if task.state == "withdrawn":
        return retold(str(task.reason)) if task.reason else _("这条待办已撤回。")
    state = _(WORDS.get(task.state, N_("已结束")))
    if not task.reason:
        return _("这条待办{state}", state=state)
    return _("这条待办{state}：{reason}", state=state, reason=retold(str(task.reason)))


def _stale(
    conn: Connection, services: Services, task: Row[Any], run: Row[Any] | None, now: datetime
) -> _Refusal | None:
    """Why it must not be sent any more; the task (and the run, if that is over) ends with it."""
    if task.expires_at is not None and task.expires_at <= now:
        return _refuse(conn, task, "expired", "已超过有效期，这条待办已过期。", now)
    if store.find_relation(conn, task.userid, task.external_userid) is None:
        names = member_names(conn, [task.userid])
        words = exits.lost_words(names.get(task.userid.lower(), task.userid))
        if run is not None:
            store.end_runs(conn, [(run.id, "exited", words)], now=now)
        return _refuse(conn, task, "withdrawn", words, now)
    if run is None:
        return None
    words = recheck(conn, task, run, Rules(playbooks_of(services), house_of(services)), now)
    return _Refusal(Conflict(words)) if words else None


def _refuse(conn: Connection, task: Row[Any], state: str, reason: str, now: datetime) -> _Refusal:
    task_store.end_task(conn, task, state, reason, now=now)
    return _Refusal(Conflict(reason))


def _messages(text: str, attachments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The text first, then each attachment: one call sends one message."""
    said = [{"msgtype": "text", "text": {"content": text}}] if text else []
    return [*said, *attachments]


def _address_of(services: Services, now: datetime) -> Callable[[str], str]:
    """Where a client fetches a picture of ours, by its SHA-256."""
    public_url = shop_of(services).public_url
    return lambda sha256: f"{public_url}{media_path(services.vault, sha256, now, CARD)}"


def _note_intent(conn: Connection, task: Row[Any], messages: list[dict[str, Any]], now: datetime) -> None:
    """The ledger's row before the call; a tap after an unconfirmed one uses the same row again."""
    once = _once(task.id)
    kept = ledger.add_send(
        conn,
        {
            "kind": "chat",
            "userid": task.userid,
            "external_userid": task.external_userid,
            "person_id": task.person_id,
            "playbook_key": task.playbook_key,
            "step_id": task.step_id,
            "task_id": task.id,
            "once": once,
            "content": {"messages": messages},
            "decided_at": now,
            "outcome": "intent",
            "correlation": task.correlation,
        },
    )
    if kept is None:
        ledger.change_send(
            conn,
            once,
            content={"messages": messages},
            decided_at=now,
            outcome="intent",
            reason="再次发送，上一次没有结果",
        )


def _once(task_id: int) -> str:
    return f"chat:{task_id}"


def _confirm(conn: Connection, userid: str, task_id: int, ok: bool, error: str, now: datetime) -> TaskView:
    task, _run = _locked(conn, userid, task_id)
    if task.released_at is None and task.state != "sent":
        raise Conflict(_("这条待办还没有发送，请先点「发送到聊天」。"))
    if task.state != "sent":
        if ok:
            _note_sent(conn, task, now)
        else:
            task_store.change_task(conn, task.id, released_at=None)
            ledger.change_send(conn, _once(task.id), outcome="failed", reason=error[:300])
    return _reloaded(conn, task, now)


def _note_sent(conn: Connection, task: Row[Any], now: datetime) -> None:
    """Also when the task was withdrawn between the tap and the client's answer: it did go out."""
    task_store.end_task(conn, task, "sent", "", now=now)
    ledger.change_send(conn, _once(task.id), outcome="sent", sent_at=now, reason="")
    told = Event(
        "task.sent",
        now,
        task.person_id,
        task.external_userid,
        task.userid,
        key=str(task.id),
        facts={"title": task.title, "playbook": task.playbook_title, "text": task.text[:200]},
        once=f"task.sent:{task.id}",
    )
    publish(conn, [told], now=now, correlation=task.correlation)


def skip_one(conn: Connection, userid: str, task_id: int, reason: str, now: datetime) -> TaskView:
    """`skip` inside a transaction."""
    task, _run = _locked(conn, userid, task_id)
    if task.state == "skipped":
        return _reloaded(conn, task, now)
    if task.state != "open":
        raise Conflict(_ended_words(task))
    if task.kind == promises.KIND:
        promises.cancel(conn, task, reason.strip()[:300], now=now)
    else:
        task_store.end_task(conn, task, "skipped", reason.strip()[:300] or "员工跳过", now=now)
    return _reloaded(conn, task, now)


def _unskip(conn: Connection, services: Services, userid: str, task_id: int, now: datetime) -> "TaskView | _Refusal":
    task, run = _locked(conn, userid, task_id)
    if task.state == "open":
        return _reloaded(conn, task, now)
    if task.state != "skipped" or task.ended_at is None or now - task.ended_at > UNDO:
        raise Conflict(_("只能在跳过后的 10 分钟内撤销。"))
    if run is not None and run.state not in ("active", "done"):
        raise Conflict(exits.withdrawn_words(run.ended_reason or "流程已结束"))
    return _open_again(conn, services, userid, task, now)


def _use_hint(conn: Connection, userid: str, task_id: int, now: datetime) -> TaskView:
    task, _run = _locked(conn, userid, task_id)
    if task.kind != "hint":
        raise Conflict(_("这条是要发给客户的，请点「发送到聊天」。"))
    return mark_done(conn, userid, task_id, now)


def _take_back(conn: Connection, services: Services, userid: str, task_id: int, now: datetime) -> "TaskView | _Refusal":
    task, run = _locked(conn, userid, task_id)
    if task.state == "skipped":
        return _unskip(conn, services, userid, task_id, now)
    if state_of(task, now) == "postponed":
        task_store.change_task(conn, task.id, open_at=now, reminder="sent")
        return _reloaded(conn, task, now)
    if task.state == "open":
        return _reloaded(conn, task, now)
    if task.state != "sent" or task.ended_at is None or now - task.ended_at > UNDO:
        raise Conflict(_("只能在处理后的 10 分钟内撤销。"))
    sent = ledger.find_send(conn, _once(task.id))
    if sent is not None and sent.reason not in _BY_HAND:
        raise Conflict(_("这条已经发到聊天里了，不能撤销。"))
    if run is not None and run.state not in ("active", "done"):
        raise Conflict(exits.withdrawn_words(run.ended_reason or "流程已结束"))
    forget(conn, f"task.sent:{task.id}")
    ledger.change_send(conn, _once(task.id), outcome="failed", sent_at=None, reason="员工撤销了“已发送”")
    return _open_again(conn, services, userid, task, now)


def _open_again(
    conn: Connection, services: Services, userid: str, task: Row[Any], now: datetime
) -> "TaskView | _Refusal":
    task_store.change_task(conn, task.id, state="open", reason="", ended_at=None, released_at=None, reminder="sent")
    if task.kind == promises.KIND:
        promises.forget_end(conn, task)
    if task.step_run_id is not None:
        store.reopen_step_run(conn, task.step_run_id)
    if task.enrolment_id is not None:
        store.reopen_run(conn, task.enrolment_id)
    task, run = _locked(conn, userid, task.id)
    return _stale(conn, services, task, run, now) or _reloaded(conn, task, now)


def mark_done(conn: Connection, userid: str, task_id: int, now: datetime, how: str = ON_CARD) -> TaskView:
    """The member says that it is done, by his own hand; twice is once. Raises Conflict when it ended otherwise."""
    task, _run = _locked(conn, userid, task_id)
    if task.state == "sent":
        return _reloaded(conn, task, now)
    if state_of(task, now) not in ("open", "postponed"):
        raise Conflict(_ended_words(task))
    if task.kind == "hint":
        task_store.end_task(conn, task, "sent", "", now=now)
        return _reloaded(conn, task, now)
    if task.kind == promises.KIND:
        promises.keep(conn, task, now=now)
        return _reloaded(conn, task, now)
    if task.released_at is None:
        _note_intent(conn, task, [], now)
    _note_sent(conn, task, now)
    ledger.change_send(conn, _once(task.id), reason=how)
    return _reloaded(conn, task, now)


def postpone_soon(conn: Connection, userid: str, task_id: int, now: datetime, zone: ZoneInfo) -> TaskView:
    """Put it off to the next usual moment; what is put off already stays. Raises Conflict when it expires before."""
    task, _run = _locked(conn, userid, task_id)
    if state_of(task, now) == "postponed":
        return _reloaded(conn, task, now)
    if state_of(task, now) != "open":
        raise Conflict(_ended_words(task))
    choices = postpone_choices(now, zone, task.expires_at)
    if not choices:
        raise Conflict(_("这条待办快到期了，不能再推迟。"))
    return _postpone(conn, userid, task_id, choices[0][1], now, zone)


def _postpone(conn: Connection, userid: str, task_id: int, until: datetime, now: datetime, zone: ZoneInfo) -> TaskView:
    task, _run = _locked(conn, userid, task_id)
    if task.state != "open":
        raise Conflict(_ended_words(task))
    if until <= now:
        raise Invalid(_("推迟的时间已经过去，请选一个将来的时间。"))
    if task.expires_at is not None and until >= task.expires_at:
        ends = task.expires_at.astimezone(zone)
        raise Conflict(_("这条待办 {when} 过期，不能推迟到那之后。", when=f"{ends:%m-%d %H:%M}"))
    if task.kind == promises.KIND:
        promises.put_off(conn, task, until)
    else:
        task_store.change_task(conn, task.id, open_at=until, reminder="waiting", released_at=None)
    return _reloaded(conn, task, now)


def _checked(text: str) -> str:
    text = text.strip()
    if not text:
        raise Invalid(_("要发送的内容是空的，请写点什么。"))
    if len(text) > CHAT_TEXT_CHARS:
        raise Invalid(_("内容有 {n} 个字，最多 {most} 个，请删短一些。", n=len(text), most=CHAT_TEXT_CHARS))
    return text


def _reloaded(conn: Connection, task: Row[Any], now: datetime) -> TaskView:
    return _view(task_store.get_task_with_names(conn, task.id), now)
