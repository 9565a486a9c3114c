"""Do the systems that we tell of events still listen?"""

from datetime import timedelta

from scrm.doctor.findings import Finding, bad, good, warn
from scrm.doctor.look import Look
from scrm.webhooks import store

# A short failure mends itself.
_LONG = timedelta(minutes=30)


async def webhooks(look: Look) -> Finding:
    db, now = look.services.db, look.services.clock.now()
    rows = await db.read(store.list_webhooks)
    if not rows:
        return good("没有设置事件推送。")
    waiting = await db.read(store.count_waiting)
    paused = [row for row in rows if row.state == "paused" and waiting.get(row.id)]
    failing = [row for row in rows if row.state == "on" and row.failing_since and now - row.failing_since > _LONG]
    if paused:
        names = "、".join(f"“{row.title}”（{waiting[row.id]:,} 条在等）" for row in paused)
        return bad(
            f"{names}已暂停：{paused[0].paused_why}。", "修好对方系统后，在后台「事件推送」里恢复，会按顺序补发。"
        )
    if failing:
        names = "、".join(f"“{row.title}”" for row in failing)
        return warn(f"{names}推送失败，正在自动重试。", "在后台「事件推送」里点“发送测试”，看对方怎么回答。")
    return good(f"{len(rows)} 个推送，都正常。")
