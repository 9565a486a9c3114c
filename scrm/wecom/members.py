"""Members as the app may read them, and who logged in."""

from scrm.wecom.calls import Calls, Json


class Members:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_user(self, userid: str) -> Json:
        """A member inside the app's visible range: userid, name, alias, status, avatar (doc 90196); 60111 unknown."""
        return await self._calls.get("user/get", userid=userid)

    async def get_user_info(self, code: str) -> Json:
        """Who logged in: `userid`, or `openid` and `external_userid`; 40029 for a used or old code (doc 91023)."""
        return await self._calls.get("auth/getuserinfo", code=code)
