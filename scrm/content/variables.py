"""What authors may put between {{ and }}: keys, the Chinese names for them, and what stands in when one is empty."""

from difflib import get_close_matches

# key -> the names authors may use beside it; the first one is shown (docs/playbooks.md).
VARIABLES: dict[str, tuple[str, ...]] = {
    "nickname": ("客户昵称", "昵称"),
    "salutation": ("客户称呼", "称呼"),
    "remark": ("客户备注",),
    "staff": ("员工姓名", "员工名", "员工"),
    "shop": ("店铺名", "品牌", "店铺"),
    "store": ("门店",),
    "birthday": ("生日",),
    "last_product": ("最近商品",),
    "last_order_tail": ("最近订单尾号",),
    "carrier": ("快递公司",),
    "parcel_tail": ("快递单号尾号",),
    "eta": ("预计送达",),
    "points": ("积分余额", "积分"),
    "points_expiring": ("将到期积分", "积分到期"),
    "level": ("会员等级",),
    "level_gap": ("等级差额", "升级差额"),
    "level_next": ("下一等级", "下一级"),
    "coupon.name": ("券名", "券名称"),
    "coupon.amount": ("券面额",),
    "coupon.threshold": ("券门槛",),
    "coupon.expires": ("券到期", "券到期时间"),
    "coupon.url": ("券链接",),
    "campaign.name": ("活动名",),
    "campaign.starts": ("活动开始",),
    "campaign.ends": ("活动结束",),
    "live.url": ("直播链接",),
    "invite.url": ("专属链接",),
    "inviter.name": ("介绍人",),
}

# A name comes late or not at all, and 「尊敬的 ，」 is worse than a general word.
FALLBACKS: dict[str, str] = {"nickname": "朋友", "salutation": "您"}

FIELD = "field"  # {{ field.skin }} or {{ 字段.skin }}: a field of the shop's own
FIELD_NAMES = (FIELD, "字段")

TRIGGER = "trigger"  # {{ trigger.title }} or {{ 事件.title }}: what the event that began a run says
TRIGGER_NAMES = (TRIGGER, "事件")

RADAR = (
    "radar"  # {{ radar.spring }} or {{ 雷达.spring }}: this customer's own link to content whose readers are counted
)
RADAR_NAMES = (RADAR, "雷达")

# The groups that VARIABLES has: {{ coupon.name }}, {{ live.url }}.
GROUPS = frozenset(key.partition(".")[0] for key in VARIABLES if "." in key)

_KEYS = {name: key for key, names in VARIABLES.items() for name in (key, *names)}


def find_key(name: str) -> str | None:
    """The key a written name stands for (`客户昵称` -> `nickname`, `字段.skin` -> `field.skin`)."""
    group, dot, rest = name.partition(".")
    if dot and rest and group in FIELD_NAMES:
        return f"{FIELD}.{rest}"
    if dot and rest and group in TRIGGER_NAMES:
        return f"{TRIGGER}.{rest}"
    if dot and rest and group in RADAR_NAMES:
        return f"{RADAR}.{rest}"
    return _KEYS.get(name)


def suggest_name(name: str) -> str | None:
    """The known name that looks most like an unknown one."""
    close = get_close_matches(name, _KEYS, n=1, cutoff=0.5)
    return close[0] if close else None
