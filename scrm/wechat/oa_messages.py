"""Messages of the Official Account as plain data: wechatpy decrypts, parses and writes the answers."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.replies import TextReply
from wechatpy.utils import check_signature

from scrm.content.render import cut_bytes
from scrm.wecom.callback_xml import Unreadable, parse_xml
from scrm.wecom.crypto import BadCallback, encrypted_part

ANSWER_BYTES = 2048


@dataclass(frozen=True, slots=True)
class OaMessage:
    """A message or an event of a follower; `event` is lower case and '' for messages, `scene` of a scanned code."""

    once: str
    openid: str
    msgtype: str
    event: str
    scene: str
    text: str
    occurred_at: datetime
    fields: dict[str, Any]
    parsed: Any

    @property
    def may_be_answered(self) -> bool:
        """Nobody hears an answer to a farewell."""
        return self.event != "unsubscribe"


class Envelope:
    """Signature and encryption of one account (safe mode), by wechatpy; refuses with BadCallback."""

    def __init__(self, app_id: str, token: str, aes_key: str) -> None:
        self._token, self.app_id = token, app_id
        self._crypto = WeChatCrypto(token, aes_key, app_id)

    def check(self, signature: str, timestamp: str, nonce: str) -> None:
        """The plain signature, which the verification of the address bears."""
        try:
            check_signature(self._token, signature, timestamp, nonce)
        except InvalidSignatureException:
            raise BadCallback(
                "signature", "the signature does not match: is the Token the one of this account?"
            ) from None

    def open(self, body: bytes, signature: str, timestamp: str, nonce: str) -> bytes:
        """The message inside a body of safe mode."""
        encrypted = encrypted_part(body)
        try:
            text = self._crypto.decrypt_message({"Encrypt": encrypted.decode("ascii")}, signature, timestamp, nonce)
        except InvalidSignatureException:
            raise BadCallback(
                "signature", "the signature does not match: is the Token the one of this account?"
            ) from None
        except InvalidAppIdException:
            raise BadCallback("receiveid", "the message is for another app_id") from None
        except Exception as error:  # wechatpy lets whatever a broken ciphertext causes go through
            raise BadCallback("decrypt", f"the ciphertext does not decrypt ({type(error).__name__})") from None
        return str(text).encode()

    def seal(self, message: OaMessage, answer: str, nonce: str, now: datetime) -> str:
        """The answer as WeChat wants it within five seconds."""
        seconds = int(now.timestamp())
        words = cut_bytes(answer, ANSWER_BYTES).replace("]]>", "]]＞")
        reply = TextReply(content=words, message=message.parsed, time=seconds).render()
        return str(self._crypto.encrypt_message(reply, nonce, str(seconds)))


def read_message(body: bytes, app_id: str) -> OaMessage:
    """Raises BadCallback when it is no message of WeChat."""
    try:
        fields = parse_xml(body)  # refuses DTDs and great depth before wechatpy's own parser sees them
        parsed = parse_message(body)
        occurred_at = datetime.fromtimestamp(int(fields["CreateTime"]), UTC)
        openid = str(fields["FromUserName"])
        msgtype = str(fields["MsgType"]).lower()
    except Unreadable as error:
        raise BadCallback("message", str(error)) from None
    except Exception as error:
        raise BadCallback("message", f"the message lacks what every message has ({type(error).__name__})") from None
    if not openid or parsed is None:
        raise BadCallback("message", "the message names no sender")
    event = str(fields.get("Event") or "").lower() if msgtype == "event" else ""
    return OaMessage(
        once=_once(app_id, openid, event, fields),
        openid=openid[:64],
        msgtype=msgtype[:32],
        event=event[:64],
        scene=_scene(event, parsed),
        text=str(fields.get("Content") or "") if msgtype == "text" else "",
        occurred_at=occurred_at,
        fields=fields,
        parsed=parsed,
    )


def _once(app_id: str, openid: str, event: str, fields: dict[str, Any]) -> str:
    """What makes a repeat the same: MsgId, or who, when and what (WeChat's own rule)."""
    if fields.get("MsgId"):
        return f"{app_id}:{str(fields['MsgId'])[:64]}"
    parts = (openid, str(fields["CreateTime"]), event, str(fields.get("EventKey") or ""))
    return f"{app_id}:{hashlib.sha256('/'.join(parts).encode()).hexdigest()}"


def _scene(event: str, parsed: Any) -> str:
    """wechatpy knows `qrscene_` and takes it off."""
    if event not in ("subscribe", "scan"):
        return ""
    return str(getattr(parsed, "scene_id", "") or "")[:128]
