"""The corp's tag library, and marking customers (docs 92117, 92118, 94882)."""

from collections.abc import Iterable, Sequence

import msgspec

from scrm.wecom.calls import Calls, Json
from scrm.wecom.reading import read

# WeCom's limits: they are checked before a call, because 40072 and 40126 would fail the whole of it.
MOST_NAME_CHARACTERS = 30
MOST_TAGS = 10_000
MOST_TAGS_ON_A_PAIR = 3_000
# The page names no limit per call; one that is never near any is kept to.
MOST_TAGS_IN_A_CALL = 100


class CorpTag(msgspec.Struct):
    """A tag; a larger `order` is shown first; `deleted` is told only when the tag was asked for by id."""

    id: str
    name: str = ""
    create_time: int = 0
    order: int = 0
    deleted: bool = False


class CorpTagGroup(msgspec.Struct):
    """A group of tags; `strategy_id` is 0 but for the tags of a management group (规则组)."""

    group_id: str = ""
    group_name: str = ""
    create_time: int = 0
    order: int = 0
    deleted: bool = False
    strategy_id: int = 0
    tag: list[CorpTag] = []


class CorpTags:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_corp_tag_list(
        self, *, tag_id: Sequence[str] = (), group_id: Sequence[str] = ()
    ) -> list[CorpTagGroup]:
        """Groups with their tags; all of the library in one answer when no ids are given (doc 92117).

        With both lists only `group_id` counts; what was deleted is shown (`deleted`) only when asked for by id.
        """
        answer = await self._calls.post("externalcontact/get_corp_tag_list", _filled(tag_id=tag_id, group_id=group_id))
        return read(answer.get("tag_group") or [], list[CorpTagGroup])

    async def get_strategy_tag_list(self, strategy_id: int = 0) -> list[CorpTagGroup]:
        """Tags of management groups, all of them for 0 (doc 94882)."""
        answer = await self._calls.post(
            "externalcontact/get_strategy_tag_list", {"strategy_id": strategy_id} if strategy_id else {}
        )
        return read(answer.get("tag_group") or [], list[CorpTagGroup])

    async def add_corp_tag(
        self, names: Iterable[str], *, group_name: str = "", group_id: str = "", orders: Sequence[int] = ()
    ) -> CorpTagGroup:
        """The group with its new tags only; joins the group of that name or id when there is one (doc 92117).

        Names <= 30 characters; 40071 one of the names is there already, 40072 too long, 40126 too many tags.
        """
        tags: list[Json] = [{"name": name} for name in dict.fromkeys(names)]
        for tag, order in zip(tags, orders, strict=False):
            tag["order"] = order
        body: Json = {"tag": tags, **({"group_id": group_id} if group_id else {"group_name": group_name})}
        answer = await self._calls.post("externalcontact/add_corp_tag", body)
        return read(answer["tag_group"], CorpTagGroup)

    async def edit_corp_tag(self, id: str, *, name: str = "", order: int | None = None) -> None:  # noqa: A002
        """Rename or re-sort a tag or a group, one that this app made; 40071 name taken, 81011 not ours (doc 92117)."""
        body: Json = {"id": id}
        if name:
            body["name"] = name
        if order is not None:
            body["order"] = order
        await self._calls.post("externalcontact/edit_corp_tag", body)

    async def del_corp_tag(self, *, tag_id: Sequence[str] = (), group_id: Sequence[str] = ()) -> None:
        """Tags go from every customer; a group goes with its last tag; 81011 not made by this app (doc 92117)."""
        await self._calls.post("externalcontact/del_corp_tag", _filled(tag_id=tag_id, group_id=group_id))

    async def mark_tag(
        self,
        userid: str,
        external_userid: str,
        *,
        add_tag: Sequence[str] = (),
        remove_tag: Sequence[str] = (),
    ) -> None:
        """Tags by id on one pair; never two calls on one pair at a time, that is 45035 (doc 92118).

        84061 no relation, 40068 unknown tag id, 40144 the pair has 3000 tags. No event follows.
        """
        body: Json = {"userid": userid, "external_userid": external_userid}
        await self._calls.post("externalcontact/mark_tag", {**body, **_filled(add_tag=add_tag, remove_tag=remove_tag)})


def _filled(**lists: Sequence[str]) -> Json:
    """WeCom refuses empty lists of ids that are given all the same."""
    return {name: list(values) for name, values in lists.items() if values}
