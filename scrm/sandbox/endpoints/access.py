"""Tokens, tickets and who logged in."""

from ..call import Call
from ..errors import Refusal
from ..world import Json, PairState


def gettoken(call: Call) -> Json:
    """A missing secret is reported before a missing corpid, both before a wrong pair (doc 91039)."""
    corp_id, secret = call.query.get("corpid", ""), call.query.get("corpsecret", "")
    if not secret:
        raise Refusal(41004)
    if not corp_id:
        raise Refusal(41002)
    if corp_id != call.config.corp_id:
        raise Refusal(40013)
    if secret != call.config.secret:
        raise Refusal(40001)
    token, seconds = call.identity.token(call.now)
    return {"access_token": token, "expires_in": seconds}


def get_jsapi_ticket(call: Call) -> Json:
    """The corp's ticket for `config` (doc 90506)."""
    return _ticket(call, "jsapi")


def ticket_get(call: Call) -> Json:
    """The app's ticket for `agentConfig` (doc 90506)."""
    if call.query.get("type") != "agent_config":
        raise Refusal(91040)
    return _ticket(call, "agent_config")


def _ticket(call: Call, kind: str) -> Json:
    ticket, seconds = call.identity.ticket(kind, call.now)
    return {"ticket": ticket, "expires_in": seconds}


def getuserinfo(call: Call) -> Json:
    """Who holds the code: a member's userid, or a customer's openid and external_userid (doc 91023)."""
    kind, name = call.identity.take_code(call.query.get("code", ""), call.now)
    if kind == "member":
        return {"userid": name}
    user = call.world.wechat_users[name]
    answer: Json = {"openid": call.world.make_id("o", user.key, 28)}
    pairs = call.world.pairs_of_customer(user.external_userid)
    if any(pair.state in (PairState.FRIEND, PairState.HALF, PairState.LEFT) for pair in pairs):
        answer["external_userid"] = user.external_userid
    return answer


def getcallbackip(call: Call) -> Json:
    """Where callbacks come from; the sandbox only lives on this machine."""
    return {"ip_list": ["127.0.0.1"]}
