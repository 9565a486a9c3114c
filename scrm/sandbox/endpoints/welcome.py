"""The welcome message, once and within 20 seconds (doc 92137)."""

from ..call import Call, read_text
from ..errors import Refusal
from ..world import WELCOME_LIFE, Json, Pair, PairState, WelcomeCode

MOST_ATTACHMENTS = 9


def send_welcome_msg(call: Call) -> Json:
    """Each of text and attachments becomes a message of its own; the code is used up."""
    code = _living_code(call)
    text = call.body.get("text") or {}
    if not isinstance(text, dict):
        raise Refusal(40058, "invalid Request Parameter, text must be an object")
    words = read_text(text, "content", size=4000)
    attachments = call.body.get("attachments") or []
    if not isinstance(attachments, list):
        raise Refusal(40058, "invalid Request Parameter, attachments must be a list")
    if len(attachments) > MOST_ATTACHMENTS:
        raise Refusal(41064)
    messages = [("text", {"content": words})] if words else []
    messages += [check_attachment(call, item) for item in attachments]
    if not messages:
        raise Refusal(40058, "invalid Request Parameter, text and attachments are both empty")
    if call.faults.consent_missing:
        raise Refusal(41053)
    _deliver(call, code, messages)
    return {}


def _living_code(call: Call) -> WelcomeCode:
    code = call.world.welcome_codes.get(call.text("welcome_code", missing=41049))
    if code is None or call.now - code.created_at > WELCOME_LIFE:
        raise Refusal(41050)
    pair = call.world.pairs[code.userid, code.external_userid]
    # 41051 also comes when one of the two has spoken already.
    if code.is_used or pair.has_chatted:
        raise Refusal(41051)
    if pair.state == PairState.DELETED:
        raise Refusal(84061)
    return code


def _deliver(call: Call, code: WelcomeCode, messages: list[tuple[str, Json]]) -> None:
    pair: Pair = call.world.pairs[code.userid, code.external_userid]
    code.is_used = True
    for kind, content in messages:
        call.world.append(pair, call.now, "member", kind, content, via="welcome")


def check_attachment(call: Call, item: object) -> tuple[str, Json]:
    """Kind and content of one attachment, with the name and size of its file; refused as WeCom refuses it."""
    kind = item.get("msgtype") if isinstance(item, dict) else None
    content = item.get(kind) if isinstance(item, dict) and isinstance(kind, str) else None
    if kind not in ("image", "link", "miniprogram", "video", "file") or not isinstance(content, dict):
        raise Refusal(41065)
    if kind == "link":
        read_text(content, "title", size=128, missing=40058)
        read_text(content, "desc", size=512)
        read_text(content, "url", missing=40058)
        return kind, content
    if kind == "miniprogram":
        read_text(content, "title", size=64, missing=40058)
        read_text(content, "appid", missing=40058)
        read_text(content, "page", missing=40058)
        return kind, _with_media(call, content, "pic_media_id")
    if kind == "image" and not content.get("media_id"):
        return kind, _permanent_picture(call, content)
    return kind, _with_media(call, content, "media_id")


def _permanent_picture(call: Call, content: Json) -> Json:
    """pic_url must come from media/uploadimg; other addresses are refused."""
    url = read_text(content, "pic_url", missing=40058)
    if not url.startswith(f"{call.config.base_url}/media/"):
        raise Refusal(40058, "invalid Request Parameter, pic_url is not from media/uploadimg")
    return content


def _with_media(call: Call, content: Json, name: str) -> Json:
    media = call.world.find_media(read_text(content, name, missing=40007), call.now)
    if media is None or media.door != "upload":
        raise Refusal(40007)
    return {**content, "filename": media.filename, "size": len(media.content)}
