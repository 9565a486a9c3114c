"""Two ERPs and a shop system on loopback, written from the documents alone: signatures, pages, windows, tokens."""

import hashlib
import json
import subprocess
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

Json = dict[str, Any]
CHINA = ZoneInfo("Asia/Shanghai")


def md5(text: str) -> str:
    """By another implementation than ours."""
    done = subprocess.run(["openssl", "md5", "-r"], input=text.encode(), capture_output=True, check=True)
    return done.stdout.decode().split()[0].strip("*")


def local(at: datetime) -> str:
    return at.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


class FakeJushuitan:
    """`records` by path; each has `modified` and, for orders, `ts`."""

    SECRET = "jst_secret"

    def __init__(self) -> None:
        self.records: dict[str, list[Json]] = {}
        self.calls: list[tuple[str, Json]] = []
        self.token, self.refresh = "tok", "ref"
        self.failures = 0  # so many answers are 502
        self.too_often = 0  # so many complain of the pace
        self.app = web.Application()
        self.app.router.add_post("/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        path = request.path
        if self.failures:
            self.failures -= 1
            return web.Response(status=502)
        if self.too_often:
            self.too_often -= 1
            return web.json_response({"code": 199, "msg": "调用过于频繁，请稍后再试"})
        signed = self.SECRET + "".join(name + form[name] for name in sorted(form) if name != "sign")
        if form.get("sign") != hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest():
            return web.json_response({"code": 10, "msg": "签名错误"})
        if path.endswith("refreshToken"):
            if form["refresh_token"] != self.refresh:
                return web.json_response({"code": 100, "msg": "refresh_token 无效"})
            self.token, self.refresh = self.token + "2", self.refresh + "2"
            data = {"access_token": self.token, "refresh_token": self.refresh, "expires_in": 15552000}
            return web.json_response({"code": 0, "data": data})
        if form["access_token"] != self.token:
            return web.json_response({"code": 100, "msg": "access_token 无效"})
        biz = json.loads(form["biz"])
        self.calls.append((path, biz))
        found = [dict(record) for record in self.records.get(path, [])]
        if "so_ids" in biz:
            if len(biz["so_ids"]) > 20:
                return web.json_response({"code": 140, "msg": "so_ids 最多 20 个"})
            found = [r for r in found if r["so_id"] in biz["so_ids"]]
        elif "start_ts" in biz:
            found = sorted((r for r in found if r["ts"] > biz["start_ts"]), key=lambda r: r["ts"])
        else:
            begin, end = (datetime.fromisoformat(biz[name]) for name in ("modified_begin", "modified_end"))
            if end - begin > timedelta(days=7):
                return web.json_response({"code": 140, "msg": "时间范围超过 7 天"})
            found = [r for r in found if biz["modified_begin"] <= r["modified"] <= biz["modified_end"]]
            found.sort(key=lambda r: r["modified"])
        size, index = int(biz["page_size"]), int(biz["page_index"])
        rows = found[(index - 1) * size : index * size]
        data = {"orders": rows, "has_next": index * size < len(found), "page_index": index, "data_count": len(found)}
        if biz.get("is_get_total") is False:
            del data["data_count"]
        return web.json_response({"code": 0, "msg": "", "data": data})


class FakeWangdiantong:
    """Trades in windows of an hour, pages from 0, the total on page 0 alone."""

    SECRET = "wdt_secret"

    def __init__(self) -> None:
        self.trades: list[Json] = []
        self.pages: list[tuple[str, int]] = []
        self.app = web.Application()
        self.app.router.add_post("/openapi2/{name}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        given = form.pop("sign")
        parts = [f"{len(k):02d}-{k}:{len(form[k]):04d}-{form[k]}" for k in sorted(form)]
        if given != md5(";".join(parts) + self.SECRET):
            return web.json_response({"code": 1001, "message": "签名错误"})
        if "src_tid" in form:
            self.pages.append((form["src_tid"], 0))
            return web.json_response(
                {"code": 0, "trades": [t for t in self.trades if t["src_tids"] == form["src_tid"]]}
            )
        begin, end = datetime.fromisoformat(form["start_time"]), datetime.fromisoformat(form["end_time"])
        if end - begin > timedelta(minutes=60):
            return web.json_response({"code": 1002, "message": "时间跨度超过 60 分钟"})
        rows = [t for t in self.trades if form["start_time"] <= t["modified"] <= form["end_time"]]
        rows = rows if request.match_info["name"] == "trade_query.php" else []
        size, number = int(form["page_size"]), int(form["page_no"])
        self.pages.append((request.match_info["name"], number))
        answer: Json = {"code": 0, "trades": rows[number * size : (number + 1) * size]}
        if number == 0:
            answer["total_count"] = str(len(rows))
        return web.json_response(answer)


class FakeShop:
    """A list of canonical orders behind a cursor, for whoever has the token."""

    def __init__(self) -> None:
        self.orders: list[Json] = []
        self.is_down = self.goes_round = False
        self.app = web.Application()
        self.app.router.add_get("/orders", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer shop-token":
            return web.json_response({}, status=401)
        if self.is_down:
            return web.json_response({}, status=503)
        begin, end = (datetime.fromisoformat(request.query[name]) for name in ("updated_from", "updated_to"))
        found = [o for o in self.orders if begin <= datetime.fromisoformat(o["platform_updated_at"]) <= end]
        start, size = int(request.query.get("cursor", 0)), int(request.query["page_size"])
        answer: Json = {"orders": found[start : start + size], "has_more": start + size < len(found)}
        if self.goes_round and found:
            answer |= {"has_more": True, "next_cursor": str(size - start)}
        elif answer["has_more"]:
            answer["next_cursor"] = str(start + size)
        return web.json_response(answer)
