"""Tickets that JS-SDK signatures are made with (doc 90506)."""

from scrm.wecom.calls import Calls, living


class Tickets:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._config = calls.keeper("jsapi_ticket", lambda: self._fetch("get_jsapi_ticket"))
        self._agent_config = calls.keeper("agent_ticket", lambda: self._fetch("ticket/get", type="agent_config"))

    async def jsapi_ticket(self) -> str:
        """The corp's ticket, for config signatures; lives 7200 s, 100 fetches an hour."""
        return await self._config.get()

    async def agent_ticket(self) -> str:
        """The app's ticket, for agentConfig signatures; lives 7200 s, 100 fetches an hour."""
        return await self._agent_config.get()

    async def _fetch(self, path: str, **params: str) -> tuple[str, int]:
        return living(await self._calls.get(path, **params), "ticket", path)
