"""Signed tokens by which the shop's own server says who a visitor is; pages cannot make them."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from scrm.db.vault import Vault
from scrm.errors import Invalid
from scrm.tracking.reading import Claim, read_claim

PURPOSE = "track identity"
LIVES = timedelta(hours=24)


class Expired(Invalid):
    """Ours, and of yesterday: a page that has been open for long still carries it."""


def make_token(vault: Vault, listed: Sequence[Mapping[str, Any]], *, now: datetime) -> str:
    """A token for these identities (`{kind, value, scope}`), good for a day. Raises Invalid when one is none.

    Sealed: a page that carries it does not carry the phone number.
    """
    for one in listed:
        if read_claim(one, vault, is_trusted=True) is None:
            raise Invalid(f"身份 {str(one.get('kind'))[:40]} 的值不能用来认人：空的、打码的或格式不对")
    if not listed:
        raise Invalid('identities 至少要有一个，如 [{"kind": "wx_unionid", "value": "o6_bm…"}]')
    told = {"ids": list(listed), "exp": int((now + LIVES).timestamp())}
    payload = base64.urlsafe_b64encode(vault.seal(json.dumps(told)).encode()).decode().rstrip("=")
    return f"{payload}.{vault.sign(PURPOSE, payload)}"


def read_token(vault: Vault, token: str, *, now: datetime) -> tuple[Claim, ...]:
    """The identities that a token proves; raises Expired, or Invalid for a forged or damaged one."""
    payload, _, proof = token.partition(".")
    if not token.isascii() or not vault.is_signed(PURPOSE, payload, proof):
        raise Invalid("token 不是本系统签发的，请用 POST /api/v1/track/tokens 重新获取")
    try:
        told = json.loads(vault.open(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()))
    except ValueError:
        raise Invalid("token 已损坏，请重新获取") from None
    if told["exp"] < now.timestamp():
        raise Expired("token 已过期（24 小时有效），请重新获取")
    claims = (read_claim(one, vault, is_trusted=True) for one in told["ids"])
    return tuple(claim for claim in claims if claim is not None)
