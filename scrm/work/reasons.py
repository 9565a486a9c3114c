"""Pure: what a dead letter's last error means for a person, and what helps before it is tried again."""

import re
from typing import NamedTuple

from scrm.wecom.errors import WeComError

_CODE = re.compile(r"^(?:scrm\.\S+\.)?WeComError: \S*: (-?\d{1,6})\b ?(.*)", re.DOTALL)
_NAME = re.compile(r"^([A-Za-z_][\w.]*): ?(.*)", re.DOTALL)
_RETRY = "重试一次；再失败就把错误和编号发给开发者。"


class Advice(NamedTuple):
    """Why it stopped, and what to do."""

    reason: str
    mend: str


def explain(error: str) -> Advice:
    """Read what the worker kept: "TypeName: text"."""
    if not error:
        return Advice("没有留下原因", _RETRY)
    if code := _CODE.match(error):
        return _by_wecom(int(code[1]), code[2])
    named = _NAME.match(error)
    name, text = (named[1].rpartition(".")[2], named[2]) if named else ("", error)
    if name in _KNOWN:
        return _KNOWN[name]
    # Our own errors are written for people.
    if name in _OURS:
        return Advice(text, "按上面的说明处理好，再点“重试”。")
    if name == "TryAgain":
        return Advice(f"对方系统没有正常应答：{text}", "确认对方系统已恢复，再点“重试”。")
    return Advice(f"程序出错：{name or '未知'}", _RETRY)


def _by_wecom(code: int, message: str) -> Advice:
    trouble = WeComError(code, message)
    return Advice(f"企业微信返回错误 {code}：{trouble.text}", _MENDS.get(trouble.retry_class.value, _RETRY))


_OURS = frozenset({"ScrmError", "Invalid", "Conflict", "NotFound", "Forbidden", "Unavailable", "Unauthorized"})
_KNOWN = {
    "WeComUnreachable": Advice(
        "连不上企业微信，或应答不完整", "检查服务器能否访问 qyapi.weixin.qq.com（可以看“体检”），网络恢复后点“重试”。"
    ),
    "OperationalError": Advice("数据库暂时不可用", "确认数据库正常、磁盘没有写满，再点“重试”。"),
    "TimeoutError": Advice("等待超时", "确认网络和对方系统正常，再点“重试”。"),
    "LookupError": Advice(
        "这个版本不认识这种任务", "多半是降级或升级没有完成：启动认识它的版本后点“重试”，不再需要就丢弃。"
    ),
    "KeyError": Advice("要处理的数据缺了一项，或者已经不在了", "数据已补上就点“重试”；对象已删除就丢弃。"),
}
_HOURLY = "每小时自动再试，着急就现在点“重试”。"
_MENDS = {
    "configuration": "请按说明在企业微信后台处理好，到“体检”重新检查，通过后自动继续；也可以点“重试”。",
    "relation": "这件事在企业微信里已经做不成，一般可以丢弃；名单不对时先到“同步与补漏”核对一次。",
    "parameter": "重试通常没有用：请把编号发给开发者，修好后再点“重试”。",
    "media": "请重新上传素材，再点“重试”。",
    "transient": _HOURLY,
    "token": "请核对应用的 Secret，再点“重试”。" + _HOURLY,
    "window": _HOURLY,
    "conflict": _HOURLY,
    "later": _HOURLY,
    "restart": "会从头再读一次。" + _HOURLY,
}
