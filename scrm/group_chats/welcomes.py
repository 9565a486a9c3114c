"""入群欢迎语素材: texts that a group's owner applies in the client; WeCom greets whoever joins (doc 92366)."""

from dataclasses import dataclass
from typing import Any

from scrm.errors import Invalid, NotFound
from scrm.group_chats import welcome_store
from scrm.services import Services
from scrm.wecom.errors import WeComError

MOST_BYTES, MOST_TITLE_BYTES, MOST_DESC_BYTES = 3000, 128, 512
_UNKNOWN = (40058, 41058)


@dataclass(frozen=True, slots=True)
class Material:
    """`title` is for us; a link goes with the text when `url` is given. %NICKNAME% becomes the newcomer's name."""

    title: str
    content: str
    link_title: str = ""
    url: str = ""
    desc: str = ""
    picurl: str = ""

    def check(self) -> "Material":
        """Itself; raises Invalid with one line."""
        if not 1 <= len(self.title) <= 30:
            raise Invalid(f"名称：收到 {len(self.title)} 个字，需要 1 到 30 个字")
        size = len(self.content.encode())
        if size > MOST_BYTES:
            raise Invalid(f"欢迎语太长：{size} 字节，最多 {MOST_BYTES} 字节（约 1000 个汉字）")
        if not self.content and not self.url:
            raise Invalid("欢迎语和链接至少填一项")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise Invalid("链接地址要以 https:// 开头")
        if self.url and not 1 <= len(self.link_title.encode()) <= MOST_TITLE_BYTES:
            raise Invalid(f"链接标题：收到 {len(self.link_title.encode())} 字节，需要 1 到 {MOST_TITLE_BYTES} 字节")
        if len(self.desc.encode()) > MOST_DESC_BYTES:
            raise Invalid(f"链接描述太长：{len(self.desc.encode())} 字节，最多 {MOST_DESC_BYTES} 字节")
        return self

    def attachment(self) -> dict[str, Any] | None:
        if not self.url:
            return None
        fields = {"title": self.link_title, "url": self.url, "desc": self.desc, "picurl": self.picurl}
        return {"link": {key: value for key, value in fields.items() if value}}


async def add_material(services: Services, material: Material, *, by: str, notify: bool = False) -> str:
    """The template_id; with `notify` WeCom tells the owners of groups."""
    material.check()
    wecom = services.wecom.group_chats
    template_id = await wecom.add_welcome_template(material.content, material.attachment(), notify=notify)
    await _keep(services, template_id, material, by)
    return template_id


async def edit_material(services: Services, template_id: str, material: Material, *, by: str) -> None:
    """Groups that apply it use the new text from now on."""
    material.check()
    if await services.db.read(welcome_store.find_welcome, template_id) is None:
        raise NotFound("没有这个欢迎语素材，可能已被删除。请刷新")
    await services.wecom.group_chats.edit_welcome_template(template_id, material.content, material.attachment())
    await _keep(services, template_id, material, by)


async def drop_material(services: Services, template_id: str) -> None:
    """Also one that WeCom no longer knows."""
    try:
        await services.wecom.group_chats.del_welcome_template(template_id)
    except WeComError as error:
        if error.errcode not in _UNKNOWN:
            raise
    await services.db.write(welcome_store.drop_welcome, template_id)


async def _keep(services: Services, template_id: str, material: Material, by: str) -> None:
    values = {
        "title": material.title,
        "content": material.content,
        "attachment": material.attachment(),
        "changed_by": by,
    }
    await services.db.write(welcome_store.save_welcome, template_id, values, now=services.clock.now())
