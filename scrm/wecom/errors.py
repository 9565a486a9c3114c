"""WeCom's error codes: what each means, what to do about it, and whether trying again helps (doc 90313)."""

from enum import StrEnum


class RetryClass(StrEnum):
    """How to go on after an error code."""

    TRANSIENT = "transient"  # back off, a few tries
    TOKEN = "token"  # noqa: S105 - refresh once, repeat once
    WINDOW = "window"  # wait until the rate window is over
    CONFLICT = "conflict"  # repeat serially in a moment
    LATER = "later"  # the state will come
    RELATION = "relation"  # never: change our own state
    PARAMETER = "parameter"  # never: our bug or bad data
    CONFIGURATION = "configuration"  # never: an administrator must act
    MEDIA = "media"  # upload again once


_CLASSES: dict[RetryClass, tuple[int, ...]] = {
    RetryClass.TRANSIENT: (-1, 6000, 45033),
    RetryClass.TOKEN: (40014, 42001),
    RetryClass.WINDOW: (45009,),
    # 40071: somebody made the tag of that name a moment ago; the next try finds it.
    RetryClass.CONFLICT: (45035, 40071),
    RetryClass.LATER: (41063, 41078, 41079, 41096, 45036),
    RetryClass.RELATION: (
        84061, 40096, 40097, 40098, 40099, 40100, 40128, 40129, 40130, 40131, 41048, 41050, 41051, 41053,
    ),
    RetryClass.CONFIGURATION: (
        40001, 40013, 40056, 40091, 41001, 41002, 41004, 42012, 48002, 48006, 48009, 50001, 50003, 60011, 60020, 60031,
        301002, 610023, 610024,
    ),
    RetryClass.MEDIA: (40004, 40005, 40006, 40007, 40009, 40123, 40145, 45001, 830002),
}  # fmt: skip
_CLASS_OF = {code: kind for kind, codes in _CLASSES.items() for code in codes}

# What a person reads: cause, and the way out.
_TEXTS: dict[int, str] = {
    -1: "企业微信系统繁忙，稍后会自动重试。",
    40001: "企业微信不认这个 Secret。请到 应用管理 → 你的应用 重新复制 Secret；反复用错会被封禁 IP 一小时。",
    40003: "成员账号不存在。请确认该成员仍在通讯录且在应用可见范围内。",
    40013: "企业 ID（corp_id）不对。请到 我的企业 → 企业信息 复制企业 ID。",
    40029: "登录 code 无效或已用过，请重新打开页面。",
    40056: "agent_id 不对。请到 应用管理 → 你的应用 复制 AgentId。",
    40093: "JS-SDK 签名不对。请确认可信域名与访问地址一致。",
    40096: "这个客户 ID 不属于本企业，或跟进人不在应用可见范围内。",
    41001: "调用缺少 access_token，这是程序缺陷，请反馈。",
    41050: "欢迎语已超过 20 秒，无法再发送。",
    41051: "客户已经开口或欢迎语已由其他应用发出，无需再发。",
    41053: "客户尚未同意会话存档，同意后会自动补发欢迎语。",
    41096: "其他应用正在发送欢迎语，稍后重试。",
    42012: "JS-SDK 票据属于别的应用，请检查 agent_id。",
    45009: "企微接口繁忙，系统会在限频结束后自动重试，无需操作。",
    45033: "企微接口并发过高，系统会自动降速重试。",
    45035: "同一客户正在被修改，稍后自动重试。",
    48002: "这个应用没有调用该接口的权限。请在 客户联系 → 权限配置 → 可调用接口的应用 中勾选本应用。",
    50001: "跳转域名不是应用的可信域名。请到 应用管理 → 网页授权及JS-SDK 设置可信域名。",
    50003: "应用已被停用。请到 应用管理 启用。",
    60011: "没有该成员的权限。请把成员加入应用可见范围。",
    60020: "服务器 IP 不在企业微信“可信 IP”中。企微后台 → 应用管理 → 你的应用 → 企业可信IP，添加后重试。",
    60111: "成员账号不存在。请确认该成员仍在通讯录且在应用可见范围内。",
    81013: "接收人全部无效或不在应用可见范围内。",
    84061: "客户已不是该员工的好友。",
    301002: "应用不允许操作该 agentid，请检查 agent_id 与 Secret 是否同属一个应用。",
    610024: "企业未完成认证或客户数已达上限，客户管理被限制。",
}  # fmt: skip


class WeComError(Exception):
    """WeCom answered with an error code; `hint` is for WeCom's own support tool."""

    def __init__(self, errcode: int, errmsg: str = "", *, path: str = "") -> None:
        super().__init__(f"{path}: {errcode} {errmsg}"[:300])
        self.errcode = errcode
        self.errmsg = errmsg
        self.path = path

    @property
    def retry_class(self) -> RetryClass:
        return _CLASS_OF.get(self.errcode, RetryClass.PARAMETER)

    @property
    def text(self) -> str:
        """One Chinese sentence: the cause and what to do."""
        return _TEXTS.get(self.errcode, f"企业微信返回错误 {self.errcode}。")


class WeComUnreachable(WeComError):
    """No answer that can be read: a network error, a time-out, an HTTP status other than 200.

    `perhaps_done` is true when the request may have been carried out all the same (no answer after it was sent).
    """

    def __init__(self, reason: str, *, path: str = "", perhaps_done: bool = True) -> None:
        super().__init__(-1, reason, path=path)
        self.perhaps_done = perhaps_done

    @property
    def text(self) -> str:
        return "连不上企业微信，稍后会自动重试。"
