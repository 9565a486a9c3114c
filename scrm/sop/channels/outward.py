"""K, a channel outside WeCom: a signed call of the shop's own system or of an SMS service."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection
from yarl import URL

from scrm.sop import engine, ledger
from scrm.sop.channels.ready import Outcome, Ready, Release, needless_acts
from scrm.sop.schema import Step
from scrm.work import queue

letter = "K"
title = "企微外渠道（推送）"
opening = "intent"
keys: frozenset[str] = frozenset({"to", "url", "data"})

KIND = "sop.outward"
LANE = "outward"
_ENDPOINT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MOST_DATA = 4000


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """Where it goes: one of the two; what it says is up to the other side as well."""
    found = needless_acts(step)
    to, url = step.options.get("to"), step.options.get("url")
    if (to is None) == (url is None):
        found.append(f"步骤“{step.id}”要写 to（设置里 [outward.名称] 的名称）或 url，二选一")
    elif to is not None and not (isinstance(to, str) and _ENDPOINT.fullmatch(to)):
        found.append(f"步骤“{step.id}”的 to 要写设置里 [outward.名称] 的名称，只能用小写字母、数字、- 和 _")
    elif url is not None and (wrong := _wrong_url(url)):
        found.append(f"步骤“{step.id}”的 url {wrong}")
    data = step.options.get("data")
    if data is not None and not (isinstance(data, dict) and len(str(data)) <= _MOST_DATA):
        found.append(
            f"步骤“{step.id}”的 data 要写成“键: 值”，例如 data: {{template: SMS_123}}，合计不超过 {_MOST_DATA} 个字"
        )
    if data is None and not any(content.text for content in step.contents):
        found.append(f"步骤“{step.id}”缺少 content（要说的话）或 data（给对方系统的参数）")
    return found


def _wrong_url(value: Any) -> str:
    try:
        url = URL(str(value))
    except ValueError:
        return "不是网址"
    if url.scheme != "https" or not url.host:
        return "要以 https:// 开头；内网或 http 的地址请写进设置 [outward.名称]，再用 to"
    if url.user or url.password:
        return "里不能写用户名和密码"
    return ""


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """The ledger's rows and the calls, which commit with the steps; the step is the key under which it is done once."""
    rows = [_send(one, release) for one in ready]
    ledger.add_sends(conn, rows)
    queue.add_many(conn, [_work(one, release) for one in ready], now=release.now)
    return []


def once(step_run_id: int) -> str:
    """Also what the other side tells repeats by."""
    return f"outward:{step_run_id}"


def _send(one: Ready, release: Release) -> dict[str, Any]:
    row = one.due.row
    return {
        "kind": "outward",
        "userid": row.userid,
        "external_userid": row.external_userid,
        "person_id": row.person_id,
        "playbook_key": one.due.playbook.key,
        "step_id": one.step.id,
        "once": once(one.step_run_id),
        "content": {
            **{key: one.step.options[key] for key in ("to", "url") if key in one.step.options},
            "body": _body(one, release),
        },
        "decided_at": release.now,
        "outcome": "intent",
        "correlation": row.correlation,
    }


def _body(one: Ready, release: Release) -> dict[str, Any]:
    """What is sent, the same at every try; without phones: the other side asks the API for what it may know."""
    row, playbook = one.due.row, one.due.playbook
    return {
        "id": once(one.step_run_id),
        "type": "playbook.step",
        "decided_at": release.now.isoformat(),
        "playbook": {"key": playbook.key, "title": playbook.title, "version": row.version},
        "step": {"id": one.step.id, "title": one.step.title},
        "run_key": row.run_key,
        "customer": {"id": row.person_id, "external_userid": row.external_userid},
        "member": {"userid": row.userid},
        "text": one.said.text,
        "attachments": one.said.attachments,
        "data": one.step.options.get("data") or {},
    }


def _work(one: Ready, release: Release) -> queue.Item:
    return queue.Item(
        lane=LANE,
        kind=KIND,
        payload={"step_run_id": one.step_run_id, "enrolment_id": one.due.row.id},
        give_up_at=engine.expires_at(one.step, release.now),
        correlation=one.due.row.correlation,
    )
