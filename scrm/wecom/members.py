"""Members as the app may read them, and who logged in."""

import msgspec

from scrm.wecom.calls import Calls, Json
from scrm.wecom.reading import read


class DepartmentId(msgspec.Struct, frozen=True):
    """A department of the app's visible range; the root has id 1 and parent 0, a larger `order` comes first."""

    id: int
    parentid: int = 0
    order: int = 0


class BriefUser(msgspec.Struct, frozen=True):
    """A member of a department, without what needs more rights."""

    userid: str
    name: str = ""
    department: tuple[int, ...] = ()


class Members:
    """The address book inside the app's visible range, and who logged in (docs 90196, 90200, 95350, 95351)."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_user(self, userid: str) -> Json:
        """A member inside the app's visible range: userid, name, alias, status, avatar (doc 90196); 60111 unknown."""
        return await self._calls.get("user/get", userid=userid)

    async def department_simplelist(self) -> list[DepartmentId]:
        """All departments of the visible range, without names (doc 95350); the array is called `department_id`."""
        answer = await self._calls.get("department/simplelist")
        return read(answer.get("department_id") or [], list[DepartmentId])

    async def department_name(self, department_id: int) -> str:
        """A department's name by department/get (doc 95351); 60003 and 60123 unknown, 60011 not visible."""
        answer = await self._calls.get("department/get", id=str(department_id))
        return str((answer.get("department") or {}).get("name") or "")

    async def user_simplelist(self, department_id: int) -> list[BriefUser]:
        """The members of one department, not of those below it (doc 90200)."""
        answer = await self._calls.get("user/simplelist", department_id=str(department_id))
        return read(answer.get("userlist") or [], list[BriefUser])

    async def user_list_id(self) -> list[tuple[str, int]]:
        """(userid, department) of everybody, in pages of 10,000; for the contact-sync secret only, else 48002 or 48009.

        One row per membership (doc 96067).
        """
        pages = self._calls.pages("user/list_id", {"limit": 10_000}, "dept_user")
        return [(str(row["userid"]), int(row["department"])) async for page in pages for row in page.items]

    async def get_user_info(self, code: str) -> Json:
        """Who logged in: `userid`, or `openid` and `external_userid`; 40029 for a used or old code (doc 91023)."""
        return await self._calls.get("auth/getuserinfo", code=code)
