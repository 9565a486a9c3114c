"""A link in what is said belongs to who says it and to whom."""

from sqlalchemy import Connection, update

from scrm.contact_ways.models import contact_way
from scrm.contact_ways.store import save_contact_way
from scrm.tracking import radar
from scrm.tracking.models import radar_link
from tests.world import XIAOMAN, World


async def test_a_radar_link_in_a_welcome_is_the_new_customers_own(world: World) -> None:
    def plan(conn: Connection) -> None:
        now = world.clock.now()
        about = {"url": "https://mall.example.com/t", "domains": ("mall.example.com",), "by": "", "now": now}
        radar.save_content(conn, title="护肤指南", key="guide", **about)  # type: ignore[arg-type]
        save_contact_way(conn, "live-1111", title="直播间", kind="直播", userids=["lina"], now=now)
        words = {"welcome": "先看看 {{ radar.guide }}"}
        conn.execute(update(contact_way).where(contact_way.c.state == "live-1111").values(plan=words))

    await world.services.db.write(plan)
    await world.add(State="live-1111")
    (link,) = await world.rows(radar_link)
    (call,) = world.wecom.called("externalcontact/send_welcome_msg")
    assert call["text"]["content"] == f"先看看 https://crm.example.test/r/{link.token}"
    assert (link.userid, link.external_userid, link.person_id > 0) == ("lina", XIAOMAN, True)
