"""Is there a backup that is not old?"""

from datetime import timedelta

from scrm.backup import daily
from scrm.doctor.findings import Finding, bad, good, unused, warn
from scrm.doctor.look import Look

_OLD = timedelta(hours=36)


async def backup(look: Look) -> Finding:
    settings, now = look.services.settings, look.services.clock.now()
    if daily.hour_of(settings) is None:
        return unused("没有开启每天的备份。", "由别的方式备份就不用管；要开启，在设置里写 backup.at，例如 03:30。")
    newest = daily.newest_of(settings)
    made_at = daily.made_at(settings, newest)
    if newest is None or made_at is None:
        return warn(
            f"{settings.backup.dir} 里还没有备份。",
            "到点会自动备份；想现在就备，到“备份”页点“立即备份”，或运行 scrm backup。",
        )
    told = f"最近一次是 {made_at:%m-%d %H:%M}，{newest.stat().st_size / 1e6:,.1f} MB。"
    if now - made_at > _OLD:
        return bad(told, "看日志里的 backup.failed 写的原因，修好后运行 scrm backup。")
    return good(told)
