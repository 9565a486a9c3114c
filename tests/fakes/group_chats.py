"""Customer groups of the fake WeCom: who is in them, and versions that change with every coming and going."""

from collections import deque
from typing import Any

from tests.fakes import wecom as fake
from tests.fakes.wecom import FakeWeCom, Json

GET, LIST = "externalcontact/groupchat/get", "externalcontact/groupchat/list"


class FakeGroups:
    """Puts its answers into the fake WeCom before each step; `events` are the callbacks that people's acts fired."""

    def __init__(self, wecom: FakeWeCom) -> None:
        self.wecom = wecom
        self.groups: dict[str, Json] = {}
        self.gone: set[str] = set()
        self.events: list[str] = []
        self.stale: deque[Json] = deque()  # what groupchat/get still says before it tells the truth
        self._version = 0
        for path, answer in ((GET, self._get), (LIST, self._list)):
            wecom.always(path, answer)

    def create(self, chat_id: str, owner: str, at: int, name: str = "") -> Json:
        self.groups[chat_id] = {"chat_id": chat_id, "owner": owner, "create_time": at, "member_list": []}
        if name:
            self.groups[chat_id]["name"] = name
        self._next_version(chat_id)
        self._seat(chat_id, owner, at, type=1)
        self.events.append(self._event(chat_id, "create", at))
        return self.groups[chat_id]

    def join(self, chat_id: str, at: int, *userids: str, **more: Any) -> None:
        for userid in userids:
            self._seat(chat_id, userid, at, **{"type": 2 if userid.startswith("wm") else 1, "join_scene": 3, **more})
        self._changed(chat_id, at, "add_member", userids, JoinScene="3")

    def leave(self, chat_id: str, at: int, *userids: str, scene: int = 0) -> None:
        group = self.groups[chat_id]
        group["member_list"] = [row for row in group["member_list"] if row["userid"] not in userids]
        self._changed(chat_id, at, "del_member", userids, QuitScene=str(scene))

    def rename(self, chat_id: str, at: int, name: str) -> None:
        self.groups[chat_id]["name"] = name
        self.events.append(self._event(chat_id, "update", at, UpdateDetail="change_name"))

    def dismiss(self, chat_id: str, at: int) -> None:
        del self.groups[chat_id]
        self.gone.add(chat_id)
        self.events.append(self._event(chat_id, "dismiss", at))

    def take(self) -> list[str]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events

    def _seat(self, chat_id: str, userid: str, at: int, **more: Any) -> None:
        row = {"userid": userid, "join_time": at, "join_scene": 1, "name": more.pop("name", userid[:8]), **more}
        self.groups[chat_id]["member_list"].append(row)

    def _changed(self, chat_id: str, at: int, detail: str, userids: tuple[str, ...], **fields: str) -> None:
        last = self.groups[chat_id]["member_version"]
        current = self._next_version(chat_id)
        items = "".join(f"<Item><![CDATA[{userid}]]></Item>" for userid in userids)
        xml = self._event(
            chat_id, "update", at, UpdateDetail=detail, **fields, MemChangeCnt=str(len(userids)),
            LastMemVer=last, CurMemVer=current,
        )  # fmt: skip
        self.events.append(xml.replace("</xml>", f"<MemChangeList>{items}</MemChangeList></xml>"))

    def _next_version(self, chat_id: str) -> str:
        self._version += 1
        version = f"{self._version:032x}"
        self.groups[chat_id]["member_version"] = version
        return version

    def _event(self, chat_id: str, change_type: str, at: int, **fields: str) -> str:
        return fake.event_xml(change_type, created_at=at, event="change_external_chat", ChatId=chat_id, **fields)

    def _get(self, body: Json) -> Json:
        if self.stale:
            return {"errcode": 0, "group_chat": self.stale.popleft()}
        chat_id = body["chat_id"]
        if chat_id in self.groups:
            return {"errcode": 0, "group_chat": self.groups[chat_id]}
        return {"errcode": 49008 if chat_id in self.gone else 40050, "errmsg": "no such group"}

    def _list(self, body: Json) -> Json:
        first = int(body.get("cursor") or 0)
        owners = (body.get("owner_filter") or {}).get("userid_list")
        found = [group for group in self.groups.values() if owners is None or group["owner"] in owners]
        page = found[first : first + 2]  # short pages: only an empty cursor ends a list
        following = str(first + 2) if first + 2 < len(found) else ""
        listed = [{"chat_id": group["chat_id"], "status": 0} for group in page]
        return {"errcode": 0, "group_chat_list": listed, "next_cursor": following}
