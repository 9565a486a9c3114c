"""The one typed tree of settings: a TOML file, overridden by SCRM_SECTION__KEY variables."""

import os
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from scrm.errors import WrongUse
from scrm.shipped import shipped

_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _is_http_url(value: str) -> str:
    if not re.match(r"https?://[^/\s]+", value):
        raise ValueError("expected http:// or https:// and a host")
    return value.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_is_http_url)]


class Server(_Section):
    """Where we listen, and how people reach us."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: HttpUrl = "http://127.0.0.1:8080"
    body_limit: int = Field(1_048_576, ge=1024)


class DatabaseSettings(_Section):
    """sqlite:///path or postgresql://user:pw@host/db (a SecretStr: it may hold a password)."""

    url: SecretStr = SecretStr("sqlite:///var/scrm.db")

    @field_validator("url")
    @classmethod
    def _known(cls, value: SecretStr) -> SecretStr:
        try:
            backend = make_url(value.get_secret_value()).get_backend_name()
        except ArgumentError:
            raise ValueError("expected sqlite:///path or postgresql://user:password@host/database") from None
        if backend not in ("sqlite", "postgresql"):
            raise ValueError("expected sqlite:///path or postgresql://user:password@host/database")
        return value


class WeComSettings(_Section):
    """The self-built app (自建应用) we speak for."""

    corp_id: str = Field(min_length=1)
    agent_id: int = Field(ge=0)
    secret: SecretStr = Field(min_length=1)
    token: SecretStr = Field(min_length=1, max_length=32)
    encoding_aes_key: SecretStr
    api_base: HttpUrl = "https://qyapi.weixin.qq.com"
    oauth_base: HttpUrl = "https://open.weixin.qq.com"
    login_base: HttpUrl = "https://login.work.weixin.qq.com"
    timeout_seconds: float = Field(5.0, gt=0)
    read_concurrency: int = Field(5, ge=1)
    welcome_concurrency: int = Field(64, ge=1)
    name_budget_ms: int = Field(250, ge=0)
    account_cap: int = Field(200, ge=1)

    @field_validator("encoding_aes_key")
    @classmethod
    def _is_aes_key(cls, value: SecretStr) -> SecretStr:
        if not _AES_KEY.fullmatch(value.get_secret_value()):
            raise ValueError(f"expected 43 letters and digits, found {len(value.get_secret_value())} characters")
        return value


class AppSettings(_Section):
    """Another app of the same corp: what WeCom tells it, what is called as it, or both (docs 90930, 91039).

    The section's name ends its callback's address. Without an agent_id it is the contact-sync assistant (通讯录同步).
    """

    agent_id: int | None = Field(None, ge=0)
    token: SecretStr = Field(SecretStr(""), max_length=32)
    encoding_aes_key: SecretStr = Field(SecretStr(""), validate_default=True)
    secret: SecretStr = SecretStr("")
    calls: tuple[Literal["kf", "messages"], ...] = Field((), validate_default=True)

    @field_validator("encoding_aes_key")
    @classmethod
    def _is_aes_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        token, key = info.data.get("token"), value.get_secret_value()
        if bool(token and token.get_secret_value()) != bool(key):
            raise ValueError("expected token and encoding_aes_key together, or neither")
        if key and not _AES_KEY.fullmatch(key):
            raise ValueError(f"expected 43 letters and digits, found {len(key)} characters")
        return value

    @field_validator("calls", mode="before")
    @classmethod
    def _in_one_line(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("calls")
    @classmethod
    def _can_be_made(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        secret = info.data.get("secret")
        if value and not (secret and secret.get_secret_value()):
            raise ValueError("expected a secret beside it: calls are made with the app's own")
        if "messages" in value and info.data.get("agent_id") is None:
            raise ValueError("expected an agent_id beside it: app messages name the app they come from")
        return value


class Security(_Section):
    """secret_key signs sessions and derives the keys of private data: keep it, and keep it secret."""

    secret_key: SecretStr = Field(min_length=32)
    # Seals private data instead of secret_key; after a change the earlier ones stay in old_data_keys until
    # `scrm rotate-keys` has run.
    data_key: SecretStr = SecretStr("")
    old_data_keys: list[SecretStr] = []
    session_hours: int = Field(12, ge=1)
    # How many phone numbers a member may see in clear beside the chats on one day; 0: none.
    reveals_per_day: int = Field(30, ge=0)

    @field_validator("data_key")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 32:
            raise ValueError("expected at least 32 characters, or nothing")
        return value

    @field_validator("old_data_keys", mode="before")
    @classmethod
    def _in_one_line(cls, value: object) -> object:
        return [key.strip() for key in value.split(",") if key.strip()] if isinstance(value, str) else value


def _is_limit(value: object) -> object:
    if value == "none" or (isinstance(value, str) and value.isdecimal() and int(value) > 0):
        return "none" if value == "none" else int(str(value))
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError('expected a whole number from 1, or "none" for no limit (0 would never send anything)')
    return value


Limit = Annotated[int | Literal["none"], BeforeValidator(_is_limit)]


class Playbooks(_Section):
    """Where playbooks are read from at start."""

    dir: Path = Field(default_factory=lambda: shipped("playbooks"))
    quiet: str = "21:30-09:00"
    # Above these a manager approves a text before it is published: people in 30 days, coupons' face value in yuan.
    approval_audience: int = 500
    approval_budget: int = 10_000
    # Marketing (P3, P4) to one customer over all playbooks and members; "none" does not limit.
    cap_gap: str = "24h"
    cap_per_week: Limit = 3
    cap_per_month: Limit = 8
    # Days after a refund or complaint is closed, and hours after the customer spoke, without marketing.
    after_sale_days: int = Field(7, ge=0, le=90)
    talk_hours: int = Field(2, ge=0, le=72)
    # Tasks that a member is told of on one day; what is less important is only shown.
    tasks_per_day: Limit = 40
    # How many of a hundred P3 and P4 leave alone, to measure what they bring.
    holdout: str = "5%"
    # Whoever has one of these tags is on the stop list.
    stop_tags: list[str] = ["停发", "黑名单", "员工亲友", "同行", "测试号"]
    # Userids of those who are told of overdue tasks when a member has no leader in WeCom.
    managers: list[str] = []

    @field_validator("cap_gap")
    @classmethod
    def _is_gap(cls, value: str) -> str:
        if value != "none" and not re.fullmatch(r"[1-9]\d{0,3}[mhd]", value):
            raise ValueError('expected a time such as "24h", or "none"')
        return value

    @field_validator("holdout")
    @classmethod
    def _is_share(cls, value: str) -> str:
        if not re.fullmatch(r"([0-9]|[1-4][0-9]|50)%", value):
            raise ValueError('expected a share from "0%" to "50%"')
        return value

    @field_validator("stop_tags", mode="before")
    @classmethod
    def _in_one_line(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("quiet")
    @classmethod
    def _is_window(cls, value: str) -> str:
        if value != "none" and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError('expected a span like "21:30-09:00", or "none"')
        return value


class Shop(_Section):
    """What customers know us as, and the zone in which days are counted."""

    name: str = "我们的店"
    timezone: str = "Asia/Shanghai"
    # From how many yuan paid (less refunds) on a customer counts as 高价值 in the members' queue.
    high_value_yuan: int = Field(1000, ge=1)
    # What members choose a customer's stage from, in the order of the way.
    stages: tuple[str, ...] = ("潜客", "意向", "首购", "复购", "忠诚", "沉睡", "流失")
    # PNG or JPG, square; stands in the middle of our own QR pictures.
    logo: Path | None = None

    @field_validator("stages", mode="before")
    @classmethod
    def _in_one_line(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("stages")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value) or not all(0 < len(name.strip()) <= 20 for name in value):
            raise ValueError("expected different names of 1 to 20 characters")
        return value

    @field_validator("logo", mode="before")
    @classmethod
    def _is_there(cls, value: Any) -> Any:
        return value or None

    @field_validator("logo")
    @classmethod
    def _is_picture(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            head = value.open("rb").read(8)
        except OSError as error:
            raise ValueError(f"expected a picture that can be read ({error.strerror})") from None
        if not head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
            raise ValueError("expected a PNG or JPG picture")
        return value

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("expected a zone name such as Asia/Shanghai") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class ContentSettings(_Section):
    """Where the originals of pictures, films and files are kept; back it up together with the database."""

    media_dir: Path = Path("var/media")


class Backup(_Section):
    """Where backups go, when one is made each day (the shop's time), and how many are kept; 0 keeps all.

    Without `at` SQLite is backed up at 03:30 and PostgreSQL not: there it is usually done beside us. "none" is never.
    """

    dir: Path = Path("var/backups")
    at: str = ""
    keep: int = Field(7, ge=0)

    @field_validator("at")
    @classmethod
    def _is_time(cls, value: str) -> str:
        if value not in ("", "none") and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError("expected a time such as 03:30, or none")
        return value


class Retention(_Section):
    """How many days what came in stays readable; 0 keeps it. What is about customers is not deleted by age."""

    # Callbacks of WeCom: handled ones, and those nobody could use.
    callback_days: int = Field(90, ge=0)
    odd_callback_days: int = Field(365, ge=0)
    # Pushed orders: the body of what was applied, and the line that it came.
    hook_body_days: int = Field(7, ge=0)
    hook_days: int = Field(60, ge=0)


_CARD_PARTS = re.compile(r"\{(?!(?:order_no|item|sku)\})[^}]*\}")


def _is_card_address(value: str) -> str:
    if _CARD_PARTS.search(value) or not re.match(r"https?://[^/\s]+|wx[0-9a-f]{16}:[^\s]+", value):
        raise ValueError("expected https://... or wx<appid>:<page>, in which {order_no}, {item} and {sku} may stand")
    return value


CardAddress = Annotated[str, AfterValidator(_is_card_address)]


class Cards(_Section):
    """Where the order and product cards lead that members send, by channel; without an address they are words."""

    order: dict[str, CardAddress] = {}
    product: dict[str, CardAddress] = {"jd": "https://item.jd.com/{sku}.html"}
    cover: str = Field("", validate_default=True)

    @field_validator("cover")
    @classmethod
    def _is_picture(cls, value: str, info: ValidationInfo) -> str:
        addresses = [*info.data.get("order", {}).values(), *info.data.get("product", {}).values()]
        if (value or any(each.startswith("wx") for each in addresses)) and not re.match(r"https?://[^/\s]+", value):
            raise ValueError("expected the https address of a picture: mini-programs are not sent without")
        return value


class MassMessages(_Section):
    """How many mass messages one customer may get from the whole shop; 0 leaves only WeCom's own limit."""

    per_day: int = Field(1, ge=0)
    per_week: int = Field(3, ge=0)
    per_month: int = Field(8, ge=0)
    # One that would reach more customers waits until another manager, or an administrator, agrees; 0: none waits.
    approve_above: int = Field(1000, ge=0)


class Tracking(_Section):
    """What the shop's own pages may tell us (POST /track); off without a write_key, which pages carry and all can read.

    Pages of `domains` may post, and radar links lead only there; `*.example.com` means every name below.
    """

    write_key: str = ""
    domains: tuple[str, ...] = ()
    per_minute: int = Field(600, ge=1)

    @field_validator("write_key")
    @classmethod
    def _is_key(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9_\-]{16,64}", value):
            raise ValueError("expected 16 to 64 letters, digits, _ or -, or nothing to leave tracking off")
        return value

    @field_validator("domains", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("domains")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"(?:\*\.)?[A-Za-z0-9][A-Za-z0-9.\-]*(?::\d{1,5})?", host):
                raise ValueError(f"expected host names such as mall.example.com or *.example.com, not {host!r}")
        return tuple(host.lower() for host in value)


class OfficialAccount(_Section):
    """The Official Account (公众号); without an app_id it is off. The secret is only for reading unionids."""

    app_id: str = ""
    token: SecretStr = Field(SecretStr(""), max_length=32, validate_default=True)
    encoding_aes_key: SecretStr = Field(SecretStr(""), validate_default=True)
    secret: SecretStr = SecretStr("")
    api_base: HttpUrl = "https://api.weixin.qq.com"

    @field_validator("app_id")
    @classmethod
    def _is_app_id(cls, value: str) -> str:
        if value and not re.fullmatch(r"wx[0-9a-f]{16}", value):
            raise ValueError("expected wx and 16 digits or letters a-f, as 设置与开发 → 基本配置 shows it")
        return value

    @field_validator("token")
    @classmethod
    def _has_token(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("app_id") and not value.get_secret_value():
            raise ValueError("expected the Token of the server configuration, because app_id is set")
        return value

    @field_validator("encoding_aes_key")
    @classmethod
    def _has_aes_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("app_id") and not _AES_KEY.fullmatch(value.get_secret_value()):
            raise ValueError(f"expected 43 letters and digits, found {len(value.get_secret_value())} characters")
        return value


class Source(BaseModel):
    """One shop that sends us orders or is asked for them; what else it needs is its kind's own to check.

    The section's name is the source's key: lower-case letters, digits, - and _, at most 40.
    """

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    kind: str = Field(min_length=1)

    def __repr_args__(self) -> Any:
        yield "kind", self.kind  # the rest may be secret


_SOURCE_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def _is_source_key(key: str) -> str:
    if not _SOURCE_KEY.fullmatch(key):
        raise ValueError("expected a name of lower-case letters, digits, - and _, at most 40")
    return key


SourceKey = Annotated[str, AfterValidator(_is_source_key)]


class Outward(_Section):
    """A system outside WeCom that playbooks call (channel K); calls are signed with the secret."""

    url: HttpUrl
    secret: SecretStr = Field(min_length=16)
    # Only for systems of one's own: everything else must be on the open internet.
    allow_private: bool = False
    timeout_seconds: float = Field(10.0, gt=0, le=30)


class Api(_Section):
    """How other programs may use /api."""

    # Requests of one key in a minute, in all processes together.
    per_minute: int = Field(600, ge=1)


class Webhooks(_Section):
    """Events that are pushed to other systems."""

    # Only for systems of one's own: everything else must be on the open internet, and https.
    allow_private: bool = False
    # A subscription whose calls fail for so long is paused, and the administrators are told.
    pause_after_hours: int = Field(24, ge=1, le=720)
    # How long the log of deliveries, and what waits in a paused subscription, is kept.
    keep_days: int = Field(30, ge=1, le=365)


class Orders(_Section):
    """What we know of shops' orders that the orders do not say."""

    # How long an order may stay unpaid, by channel; `default` for the others, without it nothing is said.
    unpaid_closes: dict[str, str] = {"default": "24h"}

    @field_validator("unpaid_closes", mode="before")
    @classmethod
    def _in_one_line(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return dict(part.strip().partition("=")[::2] for part in value.split(",") if part.strip())

    @field_validator("unpaid_closes")
    @classmethod
    def _are_times(cls, value: dict[str, str]) -> dict[str, str]:
        for channel, time in value.items():
            if not re.fullmatch(r"[1-9]\d{0,3}[mhd]", time):
                raise ValueError(
                    f'expected times such as {{default = "24h", youzan = "60m"}}, not {channel} = "{time}"'
                )
        return value


Steps = Annotated[list[int], Field(min_length=4, max_length=4)]


class Rfm(_Section):
    """The steps between the scores 1 to 5; a score counts as high from `high` on."""

    recency_days: Steps = [30, 90, 180, 365]
    orders: Steps = [2, 3, 5, 10]
    yuan: Steps = [100, 300, 800, 2000]
    high: int = Field(3, ge=2, le=5)

    @field_validator("recency_days", "orders", "yuan", mode="before")
    @classmethod
    def _in_one_line(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("recency_days", "orders", "yuan")
    @classmethod
    def _rise(cls, value: list[int]) -> list[int]:
        if any(one <= 0 for one in value) or any(one >= next_one for one, next_one in pairwise(value)):
            raise ValueError("expected four numbers above 0 that rise")
        return value


class Settings(_Section):
    """All settings; build with `load_settings`."""

    server: Server = Server()
    database: DatabaseSettings = DatabaseSettings()
    wecom: WeComSettings
    security: Security
    playbooks: Playbooks = Playbooks()
    shop: Shop = Shop()
    official_account: OfficialAccount = OfficialAccount()
    tracking: Tracking = Tracking()
    content: ContentSettings = ContentSettings()
    backup: Backup = Backup()
    retention: Retention = Retention()
    mass_messages: MassMessages = MassMessages()
    cards: Cards = Cards()
    orders: Orders = Orders()
    rfm: Rfm = Rfm()
    sources: dict[SourceKey, Source] = {}
    outward: dict[SourceKey, Outward] = {}
    apps: dict[SourceKey, AppSettings] = {}
    api: Api = Api()
    webhooks: Webhooks = Webhooks()

    @field_validator("apps")
    @classmethod
    def _are_different(cls, apps: dict[str, AppSettings], info: ValidationInfo) -> dict[str, AppSettings]:
        agents: list[Any] = [app.agent_id for app in apps.values() if app.agent_id is not None]
        if info.data.get("wecom"):
            agents.append(info.data["wecom"].agent_id)
        calls: list[Any] = [call for app in apps.values() for call in app.calls]
        for what, values in (("agent_id", agents), ("calls", calls)):
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise ValueError(f"expected {what} {twice} once; the app of [wecom] needs no section here")
        return apps


def load_settings(environ: dict[str, str] | None = None, **overrides: dict[str, Any]) -> Settings:
    """Read the file, then the environment, then `overrides`; raises WrongUse with one line per wrong value."""
    environ = dict(os.environ) if environ is None else environ
    tree = _read_file(environ)
    for name, value in environ.items():
        section, separator, key = name.removeprefix("SCRM_").lower().partition("__")
        if not name.startswith("SCRM_") or not separator:
            continue
        values = tree.setdefault(section, {})
        if section in ("sources", "outward", "apps"):
            source, _, key = key.partition("__")
            values = values.setdefault(source, {})
        if isinstance(values, dict):
            values[key] = value
    for section, values in overrides.items():
        tree.setdefault(section, {}).update(values)
    for section in Settings.model_fields:
        tree.setdefault(section, {})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise WrongUse("\n".join(_lines(error, tree))) from None


def load_database_settings(environ: dict[str, str] | None = None) -> DatabaseSettings:
    """Only the database, for commands that need nothing else (scrm migrate)."""
    environ = dict(os.environ) if environ is None else environ
    tree = _read_file(environ).get("database", {})
    if url := environ.get("SCRM_DATABASE__URL"):
        tree["url"] = url
    try:
        return DatabaseSettings.model_validate(tree)
    except ValidationError as error:
        raise WrongUse("\n".join(_lines(error, {"database": tree}, ("database",)))) from None


def _read_file(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    named = environ.get("SCRM_CONFIG")
    path = Path(named or "config/scrm.toml")
    if not path.is_file():
        if named:
            raise WrongUse(f"SCRM_CONFIG: found {named}, which is not a file; expected the path of a TOML file")
        return {}
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path}: cannot be read as TOML: {error}") from None
    for name, section in tree.items():
        if not isinstance(section, dict):
            raise WrongUse(f"{path}: {name}: found a plain value; expected a section [{name}]")
    return tree


_SECRETS = {"url", "secret", "token", "encoding_aes_key", "secret_key", "data_key", "old_data_keys"}


def _lines(error: ValidationError, tree: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[str]:
    """One line per problem: the key, what was found, what is expected."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        where = (*prefix, *(str(part) for part in problem["loc"]))
        key = ".".join(where)
        variable = "SCRM_" + "__".join(where).upper()
        expected = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            lines.append(f"{key}: found nothing; expected a value (in the settings file, or as {variable})")
        elif problem["type"] == "extra_forbidden":
            lines.append(f"{key}: found a setting of a name nobody knows; see config/scrm.example.toml")
        else:
            lines.append(f"{key}: found {_found(tree, where)}; {_sentence(expected)}")
    return lines


def _found(tree: dict[str, Any], where: tuple[str, ...]) -> str:
    value: Any = tree
    for part in where:
        value = value.get(part) if isinstance(value, dict) else None
    if where[-1] in _SECRETS or (where[0] == "sources" and len(where) > 2 and where[-1] != "kind"):
        return "a value (not shown)" if value else "an empty value"
    return repr(value)


def _sentence(expected: str) -> str:
    if found := re.search(r"at least (\d+) (?:items|characters?)", expected):
        return f"expected at least {found[1]} character{'s' if found[1] != '1' else ''}"
    return expected if expected.startswith("expected") else "expected: " + expected[:1].lower() + expected[1:]
