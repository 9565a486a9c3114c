"""What the sandbox must know of the app it stands in front of."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class OfficialAccountConfig:
    """The app's Official Account: what its console and the app agree on."""

    app_id: str
    token: str = field(repr=False)
    encoding_aes_key: str = field(repr=False)
    secret: str = field(repr=False)
    callback_url: str
    name: str = "晴屿美妆"


@dataclass(frozen=True)
class SandboxConfig:
    """One corp with one self-built app; `public_url` is scheme://host:port of the whole process."""

    corp_id: str
    agent_id: int
    secret: str = field(repr=False)
    token: str = field(repr=False)
    encoding_aes_key: str = field(repr=False)
    callback_url: str
    sidebar_url: str
    public_url: str
    base_path: str = "/sandbox"
    corp_name: str = "晴屿美妆"
    app_name: str = "晴屿 SCRM"
    trusted_hosts: tuple[str, ...] = ()  # besides those of the URLs above, as host:port
    official_account: OfficialAccountConfig | None = None
    session_cookies: tuple[str, ...] = ()  # the app's login cookies, dropped when the desk changes its member

    @property
    def base_url(self) -> str:
        """Address of the sandbox itself, without a slash at the end."""
        return self.public_url.rstrip("/") + self.base_path

    def trusts(self, url: str) -> bool:
        """Whether the URL's host and port are a trusted domain of the app; both must fit exactly."""
        mine = (self.callback_url, self.sidebar_url, self.public_url)
        hosts = {urlsplit(one).netloc for one in mine} | set(self.trusted_hosts)
        split = urlsplit(url)
        return split.scheme in ("http", "https") and split.netloc in hosts
