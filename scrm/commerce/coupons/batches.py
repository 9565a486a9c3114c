"""Batches as people and programs make them: read, checked in words, stopped and gone on with."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct
from sqlalchemy import Connection, update

from scrm import audit
from scrm.commerce.coupons import figures as coupons_figures
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch
from scrm.errors import Conflict, Invalid, NotFound

_KEY = re.compile(r"[a-z0-9][a-z0-9_\-]{0,63}")


class Batch(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a batch says; money in fen, `valid_hours` from the issue on."""

    key: Annotated[str, Meta(max_length=64, extra_json_schema={"pattern": f"^{_KEY.pattern}$"})]
    title: Annotated[str, Meta(max_length=80, extra_json_schema={"pattern": r"[^\u0000-\u0020]"})]
    kind: Literal["generated", "pool", "link"] = "generated"
    benefit: Literal["amount", "percent", "gift", "freight"] = "amount"
    face_fen: Annotated[int, Meta(ge=0, le=10**9)] = 0
    percent_off: Annotated[int, Meta(ge=0, le=99)] = 0
    threshold_fen: Annotated[int, Meta(ge=0, le=10**9)] = 0
    valid_hours: Annotated[int, Meta(ge=1, le=24 * 3660)] | None = None
    valid_until: Annotated[datetime, Meta(tz=True)] | None = None
    budget: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    per_person: Annotated[int, Meta(ge=1, le=1000)] | None = None
    url: Annotated[str, Meta(max_length=500)] = ""
    rules: Annotated[str, Meta(max_length=1000)] = ""
    gives_back: bool = True


def problem(batch: Batch, now: datetime) -> str:
    """What is wrong with it, in one line; empty when nothing is. Pure."""
    if not _KEY.fullmatch(batch.key):
        return f"编号：收到“{batch.key[:40]}”，只能用小写字母、数字、- 和 _，例如 new72h"
    if not batch.title.strip():
        return "请填写券的名称"
    if batch.benefit == "amount" and batch.face_fen <= 0:
        return "满减券要填写面额"
    if batch.benefit == "percent" and not 1 <= batch.percent_off <= 99:
        return "折扣券要填写折扣，例如 8.5 折"
    if batch.benefit == "amount" and 0 < batch.threshold_fen < batch.face_fen:
        return "使用门槛不能低于面额"
    if batch.kind == "link" and not batch.url:
        return "平台券要填写领取链接，例如 https://shop.example.com/coupon?c={code}"
    if batch.url and not batch.url.startswith(("https://", "http://")):
        return "领取链接要以 https:// 开头"
    if batch.valid_until is not None and batch.valid_until <= now:
        return "截止时间已经过去，请选一个将来的时间"
    return ""


@audit.keeps("coupon_batch", coupon_batch.c.key, of=("batch.key",))
def save(conn: Connection, batch: Batch, *, origin: str, is_new: bool, now: datetime) -> None:
    """Make or change a batch; raises Invalid, Conflict for a key that is taken or a playbook's own."""
    if wrong := problem(batch, now):
        raise Invalid(wrong)
    known = coupons_figures.find_batch(conn, batch.key)
    if known is not None and (is_new or known.origin == "playbook"):
        raise Conflict(
            f"编号 {batch.key} 已经有了，请换一个"
            if known.origin != "playbook"
            else f"券批次 {batch.key} 由剧本定义，请在剧本里修改"
        )
    if known is not None and known.kind != batch.kind:
        raise Conflict("发出去的券依赖券码来源，不能修改；请新建一个批次")
    if known is not None and batch.budget is not None and batch.budget < known.issued_count:
        raise Conflict(f"已发出 {known.issued_count} 张，总量不能少于它")
    coupons.ensure_batch(
        conn,
        key=batch.key,
        kind=batch.kind,
        title=batch.title.strip(),
        benefit=batch.benefit,
        face_fen=batch.face_fen if batch.benefit != "percent" else 0,
        percent_off=batch.percent_off if batch.benefit == "percent" else 0,
        threshold_fen=batch.threshold_fen,
        valid=None if batch.valid_hours is None else timedelta(hours=batch.valid_hours),
        valid_until=batch.valid_until,
        url=batch.url,
        rules=batch.rules,
        budget=batch.budget,
        per_person=batch.per_person,
        gives_back=batch.gives_back,
        origin=origin,
        now=now,
    )


@audit.keeps("coupon_batch", coupon_batch.c.key, of=("key",))
def stop(conn: Connection, key: str, *, now: datetime | None) -> None:
    """Issue no more of a batch, or go on (None); what is issued stays good. Raises NotFound."""
    changed = conn.execute(
        update(coupon_batch).where(coupon_batch.c.key == key).values(stopped_at=now).returning(coupon_batch.c.key)
    ).first()
    if changed is None:
        raise NotFound(f"没有券批次“{key[:64]}”")
