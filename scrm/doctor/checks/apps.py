"""The other apps of the corp: each one's secret, whether it is on, and whether its callbacks reach us."""

from scrm.doctor.checks import callbacks
from scrm.doctor.findings import Finding, State, bad, good
from scrm.doctor.look import CALL_SECONDS, Look
from scrm.settings import AppSettings
from scrm.wecom.errors import WeComError, WeComUnreachable
from scrm.wecom.pacing import within


async def other_apps(look: Look) -> Finding:
    """The first trouble among them, told with the name of its section."""
    apps = look.services.settings.apps
    if not apps:
        return good("没有接入其他应用")
    for name, app in apps.items():
        finding = await _app(look, name, app)
        if finding.state is not State.GOOD:
            return Finding(finding.state, f"[apps.{name}]：{finding.found}", finding.mend, finding.errcode)
    return good("、".join(apps))


async def _app(look: Look, name: str, app: AppSettings) -> Finding:
    if app.secret.get_secret_value() and (finding := await _may_call(look, app)).state is not State.GOOD:
        return finding
    return await callbacks.hears(look, name) if app.encoding_aes_key.get_secret_value() else good()


async def _may_call(look: Look, app: AppSettings) -> Finding:
    """Its errors are its own: they keep nothing of the app of [wecom] from being looked at."""
    calls = look.services.wecom.as_app(app.agent_id, app.secret.get_secret_value())
    try:
        with within(CALL_SECONDS):
            if app.agent_id is None:
                await calls.post("user/list_id", {"limit": 1})
                return good()
            agent = await calls.get("agent/get", agentid=str(app.agent_id))
    except WeComUnreachable:
        raise
    except WeComError as error:
        cause, _, mend = error.text.partition("。")
        return bad(f"{cause}。", mend or "核对这一节的 agent_id 和 secret。")
    return bad("应用已被停用。", "企微管理后台 → 应用管理 → 这个应用 → 启用应用。") if agent.get("close") else good()
