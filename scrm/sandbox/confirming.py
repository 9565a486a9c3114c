"""What members do with mass messages and moments that wait for them, and what customers do with moments."""

from collections.abc import Sequence

from scrm.errors import Conflict, NotFound

from .sandbox import Sandbox
from .sending import Delivery, MassMessage, Moment
from .world import Json, PairState


def confirm_mass_message(sandbox: Sandbox, userid: str, msgid: str, chat_ids: Sequence[str] = ()) -> Json:
    """The member taps 发送: each customer gets it, unless he is no friend or had his share of the month."""
    made, member = _mass_message(sandbox, msgid), sandbox.get_member(userid)
    if made.is_cancelled:
        raise Conflict("这条群发已被停止。")
    if member.userid not in made.userids or member.userid in made.confirmed:
        raise Conflict("这条群发不用你发，或者已经发过了。")
    if made.chat_type == "group" and chat_ids and not made.deliveries:
        made.deliveries = [Delivery(chat_id, member.userid) for chat_id in chat_ids]
    now = sandbox.clock.now()
    made.confirmed[member.userid] = now
    for each in made.deliveries:
        if each.userid == member.userid and (not chat_ids or each.target in chat_ids):
            _deliver(sandbox, made, each)
    sandbox.world.touch()
    return {"sent": sum(1 for each in made.deliveries if each.userid == member.userid and each.status == 1)}


def _deliver(sandbox: Sandbox, made: MassMessage, each: Delivery) -> None:
    now, sending = sandbox.clock.now(), sandbox.world.sending
    pair = sandbox.world.find_pair(each.userid, each.target) if made.chat_type == "single" else None
    if made.chat_type == "single" and (pair is None or pair.state not in (PairState.FRIEND, PairState.HALF)):
        each.status = 2
        return
    if not sending.has_room(each.target, now):
        each.status = 3
        return
    each.status, each.sent_at = 1, now
    sending.receive(each.target, now)
    if pair is not None:
        if made.text:
            sandbox.world.append(pair, now, "member", "text", {"content": made.text})
        for item in made.attachments:
            sandbox.world.append(pair, now, "member", item["msgtype"], item[item["msgtype"]])


def send_personal_mass_message(sandbox: Sandbox, userid: str, text: str, external_userids: Sequence[str]) -> str:
    """A member writes to many customers by himself; WeCom lists it with its creator. Returns the msgid."""
    member, world = sandbox.get_member(userid), sandbox.world
    msgid = world.make_id("msg", f"personal/{world.next_number()}", 40)
    made = MassMessage(msgid, "single", sandbox.clock.now(), text, [], creator=member.userid)
    made.deliveries = [Delivery(target, member.userid) for target in external_userids]
    made.userids = [member.userid]
    world.sending.mass_messages[msgid] = made
    confirm_mass_message(sandbox, userid, msgid)
    return msgid


def publish_moment(sandbox: Sandbox, userid: str, moment_id: str) -> None:
    """The member taps 发表."""
    moment, member = _moment(sandbox, moment_id), sandbox.get_member(userid)
    if moment.is_cancelled:
        raise Conflict("这条朋友圈已被停止发表。")
    if member.userid not in moment.userids or member.userid in moment.published:
        raise Conflict("这条朋友圈不用你发表，或者已经发表过了。")
    moment.published[member.userid] = sandbox.clock.now()
    sandbox.world.touch()


def react_to_moment(sandbox: Sandbox, userid: str, external_userid: str, moment_id: str, kind: str) -> None:
    """A customer likes or comments what the member published."""
    moment, member = _moment(sandbox, moment_id), sandbox.get_member(userid)
    if external_userid not in moment.audiences.get(member.userid, []) or member.userid not in moment.published:
        raise Conflict("这位顾客看不到这条朋友圈。")
    reactions = moment.likes if kind == "like" else moment.comments
    reactions.append((member.userid, external_userid, sandbox.clock.now()))
    sandbox.world.touch()


def tell_upload_finished(sandbox: Sandbox, jobid: str) -> None:
    """Event upload_media_job_finish; the result itself must be fetched."""
    if jobid not in sandbox.world.sending.url_jobs:
        raise NotFound(f"没有这个上传任务：{jobid}")
    sandbox.tell("素材上传完成", "upload_media_job_finish", [("JobId", jobid)])


def _mass_message(sandbox: Sandbox, msgid: str) -> MassMessage:
    made = sandbox.world.sending.mass_messages.get(msgid)
    if made is None:
        raise NotFound(f"没有这条群发：{msgid}")
    return made


def _moment(sandbox: Sandbox, moment_id: str) -> Moment:
    moment = sandbox.world.sending.moments.get(moment_id)
    if moment is None:
        raise NotFound(f"没有这条朋友圈：{moment_id}")
    return moment
