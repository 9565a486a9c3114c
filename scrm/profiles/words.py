"""The words for what WeCom tells about a contact, and the shape of every state's word."""

from typing import NamedTuple


class Word(NamedTuple):
    """`tone` is good, warn, bad, info or empty: never the only sign, the text says it too."""

    text: str
    tone: str = ""


# Doc 92114; WeCom adds numbers now and then.
ADD_WAYS = {
    1: "扫描二维码",
    2: "搜索手机号",
    3: "名片分享",
    4: "群聊",
    5: "手机通讯录",
    6: "微信联系人",
    8: "第三方应用",
    9: "搜索邮箱",
    10: "视频号",
    11: "日程参与人",
    12: "会议参与人",
    13: "微信好友的企业微信",
    14: "智慧硬件客服",
    15: "上门服务客服",
    16: "获客链接",
    17: "定制开发",
    18: "需求回复",
    21: "第三方售前客服",
    22: "可能的商务伙伴",
    24: "微信好友申请",
    201: "同事共享",
    202: "管理员分配",
}


def add_way(number: int) -> str:
    """Empty when WeCom did not say; a number we do not know is no error."""
    return ADD_WAYS.get(number, "其他方式" if number else "")
