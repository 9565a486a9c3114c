"""One welcome to WeCom, while its code lives: sent, sent by another, or why not."""

import random
from datetime import datetime, timedelta

from scrm.clock import Clock
from scrm.sop.welcome.composing import Message
from scrm.sop.welcome.intents import Added, Outcome, Prepared
from scrm.wecom.client import WeCom
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable

_CODE_LIFE = timedelta(seconds=20)
_MARGIN = timedelta(milliseconds=500)


async def deliver(wecom: WeCom, clock: Clock, added: Added, message: Message, prepared: Prepared) -> Outcome:
    """Call WeCom until it is sent, was sent, or cannot be any more; at least one try, whatever the clocks say."""
    until = _born(added, clock.now()) + _CODE_LIFE - _MARGIN
    kept = {"text": message.text, "attachments": message.attachments}
    text, attachments, pause = message.text, message.attachments, 0.4
    perhaps_sent = prepared.was_begun
    while True:
        try:
            await wecom.customer_messages.send_welcome_msg(added.welcome_code, text, attachments)
            return Outcome(prepared.send_id, "sent", clock.now(), reason=message.lacks, content=kept)
        except WeComError as error:
            if error.errcode in (41050, 41051):
                outcome, reason = _spent(error.errcode, perhaps_sent)
                sent_at = clock.now() if outcome == "sent" else None
                return Outcome(prepared.send_id, outcome, sent_at, error.errcode, reason, kept)
            if error.retry_class in (RetryClass.PARAMETER, RetryClass.MEDIA) and attachments:
                text, attachments = message.plain, []
                continue
            perhaps_sent = perhaps_sent or (isinstance(error, WeComUnreachable) and error.perhaps_done)
            if not _may_pass(error) or clock.now() + timedelta(seconds=pause) > until:
                outcome = "unknown" if perhaps_sent else "failed"
                return Outcome(prepared.send_id, outcome, None, error.errcode, _why_failed(error, perhaps_sent), kept)
        await clock.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, 3.0)


def _born(added: Added, now: datetime) -> datetime:
    """By our clock. What is dead on arrival by it, or not yet born, tells that WeCom's differs: then it lives from here."""
    arrived = min(added.received_at, now)
    return added.created_at if arrived - _CODE_LIFE < added.created_at <= arrived else arrived


def _spent(errcode: int, perhaps_sent: bool) -> tuple[str, str]:
    """The code cannot be used (any more): by whom it was used depends on what we did before."""
    if errcode == 41051:
        if perhaps_sent:
            return "sent", "上一次请求没有等到回应，企业微信确认欢迎语已经送达"
        return "done_by_other", "客户已经开口，或欢迎语已由其他应用发出，无需再发"
    if perhaps_sent:
        return "unknown", "上一次请求没有等到回应，20 秒已过，无法确认是否送达"
    return "too_late", "超过 20 秒，欢迎语 code 已失效"


def _why_failed(error: WeComError, perhaps_sent: bool) -> str:
    """The final reason: nothing is tried again after this."""
    if perhaps_sent:
        return "企业微信没有及时回应，无法确认欢迎语是否送达"
    if error.errcode == 41053:
        return "客户还没有同意会话存档，同意后会再发欢迎语"
    if error.errcode == 41096:
        return "其他应用一直占用着欢迎语，20 秒内没能发出"
    if _may_pass(error):
        return f"企业微信繁忙（{error.errcode}），20 秒内没能发出"
    return error.text


def _may_pass(error: WeComError) -> bool:
    """-1, 45009, 45033, time-outs, a token that another process replaced, and 41096 (another app may yet fail)."""
    return error.errcode == 41096 or error.retry_class in (
        RetryClass.TRANSIENT,
        RetryClass.TOKEN,
        RetryClass.WINDOW,
        RetryClass.CONFLICT,
    )
