"""Moments of the corp that members publish (docs 95094, 93333, 97612)."""

from datetime import UTC, datetime, timedelta

from ..call import Call, read_text
from ..errors import Refusal
from ..sending import Moment
from ..world import Json, PairState
from .mass_messages import cut_page

TEXT_CHARS, TEXT_BYTES, IMAGES = 2000, 4000, 9
LONGEST_SPAN = timedelta(days=30)
# A job shows its steps: begun, being made, done.
STEP = timedelta(seconds=1)


def add_moment_task(call: Call) -> Json:
    """The id of a job; the moment can be read when the job is done."""
    if call.world.sending.no_moments:
        raise Refusal(41211)
    words = call.body.get("text") or {}
    text = read_text(words if isinstance(words, dict) else {}, "content")
    if len(text) > TEXT_CHARS or len(text.encode()) > TEXT_BYTES:
        raise Refusal(40058, "invalid text size")
    attachments = _attachments(call)
    if not text and not attachments:
        raise Refusal(41089)
    number = call.world.next_number()
    moment = Moment(call.world.make_id("mom", f"moment/{number}", 36), call.now, text, attachments, [])
    _address(call, moment)
    jobid = call.world.make_id("job", f"moment/{number}", 40)
    call.world.sending.moments[moment.moment_id] = moment
    call.world.sending.moment_jobs[jobid] = (moment.moment_id, call.now)
    call.world.touch()
    return {"jobid": jobid}


def _attachments(call: Call) -> list[Json]:
    items = call.body.get("attachments") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Refusal(40058, "invalid attachments")
    kinds = {str(item.get("msgtype")) for item in items}
    if len(kinds) > 1 or not kinds <= {"image", "video", "link"}:
        raise Refusal(41065, "invalid attachments msgtype")
    if len(items) > (IMAGES if kinds == {"image"} else 1):
        raise Refusal(41064, "invalid attachments size")
    for item in items:
        _check_media(call, item.get(item["msgtype"]) or {}, item["msgtype"])
    return items


def _check_media(call: Call, content: Json, kind: str) -> None:
    if kind == "link":
        read_text(content, "title", size=128)
        read_text(content, "url", missing=40058)
    media = call.world.find_media(read_text(content, "media_id", missing=40007), call.now)
    if media is None:
        raise Refusal(40007)
    if media.door != "attachment":
        raise Refusal(41072)


def _address(call: Call, moment: Moment) -> None:
    visible = call.body.get("visible_range") or {}
    names = (visible.get("sender_list") or {}).get("user_list") or []
    tags = set((visible.get("external_contact_list") or {}).get("tag_list") or [])
    members = [call.world.find_in_range(name) for name in names] if names else call.world.members_in_range()
    moment.is_public = not tags
    for member in members:
        if member is None:
            continue  # outside the range: ignored, told by the job
        pairs = [pair for pair in call.world.pairs_of_member(member.userid) if pair.state == PairState.FRIEND]
        audience = [pair.external_userid for pair in pairs if not tags or tags & set(pair.tag_ids)]
        if audience or not tags:
            moment.userids.append(member.userid)
            moment.audiences[member.userid] = audience


def get_moment_task_result(call: Call) -> Json:
    """Status 1, 2, then 3 with the moment's id."""
    found = call.world.sending.moment_jobs.get(call.query.get("jobid", ""))
    if found is None or call.now - found[1] > timedelta(hours=24):
        raise Refusal(40058, "invalid Request Parameter, unknown jobid")
    moment_id, begun_at = found
    status = min(3, 1 + (call.now - begun_at) // STEP)
    answer: Json = {"status": status, "type": "add_moment_task"}
    if status == 3:
        answer["result"] = {
            "errcode": 0,
            "errmsg": "ok",
            "moment_id": moment_id,
            "invalid_sender_list": {"user_list": [], "department_list": []},
            "invalid_external_contact_list": {"tag_list": []},
        }
    return answer


def _find(call: Call) -> Moment:
    moment = call.world.sending.moments.get(call.text("moment_id", missing=41059))
    if moment is None:
        raise Refusal(41060)
    return moment


def _find_of_member(call: Call, *, published: bool) -> tuple[Moment, str]:
    moment, userid = _find(call), call.member(call.text("userid", missing=40058)).userid
    if userid not in moment.userids:
        raise Refusal(41061)
    if published and userid not in moment.published:
        raise Refusal(41062)
    return moment, userid


def cancel_moment_task(call: Call) -> Json:
    """Unpublished copies stop; published ones stay."""
    _find(call).is_cancelled = True
    call.world.touch()
    return {}


def get_moment_list(call: Call) -> Json:
    """An open interval of at most 30 days, twenty at a time."""
    start = datetime.fromtimestamp(call.number("start_time", 0), UTC)
    end = datetime.fromtimestamp(call.number("end_time", 0), UTC)
    if not timedelta() <= end - start <= LONGEST_SPAN:
        raise Refusal(40058, "invalid Request Parameter, start_time and end_time span more than 30 days")
    of_corp = call.number("filter_type", 2) in (0, 2)
    found = [m for m in call.world.sending.moments.values() if of_corp and start < m.created_at < end]
    page, cursor = cut_page(call, found, default=20, most=20)
    rows = [
        {
            "moment_id": moment.moment_id,
            "create_time": int(moment.created_at.timestamp()),
            "create_type": 0,
            "visible_type": int(moment.is_public),
            "text": {"content": moment.text},
        }
        for moment in page
    ]
    return {"moment_list": rows, "next_cursor": cursor}


def get_moment_task(call: Call) -> Json:
    """publish_status 0 not yet, 1 published."""
    moment = _find(call)
    page, cursor = cut_page(call, moment.userids, default=500, most=1000)
    rows = [{"userid": userid, "publish_status": int(userid in moment.published)} for userid in page]
    return {"task_list": rows, "next_cursor": cursor}


def get_moment_customer_list(call: Call) -> Json:
    """Whom the member is to show it to."""
    moment, userid = _find_of_member(call, published=False)
    page, cursor = cut_page(call, moment.audiences.get(userid, []), default=500, most=1000)
    return {"customer_list": [{"userid": userid, "external_userid": each} for each in page], "next_cursor": cursor}


def get_moment_send_result(call: Call) -> Json:
    """Who can see it now."""
    moment, userid = _find_of_member(call, published=True)
    page, cursor = cut_page(call, moment.audiences.get(userid, []), default=3000, most=5000)
    return {"customer_list": [{"external_userid": each} for each in page], "next_cursor": cursor}


def get_moment_comments(call: Call) -> Json:
    """Comments and likes on one member's copy."""
    moment, userid = _find_of_member(call, published=True)

    def rows(reactions: list[tuple[str, str, datetime]]) -> list[Json]:
        return [
            {"external_userid": external_userid, "create_time": int(at.timestamp())}
            for whose, external_userid, at in reactions
            if whose == userid
        ]

    return {"comment_list": rows(moment.comments), "like_list": rows(moment.likes)}
