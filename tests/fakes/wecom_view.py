"""WeCom's web view as the JS-SDK meets it, written from the bridge protocol alone: it checks every signature, knows
which version has which interface, and sends into whatever chat is open at that moment."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Page

from tests.fakes import wecom as fake
from tests.fixtures_browser import PATIENCE

Json = dict[str, Any]

# Interface -> the first client that has it (wecom-client 1.8).
SINCE = {
    "agentConfig": (2, 5, 0),
    "getContext": (3, 0, 24),
    "getCurExternalContact": (2, 8, 10),
    "getCurExternalChat": (2, 8, 17),
    "sendChatMessage": (2, 8, 10),
    "openEnterpriseChat": (2, 0, 0),
}
# Entries beside a contact, and beside a group (1.2).
OF_A_CONTACT = ("single_chat_tools", "single_kf_tools", "contact_profile")
OF_A_GROUP = ("group_chat_tools",)
THAT_SEND = ("single_chat_tools", "group_chat_tools", "single_kf_tools")

# Name -> user agent and platform, as seen in the field (1.4).
AGENTS = {
    "windows 5.0": (
        "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/107.0.5304.110 Safari/537.36 "
        "Language/zh ColorScheme/Light wxwork/5.0.11 (MicroMessenger/6.2) WindowsWechat  MailPlugin_Electron WeMail",
        "Win32",
    ),
    "windows 3.0": (
        "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/53.0.2785.116 Safari/537.36 "
        "QBCore/4.0.1301.400 QQBrowser/9.0.2524.400 wxwork/3.0.16 (MicroMessenger/6.2) WindowsWechat",
        "Win32",
    ),
    "mac 5.0": (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Language/zh "
        "ColorScheme/Light DistType/publish-store wxwork/5.0.8 (MicroMessenger/6.2) MacWechat/5.0.8 Safari/605.1.15",
        "MacIntel",
    ),
    "ios 4.1": (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 wxwork/4.1.30 MicroMessenger/7.0.1 Language/zh ColorScheme/Light wwmver/3.26.500.650",
        "iPhone",
    ),
    "android 5.0": (
        "Mozilla/5.0 (Linux; Android 14; PHM110 Build/UKQ1; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
        "Chrome/138.0.7204.179 Mobile Safari/537.36 XWEB/1380275 wxwork/5.0.2 MicroMessenger/7.0.1 NetType/4G "
        "Language/zh Lang/zh ColorScheme/Dark wwmver/3.26.500.650",
        "Linux armv8l",
    ),
    "android 3.1": (
        "Mozilla/5.0 (Linux; Android 9; MI 8 Build/PKQ1; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
        "Chrome/77.0.3865.120 MQQBrowser/6.2 TBS/045613 Mobile Safari/537.36 wxwork/3.1.1 MicroMessenger/7.0.1 "
        "NetType/WIFI Language/zh",
        "Linux armv8l",
    ),
}

SCRIPT = """
(() => {
  Object.defineProperty(navigator, "platform", { get: () => PLATFORM });
  const bridge = {
    on() {},
    invoke(name, params, done) {
      window.nativeInvoke(name, JSON.stringify(params), location.href).then((answer) => {
        if (answer !== null) done(answer);
      });
    },
  };
  const come = () => {
    window.WeixinJSBridge = bridge;
    document.dispatchEvent(new Event("WeixinJSBridgeReady"));
  };
  if (DELAY < 0) return;
  if (DELAY) setTimeout(come, DELAY);
  else come();
})();
"""


@dataclass
class WebView:
    """One client of one member. `refuses` has what an interface answers next: a keyword, or None for nothing at all."""

    agent: str = "windows 5.0"
    entry: str = "single_chat_tools"
    contact: str = ""
    group: str = ""
    trusted: str = "127.0.0.1"
    corp_ticket: str = "ticket-of-get_jsapi_ticket"
    agent_ticket: str = "ticket-of-ticket/get"
    bridge_delay_ms: int = 0
    refuses: dict[str, list[str | None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    sent: list[tuple[str, Json]] = field(default_factory=list)
    _config: set[str] = field(default_factory=set)
    _agent: set[str] = field(default_factory=set)
    _believed: set[str] = field(default_factory=set)
    _expired: set[str] = field(default_factory=set)

    def expire(self) -> None:
        """Every signature it has believed so far: the page lay open for hours."""
        self._expired |= self._believed
        self._config, self._agent = set(), set()

    @property
    def version(self) -> tuple[int, ...]:
        said = AGENTS[self.agent][0].partition("wxwork/")[2].split()[0]
        return tuple(int(part) for part in said.split("."))

    async def open_in(self, browser: Browser, **more: Any) -> BrowserContext:
        """Its cookies and storage; pages are opened in it with `open`."""
        return await browser.new_context(
            user_agent=AGENTS[self.agent][0],
            viewport={"width": 360, "height": 740},
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            reduced_motion="reduce",
            **more,
        )

    async def open(self, context: BrowserContext) -> Page:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        self._config, self._agent = set(), set()
        await page.expose_function("nativeInvoke", self.invoke)
        platform, delay = json.dumps(AGENTS[self.agent][1]), str(self.bridge_delay_ms)
        await page.add_init_script(SCRIPT.replace("PLATFORM", platform).replace("DELAY", delay))
        return page

    async def invoke(self, name: str, packed: str, href: str) -> Json | None:
        params: Json = json.loads(packed)
        self.calls.append(name)
        if self.refuses.get(name):
            keyword = self.refuses[name].pop(0)
            return None if keyword is None else {"err_msg": f"{name}:{keyword}"}
        keyword, fields = self._answer(name, params, href.split("#")[0])
        return {"err_msg": f"{name}:{keyword}", **fields}

    def _answer(self, name: str, params: Json, url: str) -> tuple[str, Json]:
        if self.version < SINCE.get(name, (0,)):
            return "function not exist", {}
        if name == "preVerifyJSAPI":
            return self._verify_config(params, url), {}
        if name == "agentConfig":
            return self._verify_agent(params, url), {}
        if params.get("verifySignature") in self._expired:
            return INVALID, {}
        if not self._config and not self._agent:
            return "fail_nopermission", {}
        if name != "getContext" and name not in self._agent:
            return "permission denied", {}
        return self._act(name, params)

    def _verify_config(self, params: Json, url: str) -> str:
        if params["appId"] != fake.CORP_ID or params["verifySignType"] != "sha1":
            return "invalid corpid"
        said = params["verifyNonceStr"], params["verifyTimestamp"], params["verifySignature"]
        verdict = self._verify(self.corp_ticket, *said, url)
        if verdict == "ok":
            self._config |= set(params["verifyJsApiList"])
        return verdict

    def _verify_agent(self, params: Json, url: str) -> str:
        if params["corpid"] != fake.CORP_ID or params["agentid"] != str(fake.AGENT_ID):
            return "invalid agentid"
        verdict = self._verify(self.agent_ticket, params["nonceStr"], params["timestamp"], params["signature"], url)
        if verdict == "ok":
            self._agent |= set(params["jsApiList"])
        return verdict

    def _verify(self, ticket: str, nonce: str, timestamp: object, signature: str, url: str) -> str:
        if urlsplit(url).hostname != self.trusted:
            return "invalid url domain"
        text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url}"
        if hashlib.sha1(text.encode()).hexdigest() != signature or signature in self._expired:
            return INVALID
        self._believed.add(signature)
        return "ok"

    def _act(self, name: str, params: Json) -> tuple[str, Json]:
        if name == "getContext":
            return "ok", {"entry": self.entry}
        if name == "getCurExternalContact":
            return ("ok", {"userId": self.contact}) if self.entry in OF_A_CONTACT else NO_CONTEXT
        if name == "getCurExternalChat":
            return ("ok", {"chatId": self.group}) if self.entry in OF_A_GROUP else NO_CONTEXT
        if name == "sendChatMessage":
            if self.entry not in THAT_SEND:
                return NO_CONTEXT
            self.sent.append((self.contact or self.group, params))
        return "ok", {}


INVALID = "invalid signature, more info at https://open.work.weixin.qq.com/devtool/query?e=40093"
NO_CONTEXT: tuple[str, Json] = ("fail without context of external contact", {})
