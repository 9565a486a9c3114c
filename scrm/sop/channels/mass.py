"""M, a mass message: made by us for all of a member's customers who get the same words, confirmed by the member."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.content import programs, render
from scrm.content.attachments import media_name
from scrm.content.media.store import find_by_name
from scrm.sop import engine, timing
from scrm.sop.channels.ready import Outcome, Ready, Release, missing_content, needless_acts, undecided
from scrm.sop.mass import batches
from scrm.sop.mass.batches import Member
from scrm.sop.schema import Content, Step

letter = "M"
title = "企业群发（员工确认）"
opening = "intent"
keys: frozenset[str] = frozenset({"gather", "stop_at_losses"})

# Steps that come due within this time are one message.
GATHER = timedelta(seconds=60)
LONGEST_GATHER = timedelta(hours=12)
# Promotions stop by themselves when more than this part of their recipients delete the member within a day.
STOP_PROMOTIONS_AT = 0.01

_SAME_FOR_ALL = frozenset({"shop", "staff"})


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """What members must act on, and words that are the same for everybody."""
    found = [*undecided(step, keys), *needless_acts(step), *missing_content(step)]
    for content in step.contents:
        found += _personal(step, content)
        if len(content.text.encode()) > render.WELCOME_TEXT_BYTES:
            found.append(f"步骤“{step.id}”的文字超过 {render.WELCOME_TEXT_BYTES} 字节，企业群发放不下，请改短")
    return [*dict.fromkeys(found), *_bad_options(step)]


def _personal(step: Step, content: Content) -> list[str]:
    """Variables and coupons that differ from customer to customer."""
    found = []
    if any("coupon" in part for part in content.attachments):
        found.append(
            f"步骤“{step.id}”是企业群发，不能放每人一张的优惠券：同一条消息发给所有人。请改用员工待办（T），或放一个通用的领券链接"
        )
    cards = [card for part in content.attachments for card in (part.get("link"), part.get(programs.KIND)) if card]
    texts = [content.text, *(str(text) for card in cards for text in card.values())]
    named: set[str] = set()
    for text in texts:
        if not render.check(text):
            named |= render.variables_of(text)
    for key in sorted(named - _SAME_FOR_ALL):
        found.append(
            f"步骤“{step.id}”是企业群发，同一段话发给所有人，不能用“{render.title_of(key)}”（{key}）："
            "请删掉它，或改用员工待办（T）"
        )
    return found


def _bad_options(step: Step) -> list[str]:
    found = []
    if "stop_at_losses" in step.options and _share(step.options["stop_at_losses"]) is None:
        found.append(f"步骤“{step.id}”的 stop_at_losses 要写成百分比，例如 1%，或写 none 不自动停发")
    if "gather" in step.options:
        gather = _gather(step)
        if gather is None or not timedelta() < gather <= LONGEST_GATHER:
            found.append(f"步骤“{step.id}”的 gather（攒多久合成一条群发）要写成时长，例如 30m，最长 12h")
        elif gather >= (step.ttl or engine.DEFAULT_TTL):
            found.append(f"步骤“{step.id}”的 gather 要比 ttl 短，不然还没发给员工就过期了")
    return found


def _gather(step: Step) -> timedelta | None:
    try:
        return timing.parse_duration(str(step.options["gather"])) if "gather" in step.options else GATHER
    except ValueError:
        return None


def _share(value: object) -> float | None:
    """1% -> 0.01; none -> 0."""
    text = str(value).strip()
    if value is None or text.lower() == "none":
        return 0.0
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else -1.0
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """Everybody joins the batch of his step, words and member that gathers now; the tick makes it a message."""
    stopped = batches.stopped_waves(conn, {_wave(one) for one in ready})
    over = [Outcome(one.step_run_id, "dropped", stopped[_wave(one)]) for one in ready if _wave(one) in stopped]
    groups: dict[tuple[object, ...], list[Ready]] = {}
    for one in ready:
        if _wave(one) not in stopped:
            variant = one.due.variant.name if one.due.variant else ""
            groups.setdefault((*_wave(one), variant, one.due.row.userid, one.said.text), []).append(one)
    originals = find_by_name(conn, names) if (names := _media_names(ready)) else {}
    gathered = []
    for group in groups.values():
        lost = [name for name in _media_names(group) if name not in originals]
        if lost:
            reason = f"素材库里没有“{lost[0]}”，请重新上传"
            over += [Outcome(one.step_run_id, "failed", reason) for one in group]
            continue
        members = [Member(one.step_run_id, one.due.row.id, one.due.row.external_userid) for one in group]
        gathered.append((_batch(group[0], originals, release), members))
    batches.gather(conn, gathered)
    return over


def _wave(one: Ready) -> tuple[str, int, str]:
    return one.due.playbook.key, one.due.playbook.version, one.step.id


def _media_names(ready: Sequence[Ready]) -> list[str]:
    return sorted({name for one in ready for part in one.due.content.attachments if (name := programs.file_of(part))})


def _batch(one: Ready, originals: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """What all steps of a batch have in common."""
    playbook, step, now = one.due.playbook, one.step, release.now
    variant = one.due.variant.name if one.due.variant else ""
    text = render.cut_bytes(one.said.text, render.WELCOME_TEXT_BYTES)
    attachments = [programs.kept(part, originals) for part in _parts(one)]
    same = [playbook.key, playbook.version, step.id, variant, one.due.row.userid, text, attachments]
    closes_at = now + (_gather(step) or GATHER)
    expires_at = engine.expires_at(step, now)
    return {
        "key": hashlib.blake2b(json.dumps(same).encode(), digest_size=32).hexdigest(),
        "playbook_key": playbook.key,
        "version": playbook.version,
        "step_id": step.id,
        "variant": variant,
        "userid": one.due.row.userid,
        "title": step.title or playbook.title,
        "text": text,
        "attachments": attachments,
        "opened_at": now,
        "remind_at": max(closes_at, now + (expires_at - now) / 2),
        "expires_at": max(expires_at, closes_at),
        "look_at": closes_at,
        "stop_at": _stop_at(one),
    }


def _stop_at(one: Ready) -> float:
    if "stop_at_losses" in one.step.options:
        return _share(one.step.options["stop_at_losses"]) or 0.0
    return STOP_PROMOTIONS_AT if one.due.playbook.priority == "P4" else 0.0


def _parts(one: Ready) -> list[dict[str, Any]]:
    """Each attachment as the author wrote it, its links as they were filled."""
    filled = one.said.attachments
    return [
        part if media_name(part) else _card(filled[place])
        for place, part in enumerate(one.due.content.attachments[: len(filled)])
    ]


def _card(message: Mapping[str, Any]) -> dict[str, Any]:
    """A link or mini-program that was filled for a chat, as an author writes it."""
    if programs.KIND in message:
        return {programs.KIND: {**message[programs.KIND], "picture": message["picture"]}}
    news = message["news"]
    link = {"title": news.get("title"), "url": news.get("link"), "desc": news.get("desc"), "picurl": news.get("imgUrl")}
    return {"link": {key: text for key, text in link.items() if text}}
