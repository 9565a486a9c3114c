"""What a call of WeCom's API can end in: an error code with its explanation, or no answer that can be read."""

import re

from scrm.wecom.codes import CLASSES, TEXTS, RetryClass

_FROM_IP = re.compile(r"from ip: ?([0-9a-fA-F.:]+[0-9a-fA-F])")
_HINT = re.compile(r"hint: ?\[([^\]]{1,80})\]")


class WeComError(Exception):
    """WeCom answered with an error code.

    `retry_after` are the seconds after which the endpoint may be asked again, where that is known (45009); `is_spent`
    says that the call was tried as often as it may be.
    """

    def __init__(self, errcode: int, errmsg: str = "", *, path: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{path}: {errcode} {errmsg}"[:300])
        self.errcode = errcode
        self.errmsg = errmsg
        self.path = path
        self.retry_after = retry_after
        self.is_spent = False

    @property
    def is_busy(self) -> bool:
        """WeCom itself said -1: it is asked three times and no more."""
        return self.errcode == -1

    @property
    def retry_class(self) -> RetryClass:
        """A code that nobody has described is a parameter of ours that WeCom does not like."""
        return CLASSES.get(self.errcode, RetryClass.PARAMETER)

    @property
    def text(self) -> str:
        """Chinese: the cause, and what to do; with our own address where that is the point (60020)."""
        text = TEXTS.get(self.errcode)
        if text is None:
            return (
                f"企业微信返回错误 {self.errcode}，可在 open.work.weixin.qq.com/devtool/query?e={self.errcode} 查询。"
            )
        if self.errcode in (60020, 301042) and self.from_ip:
            return f"{text.removesuffix('。')}。本机出口 IP：{self.from_ip}。"
        return text

    @property
    def from_ip(self) -> str:
        """The address WeCom saw us come from; empty when it does not say."""
        found = _FROM_IP.search(self.errmsg)
        return found[1] if found else ""

    @property
    def hint(self) -> str:
        """What WeCom's own query tool wants; empty when there is none."""
        found = _HINT.search(self.errmsg)
        return found[1] if found else ""


class WeComUnreachable(WeComError):
    """No answer that can be read: a network error, a time-out, an HTTP status other than 200.

    `perhaps_done` is true when the request may have been carried out all the same (no answer after it was sent).
    """

    def __init__(self, reason: str, *, path: str = "", perhaps_done: bool = True) -> None:
        super().__init__(-1, reason, path=path)
        self.perhaps_done = perhaps_done

    @property
    def is_busy(self) -> bool:
        return False

    @property
    def text(self) -> str:
        return "连不上企业微信，稍后会自动重试。"


class WindowFull(WeComError):
    """Our own count, or WeCom's 45009, says that this endpoint must rest for `retry_after` seconds: nothing was sent."""

    def __init__(self, path: str, retry_after: float) -> None:
        super().__init__(45009, f"not called: the rate window is full for {retry_after:.0f} s", path=path)
        self.retry_after = retry_after


__all__ = ["RetryClass", "WeComError", "WeComUnreachable", "WindowFull"]
