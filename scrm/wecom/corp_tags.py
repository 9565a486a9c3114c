"""The corp's tag library, and marking customers (docs 92117, 92118)."""

from scrm.wecom.calls import Calls, Json


class CorpTags:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_corp_tag_list(self) -> list[Json]:
        """Tag groups with their tags, the whole library in one answer (doc 92117)."""
        return list((await self._calls.post("externalcontact/get_corp_tag_list", {})).get("tag_group", []))

    async def add_corp_tag(self, group_name: str, names: list[str]) -> Json:
        """The group with its new tags; joins the group of that name when there is one (doc 92117)."""
        body = {"group_name": group_name, "tag": [{"name": name} for name in names]}
        group: Json = (await self._calls.post("externalcontact/add_corp_tag", body))["tag_group"]
        return group

    async def mark_tag(
        self,
        userid: str,
        external_userid: str,
        *,
        add_tag: list[str] | None = None,
        remove_tag: list[str] | None = None,
    ) -> None:
        """Tags by id on one pair; never two calls on one pair at a time, that is 45035 (doc 92118)."""
        body: Json = {"userid": userid, "external_userid": external_userid}
        if add_tag:
            body["add_tag"] = add_tag
        if remove_tag:
            body["remove_tag"] = remove_tag
        await self._calls.post("externalcontact/mark_tag", body)
