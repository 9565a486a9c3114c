"""How a manager leaves the console."""

from datetime import timedelta

from scrm import sessions
from scrm.http import COOKIE
from scrm.profiles import store as profiles
from tests.world import World


async def test_leaving_ends_the_session_and_stays_on_our_own_pages(world: World) -> None:
    """The policy `form-action 'self'` makes browsers block a form whose redirects end at WeCom's login."""
    now, write = world.clock.now(), world.services.db.write
    await write(profiles.save_member, "lina", name="李娜", alias="", avatar="", now=now)
    await write(profiles.set_role, "lina", "manager")
    token = await write(sessions.open_session, "lina", now=now, lives=timedelta(hours=1))
    member = await world.services.db.read(sessions.find_session, token, now=now)
    assert member is not None
    cookie = {"Cookie": f"{COOKIE}={token}"}

    left = await world.client.post("/console/logout", headers=cookie, data={"csrf": member.csrf}, allow_redirects=False)
    assert (left.status, left.headers["Location"]) == (303, "/console/left")
    assert await world.services.db.read(sessions.find_session, token, now=now) is None

    page = await world.client.get("/console/left", allow_redirects=False)
    assert page.status == 200
    assert 'href="/login?next=/console/"' in await page.text()
