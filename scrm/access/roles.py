"""Roles: what somebody may do in each module, whose customers they reach, which private fields they may ask for. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scrm.access.modules import APPROVE, BY_KEY, EDIT, ERASE, EVERY_RIGHT, EXPORT, INNERMOST, REVEAL, VIEW, right

OWN, DEPARTMENT, ALL = "own", "department", "all"
REACHES: Mapping[str, str] = {OWN: "自己跟进的客户", DEPARTMENT: "本部门及下级部门的客户", ALL: "全部客户"}

# Private fields that are shown masked, and which a role may ask to see in clear.
FIELDS: Mapping[str, str] = {"phone": "手机号", "receiver": "收货人", "address": "收货地址"}

STAFF, MANAGER, OPERATOR, ADMINISTRATOR = "member", "manager", "operator", "administrator"


@dataclass(frozen=True, slots=True)
class Role:
    """What a role may do; `rights` are texts such as customers:view."""

    key: str
    title: str
    rights: frozenset[str]
    reach: str = ALL
    fields: frozenset[str] = frozenset()
    note: str = ""

    def may(self, module: str, what: str = VIEW) -> bool:
        """Whether this right is given and of any use: pages of the whole shop need the whole reach."""
        found = BY_KEY.get(module)
        if found is None or right(module, what) not in self.rights:
            return False
        return self.reach == ALL or not found.is_whole

    @property
    def modules(self) -> list[str]:
        """The titles of what is open in the menu."""
        return [module.title for module in BY_KEY.values() if module.url and self.may(module.key)]

    @property
    def may_enter(self) -> bool:
        """Whether any page of the console is open."""
        return bool(self.modules)


def _all_but(*without: str, of: Iterable[str] = EVERY_RIGHT) -> frozenset[str]:
    return frozenset(each for each in of if each.partition(":")[0] not in INNERMOST and each not in without)


_NO_ACTS = {right(key, what) for key in BY_KEY for what in (APPROVE, EXPORT, REVEAL, ERASE)}
# What an operator only looks at: money, people's points, who follows whom.
_LOOKED_AT = {
    right(key, EDIT) for key in ("customers", "merge", "transfers", "pool", "membership", "own_fields", "orders")
}

# What a manager approves, since nobody approves their own there.
_MANAGERS = {"referrals"}

BUILT_IN: Mapping[str, Role] = {
    role.key: role
    for role in (
        Role(STAFF, "员工", frozenset(), OWN, note="在聊天侧边栏和今日待办里工作，不进管理后台"),
        Role(
            MANAGER,
            "主管",
            _all_but(right("customers", ERASE), *(right(key, APPROVE) for key in BY_KEY if key not in _MANAGERS)),
            ALL,
            frozenset(FIELDS),
            "管理客户、内容、剧本和员工的工作；不管权限、密钥和日志",
        ),
        Role(
            OPERATOR,
            "运营",
            _all_but(*_NO_ACTS - {right("playbooks", EXPORT), right("library", EXPORT)}, *_LOOKED_AT),
            ALL,
            note="维护渠道、内容、剧本、群发和系统运行；客户资料只看不改，看不到隐私明文",
        ),
        Role(ADMINISTRATOR, "管理员", EVERY_RIGHT, ALL, frozenset(FIELDS), "可以做一切，包括权限、密钥和日志"),
    )
}


def made_of(key: str, title: str, rights: Iterable[str], reach: str, fields: Iterable[str], note: str = "") -> Role:
    """A role as it was kept; rights of modules that are gone are left out, and a right to act brings the look."""
    known = frozenset(rights) & EVERY_RIGHT
    looks = {right(each.partition(":")[0], VIEW) for each in known}
    clear = frozenset(fields) & frozenset(FIELDS) if right("customers", REVEAL) in known else frozenset()
    return Role(key, title, known | looks, reach if reach in REACHES else OWN, clear, note)


def nobody(key: str) -> Role:
    """A role that was deleted or never was: it may nothing."""
    return Role(key, key or "没有角色", frozenset(), OWN)
