"""WeCom's server API: a module per family of endpoints, a method per endpoint, named as WeCom names it."""

import aiohttp

from scrm.clock import Clock
from scrm.wecom.acquisition import Acquisition
from scrm.wecom.calls import App, Calls
from scrm.wecom.contact_ways import ContactWays
from scrm.wecom.contacts import Contacts
from scrm.wecom.corp_tags import CorpTags
from scrm.wecom.customer_messages import CustomerMessages
from scrm.wecom.group_chats import GroupChats
from scrm.wecom.kf import Kf
from scrm.wecom.media import Media
from scrm.wecom.members import Members
from scrm.wecom.messages import Messages
from scrm.wecom.moments import Moments
from scrm.wecom.stops import StopStore
from scrm.wecom.tickets import Tickets
from scrm.wecom.tokens import TokenStore
from scrm.wecom.transfers import Transfers
from scrm.wecom.windows import Ledger


class WeCom(Calls):
    """The API as one app sees it; to add a family, write its module and name it here."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clock: Clock,
        app: App,
        tokens: TokenStore | None = None,
        ledger: Ledger | None = None,
        stops: StopStore | None = None,
    ) -> None:
        super().__init__(http, clock, app, tokens, ledger, stops)
        self.acquisition = Acquisition(self)
        self.contacts = Contacts(self)
        self.contact_ways = ContactWays(self)
        self.corp_tags = CorpTags(self)
        self.customer_messages = CustomerMessages(self)
        self.group_chats = GroupChats(self)
        self.kf = Kf(self)
        self.media = Media(self)
        self.members = Members(self)
        self.messages = Messages(self)
        self.moments = Moments(self)
        self.tickets = Tickets(self)
        self.transfers = Transfers(self)
