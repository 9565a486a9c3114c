"""A member presses a button of a reminder: from WeCom's event to the task and back to the card."""

import pytest

from scrm.sop.models import task
from tests.fakes import wecom as fake
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """No SQL of its own: one database is enough."""
    return sqlite_url


async def test_a_button_pressed_in_wecom_ends_the_task_and_greys_the_card(world: World) -> None:
    await world.add()
    await world.pass_time(days=3, hours=1, minutes=30)
    await world.pass_time(minutes=6)
    reminded = [body for body in world.wecom.called("message/send") if "task_id" in body["template_card"]]
    card_id = reminded[-1]["template_card"]["task_id"]
    pressed = fake.event_xml(
        "",
        event="template_card_event",
        created_at=int(world.clock.now().timestamp()),
        EventKey="done",
        TaskId=card_id,
        CardType="button_interaction",
        ResponseCode="code-1",
    ).replace("<![CDATA[sys]]>", "<![CDATA[lina]]>")
    for _ in range(2):  # WeCom may tell it twice
        assert (await world.tell(pressed)).status == 200
        await world.settle()
    task_id = int(card_id.partition("@")[0].removeprefix("task-"))
    (row,) = await world.rows(task, task.c.id == task_id)
    assert row.state == "sent"
    (update,) = world.wecom.called("message/update_template_card")
    assert (update["response_code"], update["button"]) == ("code-1", {"replace_name": "已完成"})
