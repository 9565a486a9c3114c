"""The province of an address, by its short name: kept in clear beside the sealed address, for reports."""

from scrm.commerce.canonical import Receiver

# The 34 of the People's Republic, as the platforms begin their addresses.
PROVINCES = (
    "北京", "天津", "上海", "重庆", "河北", "山西", "辽宁", "吉林", "黑龙江", "江苏", "浙江", "安徽",
    "福建", "江西", "山东", "河南", "湖北", "湖南", "广东", "海南", "四川", "贵州", "云南", "陕西",
    "甘肃", "青海", "台湾", "内蒙古", "广西", "西藏", "宁夏", "新疆", "香港", "澳门",
)  # fmt: skip
_BY_START = {name[:2]: name for name in PROVINCES}


def province_of(receiver: Receiver) -> str:
    """What the platform names, else what the address begins with; '' for what is neither."""
    return _starting(receiver.province) or (_starting(receiver.address) if not receiver.city else "")


def _starting(text: str) -> str:
    text = text.lstrip().removeprefix("中国").lstrip()
    name = _BY_START.get(text[:2], "")
    return name if text.startswith(name) else ""
