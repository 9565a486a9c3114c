"""从这里开始: what a shop does on its first day, told on 今日 until the first code and the first customer are there."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from scrm.access.modules import EDIT, VIEW
from scrm.console import store
from scrm.contact_ways.models import contact_way
from scrm.profiles.models import external_contact
from scrm.sync.models import sync_run


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `module` is whose right it needs, `posts` that its button asks for work instead of a page."""

    title: str
    text: str
    act: str
    url: str
    module: str
    right: str = VIEW
    posts: bool = False
    is_done: bool = False


def list_steps(conn: Connection, may: Callable[[str, str], bool]) -> list[Step]:
    """What the reader can do of it, in order; empty once the shop has begun."""
    has_code = conn.execute(select(contact_way.c.state).limit(1)).first() is not None
    if has_code and conn.execute(select(external_contact.c.external_userid).limit(1)).first() is not None:
        return []
    welcome = "/new-customer" if store.find_playbook(conn, "new-customer") is not None else ""
    steps = [
        Step(
            "读取企业微信",
            "员工、标签和已有的好友都会读进来，以后每天凌晨自动核对。读不到时，“体检”里写着怎么改。",
            "立即同步",
            "/console/sync",
            "sync",
            EDIT,
            posts=True,
            is_done=conn.execute(select(sync_run.c.id).limit(1)).first() is not None,
        ),
        Step(
            "看看新客户会收到什么",
            "加好友后发什么欢迎语、送什么券、之后怎么跟进，都写在剧本里，可以改成自己的。",
            "打开剧本",
            f"/console/playbooks{welcome}",
            "playbooks",
        ),
        Step(
            "建第一个渠道活码",
            "起个名字，选好接待员工，就得到一张二维码。用自己的微信扫一扫，几秒内会收到欢迎语。",
            "新建活码",
            "/console/contact-ways/new",
            "contact_ways",
            EDIT,
            is_done=has_code,
        ),
    ]
    return [step for step in steps if may(step.module, step.right)]
