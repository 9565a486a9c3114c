"""This installation: database, work, playbooks, the address people reach it by."""

from urllib.parse import urlsplit

from scrm import operations
from scrm.db.away import why_away
from scrm.db.migrate import complaint, current_revision
from scrm.doctor import store
from scrm.doctor.findings import Finding, bad, good, warn
from scrm.doctor.look import Look


async def database(look: Look) -> Finding:
    try:
        revision = await look.services.db.read(current_revision)
    except Exception as error:
        return bad(
            f"数据库打不开（{why_away(error) or type(error).__name__}）。", "启动数据库，检查设置里的 database.url。"
        )
    if wrong := complaint(revision):
        finding, mend = wrong.split("：", 1)
        return bad(f"{finding}。", f"{mend}。")
    return good()


async def queue(look: Look) -> Finding:
    checks = await operations.check(look.services)
    found = checks.get("queue")
    if found is None:
        return bad("数据库打不开，看不到任务队列。", "先修好数据库。")
    if not found["ok"]:
        return bad(f"最早的任务已经等了 {found['oldest_seconds']} 秒。", "确认 scrm serve 或 scrm worker 正在运行。")
    if dead := await look.services.db.read(store.count_dead):
        return warn(f"有 {dead} 个任务停止了重试。", "管理后台 → 任务队列，按每一行写的原因修好后点重试。")
    return good()


async def playbooks(look: Look) -> Finding:
    directory = look.services.settings.playbooks.dir
    return good() if directory.is_dir() else bad(f"找不到剧本目录 {directory}。", "检查设置里的 playbooks.dir。")


async def public_url(look: Look) -> Finding:
    url = look.services.settings.server.public_url
    host = urlsplit(url).hostname or ""
    if url.startswith("https://"):
        return good(url)
    if host in ("127.0.0.1", "localhost", "::1"):
        return warn(
            f"外网地址是 {url}，只有这台机器打得开。", "正式使用时把 server.public_url 设为 https:// 开头的域名。"
        )
    return bad(
        f"外网地址 {url} 不是 https://，企业微信里打不开侧边栏。",
        "给域名配好证书，把 server.public_url 改为 https://。",
    )
