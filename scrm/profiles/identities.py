"""The keys by which persons are known: which are sure, which wins, and why (docs/commerce 2.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm.db import upsert
from scrm.profiles.models import identity

# How sure an identity is: proven by its owner or its platform, told by somebody, or concluded by us.
VERIFIED, TOLD, GUESSED = "verified", "told", "guessed"
CONFIDENCES = {VERIFIED: "已验证", TOLD: "他人填写", GUESSED: "系统推断"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of key. `joins`: always, verified (only when its owner proved it) or never.

    Of a `unique` kind a person has one value per scope: two different ones speak against a join.
    """

    key: str
    title: str
    joins: str
    unique: bool
    why: str


# In the order of precedence: of two keys of one message that mean two persons, the upper one is believed.
KINDS: tuple[Kind, ...] = (
    Kind("wx_unionid", "UnionID", "always", True, "微信开放平台给每位用户的唯一编号，跨小程序、公众号、企业微信一致"),
    Kind("wecom_external_userid", "企业微信客户", "always", True, "企业微信给本企业每位客户的唯一编号"),
    Kind("external_ref", "自有系统客户号", "always", True, "自家商城、POS 里的客户编号，一个系统里只有一个"),
    Kind("oa_openid", "公众号 OpenID", "always", True, "同一个公众号里唯一；知道 UnionID 后就能和企业微信打通"),
    Kind("wx_openid", "小程序 OpenID", "always", True, "同一个小程序里唯一；知道 UnionID 后就能和企业微信打通"),
    Kind("member_no", "会员号", "always", False, "门店或商城发的会员卡号"),
    Kind("platform_buyer_id", "平台买家 ID", "always", False, "有赞、抖店等平台给买家的编号，只在同一家店里有效"),
    Kind("mobile_e164", "手机号", "verified", False, "客户本人验证过的才自动合并；员工备注、收货手机号可能是家人的，只提示"),
    Kind("email", "邮箱", "verified", False, "客户本人验证过的才自动合并"),
    Kind("taobao_nick", "平台昵称", "never", False, "昵称会重名、会改、常被打码，只提示"),
    Kind("anonymous_id", "匿名访客", "never", False, "一台设备可能有几个人用；访客表明身份后才跟着那个人走"),
)  # fmt: skip
_BY_KEY = {kind.key: kind for kind in KINDS}
_OTHER = Kind("", "其他身份", "never", False, "不认识的身份只作参考")

# Values that many share or that mean nothing (docs/commerce 3.5).
_BLOCKED = frozenset({"", "0", "null", "none", "nil", "undefined", "unknown", "anonymous", "nan", "-", "na", "n/a"})


def kind_of(key: str) -> Kind:
    """What is known of a kind; one that nobody knows never joins anybody."""
    return _BY_KEY.get(key, _OTHER)


def is_usable(value: str) -> bool:
    """False for empty, masked and placeholder values, and for one character repeated."""
    folded = value.strip().lower()
    return folded not in _BLOCKED and "*" not in folded and (len(folded) < 2 or len(set(folded)) > 1)


def joins_by_itself(kind: str, confidence: str) -> bool:
    """Whether two persons with this very value are one without anybody asking."""
    rule = kind_of(kind).joins
    return rule == "always" or (rule == "verified" and confidence == VERIFIED)


@dataclass(frozen=True, slots=True)
class Known:
    """A value somebody is known by; `value` is the keyed hash where the clear one is private."""

    kind: str
    value: str
    scope: str = ""
    source: str = "auto"
    confidence: str = VERIFIED
    sealed: str = ""
    mask: str = ""


def claim(conn: Connection, person_id: int, known: Known, *, now: datetime) -> int:
    """Give a value to a person unless it is somebody's already; the person whose it is now."""
    row = {
        "person_id": person_id,
        "kind": known.kind,
        "scope": known.scope,
        "value": known.value,
        "sealed": known.sealed,
        "mask": known.mask,
        "source": known.source,
        "confidence": known.confidence,
        "created_at": now,
    }
    conn.execute(upsert(identity, conn).values(**row).on_conflict_do_nothing())
    owner = find_owner(conn, known.kind, known.value, known.scope)
    return person_id if owner is None else owner


def find_owner(conn: Connection, kind: str, value: str, scope: str = "") -> int | None:
    return conn.execute(
        select(identity.c.person_id).where(
            identity.c.kind == kind, identity.c.scope == scope, identity.c.value == value
        )
    ).scalar_one_or_none()


def list_of(conn: Connection, person_ids: Iterable[int]) -> list[Row[Any]]:
    """All identities of these persons, the surest kinds first; `mask` is what may be shown."""
    order = {kind.key: place for place, kind in enumerate(KINDS)}
    rows = conn.execute(select(identity).where(identity.c.person_id.in_(sorted(person_ids))).order_by(identity.c.id))
    return sorted(rows, key=lambda row: order.get(row.kind, len(order)))


def conflicts(conn: Connection, one: int, other: int) -> list[tuple[str, str]]:
    """(kind, scope) of which both have a value, though one person has only one."""
    values: dict[tuple[str, str], set[int]] = {}
    for row in list_of(conn, (one, other)):
        if kind_of(row.kind).unique:
            values.setdefault((row.kind, row.scope), set()).add(row.person_id)
    return [key for key, owners in values.items() if len(owners) > 1]
