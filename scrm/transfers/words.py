"""The words of a transfer: its states, and why WeCom would not."""

from scrm.profiles.words import Word
from web.texts import N_

STATES = {
    "pending": Word("等待提交", "info"),
    "asking": Word("提交中", "info"),
    "waiting": Word("等待接替", "warn"),
    "done": Word("已接替", "good"),
    "refused": Word("客户拒绝", "bad"),
    "limit": Word("接替人已满", "bad"),
    "failed": Word("失败", "bad"),
}
REFUSED = "客户在 24 小时内拒绝了更换服务人员，仍由原员工服务。可以稍后与客户沟通后再试"
TAKER_FULL = "接替员工的客户数已达上限。请换一位接替员工，或到企业微信后台提升上限"
TOO_OFTEN = "这位客户 90 天内已经转接过 2 次，企业微信不允许再转"
NO_RECORD = "企业微信没有这次转接的记录，可能已在企业微信后台取消。请重新发起"
UNSETTLED = "7 天仍没有结果。请到企业微信后台查看，再决定是否重新发起"
SAME_MEMBER = N_("接替员工和原员工是同一个人，请换一位")

FAIL_REASONS = {"customer_refused": ("refused", REFUSED), "customer_limit_exceed": ("limit", TAKER_FULL)}

# Per customer and per group (doc 90313).
_REASONS = {
    40096: "客户不属于本企业，或原员工不在应用可见范围内",
    40097: "原员工还没有离职，请改用“在职继承”",
    40098: "接替员工还没有实名认证。请他在企业微信里完成实名",
    40099: TAKER_FULL,
    40100: "这位客户正在转接中，等这一次有结果后再试",
    40128: TOO_OFTEN,
    40129: "这位客户正在转接中，等这一次有结果后再试",
    40130: SAME_MEMBER,
    40131: "原员工已经不是这位客户的跟进人，不需要转接",
    40132: "企业是体验版团队，不支持客户继承",
    40143: "员工被限制使用，不能转接客户",
    40205: "员工的微信一年内没有登录过，企业微信不允许转接",
    45035: "同一位员工的客户正在被修改",
    60111: "员工账号不存在，请确认他仍在通讯录中",
    60011: "员工不在应用可见范围内。请到 应用管理 → 可见范围 添加",
    84061: "客户已不是原员工的好友",
    90500: "群主还没有离职，请改用“在职继承”",
    90501: "这不是客户群",
    90502: "群主已离职，请改用“离职继承”",
    90503: "群人数已满，需要新群主在客户端确认",
    90504: "新群主就是现在的群主",
    90507: "这个群正在继承中",
    90508: "这个群已经继承完成",
    90509: "这不是客户群",
    90510: "企业一年内没有活跃用户，暂时不能继承",
}


def reason(errcode: int) -> str:
    return _REASONS.get(errcode, f"企业微信返回错误 {errcode}")
