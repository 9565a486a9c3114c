"""What can go wrong on WeCom's side, as switches."""

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Switches a test or the control page sets; the defaults are a healthy WeCom."""

    drop_callbacks: int = 0  # the next n callbacks are never sent
    wrong_signatures: int = 0  # the next n callbacks carry a signature that does not fit
    duplicate_callbacks: bool = False
    reorder_callbacks: bool = False  # of two callbacks in a row, the later goes first
    callback_delay_ms: int = 0
    retry_on_non_200: bool = True  # doc 90238 says yes, doc 90930 says no
    retry_delays: tuple[float, ...] = (1.0, 2.0, 4.0)  # seconds on the machine's own clock
    answer_delay_ms: int = 0
    errcodes: dict[str, tuple[int, int]] = field(default_factory=dict)  # endpoint: (errcode, how many calls)
    expired_token_errcode: int = 42001  # a real expired token was also answered with 40014
    rotate_tokens: bool = False  # every gettoken makes a new one and kills the old
    untrusted_ip: bool = False  # 60020
    no_contact_permission: bool = False  # 48002
    calls_per_minute: int = 10_000
    parallel_calls: int = 50
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
