"""The app itself, as its own secret may see it."""

from urllib.parse import urlsplit

from ..call import Call
from ..errors import Refusal
from ..world import Json


def agent_get(call: Call) -> Json:
    """Name, visible range and trusted domain of the app (doc 90227); 301002 for another app's id."""
    agent_id = call.query.get("agentid", "")
    if not agent_id.isdigit():
        raise Refusal(40056)
    if int(agent_id) != call.config.agent_id:
        raise Refusal(301002)
    return {
        "agentid": call.config.agent_id,
        "name": call.config.app_name,
        "square_logo_url": "",
        "description": "",
        "allow_userinfos": {"user": [{"userid": member.userid} for member in call.world.members_in_range()]},
        "allow_partys": {"partyid": []},
        "allow_tags": {"tagid": []},
        "close": 0,
        "redirect_domain": urlsplit(call.config.sidebar_url).netloc,
        "report_location_flag": 0,
        "isreportenter": 0,
        "home_url": "",
        "customized_publish_status": 1,
    }
