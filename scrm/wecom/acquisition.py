"""Acquisition links, 获客助手 (docs 97297, 97298, 97375)."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

import msgspec

from scrm.wecom.calls import Calls, Json
from scrm.wecom.reading import read

MOST_NAME_CHARACTERS = 30
MOST_MEMBERS = 500
# What is appended to a link; WeCom cuts what is longer.
MOST_CHANNEL_BYTES = 64


class AcquisitionLink(msgspec.Struct):
    """A link with who receives; `create_time` in epoch seconds."""

    link_id: str = ""
    link_name: str = ""
    url: str = ""
    create_time: int = 0
    skip_verify: bool = True
    user_list: list[str] = []
    department_list: list[int] = []


class LinkCustomer(msgspec.Struct):
    """Who came through a link; `chat_status` 0 no message yet, 1 the customer wrote, 2 unknown."""

    external_userid: str
    userid: str = ""
    chat_status: int = 2
    state: str = ""


class QuotaPart(msgspec.Struct):
    """Uses bought together; `expire_date` in epoch seconds."""

    expire_date: int = 0
    balance: int = 0


class Quota(msgspec.Struct):
    """`total` uses ever bought, `balance` left."""

    total: int = 0
    balance: int = 0
    quota_list: list[QuotaPart] = []


class LinkStatistic(msgspec.Struct):
    click_link_customer_cnt: int = 0
    new_customer_cnt: int = 0


class ChatInfo(msgspec.Struct):
    """Behind the ChatKey of message_from_customer."""

    userid: str = ""
    external_userid: str = ""
    link_id: str = ""
    state: str = ""
    recv_msg_cnt: int = 0


class Acquisition:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list_link(self) -> AsyncIterator[str]:
        """The link_ids of this app's valid links (doc 97297)."""
        async for page in self._calls.pages(
            "externalcontact/customer_acquisition/list_link", {"limit": 100}, "link_id_list"
        ):
            for link_id in page.items:
                yield str(link_id)

    async def get_link(self, link_id: str) -> AcquisitionLink:
        """A link with its members (doc 97297)."""
        answer = await self._calls.post("externalcontact/customer_acquisition/get", {"link_id": link_id})
        told = {**(answer.get("link") or {}), **(answer.get("range") or {}), "link_id": link_id}
        return read(told, AcquisitionLink)

    async def create_link(
        self, link_name: str, *, user_list: Sequence[str], department_list: Sequence[int] = (), skip_verify: bool = True
    ) -> AcquisitionLink:
        """link_name <= 30 characters, <= 500 members with those of departments; 41095 too many links (doc 97297)."""
        body = _body(link_name, user_list, department_list, skip_verify)
        answer = await self._calls.post("externalcontact/customer_acquisition/create_link", body)
        told = {**answer["link"], **body["range"], "skip_verify": skip_verify}
        return read(told, AcquisitionLink)

    async def update_link(
        self,
        link_id: str,
        link_name: str,
        *,
        user_list: Sequence[str],
        department_list: Sequence[int] = (),
        skip_verify: bool = True,
    ) -> None:
        """Own links only; who receives is overwritten as a whole (doc 97297)."""
        body = {"link_id": link_id, **_body(link_name, user_list, department_list, skip_verify)}
        await self._calls.post("externalcontact/customer_acquisition/update_link", body)

    async def delete_link(self, link_id: str) -> None:
        """No event follows (doc 97297)."""
        await self._calls.post("externalcontact/customer_acquisition/delete_link", {"link_id": link_id})

    async def customer(self, link_id: str) -> AsyncIterator[LinkCustomer]:
        """Who came through a link (doc 97298)."""
        body: Json = {"link_id": link_id, "limit": 1000}
        async for page in self._calls.pages("externalcontact/customer_acquisition/customer", body, "customer_list"):
            for told in page.items:
                yield read(told, LinkCustomer)

    async def customer_acquisition_quota(self) -> Quota:
        """What the corp has left (doc 97375)."""
        return read(await self._calls.get("externalcontact/customer_acquisition_quota"), Quota)

    async def statistic(self, link_id: str, *, start_time: int, end_time: int) -> LinkStatistic:
        """Whole days, both ends included: <= 30 of them, within the last 180 (doc 97375)."""
        body: Json = {"link_id": link_id, "start_time": start_time, "end_time": end_time}
        answer = await self._calls.post("externalcontact/customer_acquisition/statistic", body)
        return read(answer, LinkStatistic)

    async def get_chat_info(self, chat_key: str) -> ChatInfo:
        """Whose message it was; a key lives 30 minutes, then 41201 (doc 100130)."""
        answer = await self._calls.post("externalcontact/customer_acquisition/get_chat_info", {"chat_key": chat_key})
        return read({**answer, **(answer.get("chat_info") or {})}, ChatInfo)


def with_channel(url: str, state: str) -> str:
    """The link as it is handed out for one channel; raises ValueError beyond 64 bytes, which WeCom would cut."""
    if len(state.encode()) > MOST_CHANNEL_BYTES:
        raise ValueError(f"customer_channel is longer than {MOST_CHANNEL_BYTES} bytes: {state!r}")
    return f"{url}{'&' if '?' in url else '?'}customer_channel={quote(state, safe='')}"


def scheme_of(url: str) -> str:
    """The form that opens WeChat from outside (doc 97297)."""
    return f"weixin://biz/ww/profile/{quote(url, safe='')}"


def _body(name: str, users: Sequence[str], departments: Sequence[int], skip_verify: bool) -> Json:
    return {
        "link_name": name,
        "range": {"user_list": list(users), "department_list": list(departments)},
        "skip_verify": skip_verify,
    }
