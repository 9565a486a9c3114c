"""The words for what WeCom tells about a contact, and the shape of every state's word."""

from typing import NamedTuple

from web.texts import N_, _


class Word(NamedTuple):
    """`tone` is good, warn, bad, info or empty: never the only sign, the text says it too."""

    text: str
    tone: str = ""


# Doc 92114; WeCom adds numbers now and then.
ADD_WAYS = {
    1: N_("扫描二维码"),
    2: N_("搜索手机号"),
    3: N_("名片分享"),
    4: N_("群聊"),
    5: N_("手机通讯录"),
    6: N_("微信联系人"),
    8: N_("第三方应用"),
    9: N_("搜索邮箱"),
    10: N_("视频号"),
    11: N_("日程参与人"),
    12: N_("会议参与人"),
    13: N_("微信好友的企业微信"),
    14: N_("智慧硬件客服"),
    15: N_("上门服务客服"),
    16: N_("获客链接"),
    17: N_("定制开发"),
    18: N_("需求回复"),
    21: N_("第三方售前客服"),
    22: N_("可能的商务伙伴"),
    24: N_("微信好友申请"),
    201: N_("同事共享"),
    202: N_("管理员分配"),
}


def add_way(number: int) -> str:
    """Empty when WeCom did not say; a number we do not know is no error."""
    return _(ADD_WAYS.get(number, N_("其他方式") if number else ""))
