"""What can go wrong on WeCom's side, as switches."""

from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase

# What can become of a call, and what `value` says of it. After the first four nothing was done; after the last two the
# work was done and only the answer is missing, which is the harder case for a client.
TROUBLES = {
    "errcode": "按错误码拒绝，value 为错误码，如 -1、45009、45033",
    "status": "HTTP 错误页，value 为状态码，如 500、502",
    "garbage": "应答 200，但内容不是 JSON（value 不用）",
    "hang_up": "不应答就断开，调用没有执行（value 不用）",
    "latency": "照常执行，应答晚 value 毫秒",
    "drip": "照常执行，应答在 value 毫秒内一点一点到",
    "cut": "照常执行，应答只到一半就断开（value 不用）",
    "lost": "照常执行，不应答就断开（value 不用）",
}
INSTEAD_OF_WORK = ("errcode", "status", "garbage", "hang_up")
NEEDS_VALUE = {
    "errcode": (-1_000_000, 100_000_000),
    "status": (400, 599),
    "latency": (0, 120_000),
    "drip": (1, 120_000),
}


@dataclass
class Trouble:
    """What happens to the calls of some endpoints; `endpoint` may hold `*`, `times` 0 lasts until it is healed."""

    number: int
    endpoint: str
    kind: str
    value: int = 0
    times: int = 1


@dataclass
class Faults:
    """Switches a test or the control page sets; the defaults are a healthy WeCom."""

    drop_callbacks: int = 0  # the next n callbacks are never sent
    wrong_signatures: int = 0  # the next n callbacks carry a signature that does not fit
    duplicate_callbacks: bool = False
    reorder_callbacks: bool = False  # of two callbacks in a row, the later goes first
    callback_delay_ms: int = 0
    drop_percent: int = 0  # of the callbacks; the dice fall the same way in every run
    duplicate_percent: int = 0
    spread_callbacks_ms: int = 0  # each callback is late by up to so much, so that they overtake one another
    retry_on_non_200: bool = True  # doc 90238 says yes, doc 90930 says no
    retry_delays: tuple[float, ...] = (1.0, 2.0, 4.0)  # seconds on the machine's own clock
    answer_delay_ms: int = 0
    errcodes: dict[str, tuple[int, int]] = field(default_factory=dict)  # endpoint: (errcode, how many calls)
    troubles: list[Trouble] = field(default_factory=list)
    expired_token_errcode: int = 42001  # a real expired token was also answered with 40014
    rotate_tokens: bool = False  # every gettoken makes a new one and kills the old
    untrusted_ip: bool = False  # 60020
    no_contact_permission: bool = False  # 48002
    limits_enforced: bool = True  # rates and parallel calls; the counts go on without
    calls_per_minute: int = 10_000
    ip_calls_per_minute: int = 20_000  # one address and one endpoint
    parallel_calls: int = 50
    account_cap: int = 200  # app messages a day: so many times 200, the surplus is dropped without a word
    cursor_life_seconds: int = 3600  # an older cursor of a list is 50100
    wrong_secrets_until_ban: int = 20  # of one address in an hour; then gettoken is shut for it for an hour
    echo_edits: bool = False  # a remark or a tag set by a call is told by an event too, as some corps saw it
    json_callbacks: bool = False  # the envelope is JSON; the console does not offer it (doc 90307 hints at it)
    no_welcome_code: bool = False  # an administrator has set a welcome for the member
    consent_missing: bool = False  # 41053
    unconfirmed_contacts_unreadable: bool = False  # 84061 until the member confirms a half-added contact
    member_confirms_after: float | None = 2.0  # seconds on the machine's own clock; None waits for the desk
    bridge_delay_ms: int = 0  # WeixinJSBridgeReady comes late

    def fail_next(self, endpoint: str, errcode: int, times: int = 1) -> None:
        """Answer the next `times` calls of `endpoint` (path after /cgi-bin/) with `errcode`."""
        self.errcodes[endpoint] = (errcode, times)

    def take_errcode(self, endpoint: str) -> int | None:
        """The errcode this call must fail with, counting it off."""
        if endpoint not in self.errcodes:
            return None
        errcode, times = self.errcodes[endpoint]
        if times > 1:
            self.errcodes[endpoint] = (errcode, times - 1)
        else:
            del self.errcodes[endpoint]
        return errcode

    def make_trouble(self, endpoint: str, kind: str, value: int = 0, times: int = 1) -> Trouble:
        """One of TROUBLES for the next `times` calls of `endpoint`; the newest that fits a call is the one it meets."""
        number = 1 + max((trouble.number for trouble in self.troubles), default=0)
        trouble = Trouble(number, endpoint, kind, value, times)
        self.troubles.append(trouble)
        return trouble

    def take_trouble(self, endpoint: str) -> Trouble | None:
        """What this call meets, counting it off."""
        trouble = next((one for one in reversed(self.troubles) if fnmatchcase(endpoint, one.endpoint)), None)
        if trouble is not None and trouble.times:
            trouble.times -= 1
            if trouble.times == 0:
                self.troubles.remove(trouble)
        return trouble

    def heal(self, number: int | None = None) -> None:
        """End one trouble, or all of them and set every switch to that of a healthy WeCom."""
        if number is not None:
            self.troubles[:] = [one for one in self.troubles if one.number != number]
            return
        healthy = Faults()  # everybody holds this object, so it takes on the values of a new one
        for switch in fields(self):
            setattr(self, switch.name, getattr(healthy, switch.name))
