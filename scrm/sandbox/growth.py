"""What an administrator does to tags, and what people do with acquisition links; WeCom tells the app of both."""

from scrm.errors import Conflict, NotFound

from .acquisition import Link, LinkedCustomer
from .endpoints.tags import delete_tags
from .sandbox import SETTLED, Sandbox
from .world import ContactWay, PairState, Tag, TagGroup

LOW_BALANCE = 20
ADD_WAY = 16


async def make_tag(sandbox: Sandbox, group_name: str, name: str) -> Tag:
    """A tag made in the admin console; a new group is an event of its own."""
    world = sandbox.world
    group = next((group for group in world.tag_groups if group.name == group_name), None)
    if group is None:
        group = TagGroup(world.make_id("et", f"group/{group_name}"), group_name, sandbox.clock.now())
        world.tag_groups.append(group)
        _tell_tag(sandbox, "create", group.id, "tag_group")
    tag = Tag(world.make_id("et", f"tag/{world.next_number()}/{name}"), name, sandbox.clock.now())
    group.tags.append(tag)
    _tell_tag(sandbox, "create", tag.id, "tag")
    return tag


async def rename_tag(sandbox: Sandbox, tag_id: str, name: str) -> None:
    """A tag or a group gets another name."""
    found = sandbox.world.find_tag(tag_id)
    group = next((group for group in sandbox.world.tag_groups if group.id == tag_id), None)
    thing = found[1] if found else group
    if thing is None:
        raise NotFound(f"没有这个标签：{tag_id}")
    thing.name = name
    _tell_tag(sandbox, "update", tag_id, "tag" if found else "tag_group")


async def remove_tag(sandbox: Sandbox, tag_id: str) -> None:
    """A tag, or a group with all its tags: one event either way (doc 92130)."""
    found = sandbox.world.find_tag(tag_id)
    group = next((group for group in sandbox.world.tag_groups if group.id == tag_id), None)
    if found is None and group is None:
        raise NotFound(f"没有这个标签：{tag_id}")
    delete_tags(sandbox.world, [found[1]] if found else list(group.tags if group else ()))
    _tell_tag(sandbox, "delete", tag_id, "tag" if found else "tag_group")


async def shuffle_tags(sandbox: Sandbox, group_id: str = "") -> None:
    """The order of a group's tags is turned round, of all groups without an id; the event names no type."""
    for group in sandbox.world.tag_groups:
        if group_id in ("", group.id):
            for order, tag in enumerate(group.tags):
                tag.order = order
    sandbox._push("标签重新排序", "change_external_tag", "shuffle", [("Id", group_id)])


def _tell_tag(sandbox: Sandbox, change_type: str, tag_id: str, tag_type: str) -> None:
    sandbox._push("标签变更", "change_external_tag", change_type, [("Id", tag_id), ("TagType", tag_type)])


async def open_link(sandbox: Sandbox, wechat_user_key: str, link_id: str, channel: str = "") -> str:
    """Somebody opens an acquisition link, asks, and is added; gives the external_userid.

    Raises Conflict when nothing is left of what the corp bought: links stop adding then.
    """
    state, user = sandbox.world.acquisition, sandbox.get_wechat_user(wechat_user_key)
    link = _find_link(sandbox, link_id)
    fields: list[tuple[str, str | int]] = [("LinkId", link_id), *([("State", channel)] if channel else [])]
    link.clicks.append(sandbox.clock.now())
    sandbox._push("打开获客链接", "customer_acquisition", "open_profile", fields)
    if state.balance <= 0:
        raise Conflict("获客链接的额度已用完，暂时不能添加好友。")
    sandbox._push("从获客链接申请添加", "customer_acquisition", "friend_request", fields)
    way = ContactWay(link_id, link.created_at, state=channel, skip_verify=link.skip_verify)
    way.userids, way.party = link.userids, link.party
    userid = sandbox.choose_member(user, way)
    before = sandbox.world.find_pair(userid, user.external_userid)
    if before and before.state in SETTLED:
        return user.external_userid
    pair = sandbox._renew(before, userid, user, way)
    pair.add_way = ADD_WAY
    link.customers.append(LinkedCustomer(user.external_userid, userid, channel, sandbox.clock.now()))
    if pair.state == PairState.HALF:
        await sandbox.confirm(userid, user.external_userid)
    spend(sandbox, 1)
    return user.external_userid


def spend(sandbox: Sandbox, uses: int) -> None:
    """Uses go, and the corp is warned at 20 and at 0 (doc 97299)."""
    state = sandbox.world.acquisition
    before, state.balance = state.balance, max(state.balance - uses, 0)
    if state.balance == 0 < before:
        sandbox._push("获客额度用完", "customer_acquisition", "balance_exhausted", [])
    elif state.balance < LOW_BALANCE <= before:
        sandbox._push("获客额度不足", "customer_acquisition", "balance_low", [])


def buy(sandbox: Sandbox, uses: int) -> None:
    """More uses; the event comes only when there were none."""
    state = sandbox.world.acquisition
    if state.balance == 0 < uses:
        sandbox._push("获客额度恢复", "customer_acquisition", "balance_increased", [])
    state.balance += uses
    state.total += uses


def write_first(sandbox: Sandbox, link_id: str, external_userid: str) -> None:
    """The customer's first message to the member."""
    link = _find_link(sandbox, link_id)
    for one in link.customers:
        if one.external_userid == external_userid:
            one.chat_status = 1
            fields: list[tuple[str, str | int]] = [
                ("UserID", one.userid),
                ("ExternalUserID", external_userid),
                ("LinkId", link_id),
            ]
            sandbox._push("获客客户首次发言", "customer_acquisition", "customer_start_chat", fields)
            return
    raise NotFound("这位顾客不是从这个获客链接来的。")


def drop_link(sandbox: Sandbox, link_id: str) -> None:
    """An administrator deletes a link of the app in the console."""
    del sandbox.world.acquisition.links[_find_link(sandbox, link_id).link_id]
    sandbox._push("后台删除获客链接", "customer_acquisition", "delete_link", [("LinkId", link_id)])


def disable_link(sandbox: Sandbox, link_id: str) -> None:
    """Nobody of the link can be added any more."""
    sandbox._push("获客链接不可用", "customer_acquisition", "link_unavailable", [("LinkId", link_id)])


def _find_link(sandbox: Sandbox, link_id: str) -> Link:
    link = sandbox.world.acquisition.links.get(link_id)
    if link is None:
        raise NotFound("这个获客链接已失效。")
    return link
