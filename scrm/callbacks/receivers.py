"""The apps that WeCom tells things: each has a Token and EncodingAESKey of its own (doc 90930).

Told apart by the address's last part; at the address of [wecom] by the AgentID of the envelope, because some shops
give all their apps one address. The contact-sync assistant sends no AgentID and needs an address of its own.
"""

import re
from collections.abc import Mapping

from scrm.settings import AppSettings, Settings
from scrm.wecom.crypto import BadCallback, CallbackCrypto

_AGENT = re.compile(rb"<AgentID>\s*(?:<!\[CDATA\[)?\s*([0-9]{1,18})\s*(?:\]\]>)?\s*</AgentID>")


class Receivers:
    """Every app's crypto, by the end of its address ('' for the app of [wecom])."""

    def __init__(self, main: CallbackCrypto, others: Mapping[str, CallbackCrypto], by_agent: Mapping[int, str]) -> None:
        self._by_name = {"": main, **others}
        self._by_agent = by_agent

    def named(self, name: str) -> CallbackCrypto:
        """The crypto of one address; raises BadCallback where there is no such app."""
        if name not in self._by_name:
            raise BadCallback("address", "no app of [apps] has this address")
        return self._by_name[name]

    def of(self, body: bytes, name: str = "") -> CallbackCrypto:
        """The crypto with which this POST was made."""
        if not name and self._by_agent and (agent := _AGENT.search(body)):
            name = self._by_agent.get(int(agent[1]), "")
        return self.named(name)


def receivers_of(settings: Settings) -> Receivers:
    wecom = settings.wecom
    heard = {name: app for name, app in settings.apps.items() if app.encoding_aes_key.get_secret_value()}
    return Receivers(
        CallbackCrypto(wecom.token.get_secret_value(), wecom.encoding_aes_key.get_secret_value(), wecom.corp_id),
        {name: crypto_of(app, wecom.corp_id) for name, app in heard.items()},
        {app.agent_id: name for name, app in heard.items() if app.agent_id is not None},
    )


def crypto_of(app: AppSettings, corp_id: str) -> CallbackCrypto:
    return CallbackCrypto(app.token.get_secret_value(), app.encoding_aes_key.get_secret_value(), corp_id)
