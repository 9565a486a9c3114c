"""Everything we keep about one person (个人信息保护法 第四十五条): one JSON for machines, one page for people."""

import html
import io
import json
import zipfile
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from scrm.db.vault import Vault
from scrm.errors import NotFound
from scrm.privacy import store
from scrm.privacy.holdings import HOLDINGS, Holding
from scrm.privacy.subject import find_subject
from scrm.profiles.store import get_person

# A person with more rows than this in one table gets the newest of them, and is told so.
MOST_ROWS = 20_000


def collect(
    conn: Connection, person_id: int, vault: Vault, *, actor: str, reason: str, now: datetime
) -> dict[str, Any]:
    """All rows by table with private values in clear, and a line in the log of acts; raises NotFound."""
    person = get_person(conn, person_id)
    if person is None:
        raise NotFound(f"没有客户 {person_id}，请检查编号")
    subject = find_subject(conn, person_id)
    tables = {}
    for holding in HOLDINGS:
        rows = _rows(conn, holding, subject, vault)
        if rows:
            tables[holding.table] = {"title": holding.title, "rows": rows}
    counts = {"rows": sum(len(table["rows"]) for table in tables.values())}
    store.note_act(conn, "exported", person_id, actor=actor, reason=reason, facts=counts, now=now)
    return {"person_id": person_id, "exported_at": now.isoformat(), "version": 1, "tables": tables}


def _rows(conn: Connection, holding: Holding, subject: Any, vault: Vault) -> list[dict[str, Any]]:
    table = holding.rows_of
    keys = list(table.primary_key.columns)
    query = select(table).where(holding.whose(table, subject)).order_by(*(key.desc() for key in keys)).limit(MOST_ROWS)
    found = []
    for row in conn.execute(query).mappings():
        values = {name: _plain(value) for name, value in row.items() if name not in holding.hidden}
        for name in holding.sealed:
            values[name.replace("sealed", "clear")] = _opened(str(values.pop(name) or ""), vault)
        found.append(values)
    return found


def _opened(sealed: str, vault: Vault) -> Any:
    if not sealed:
        return ""
    try:
        clear = vault.open(sealed)
    except ValueError:
        return "（密钥已更换，无法还原）"
    try:
        return json.loads(clear) if clear.startswith("{") else clear
    except ValueError:
        return clear


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if not isinstance(value, bytes) else value.hex()


def as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=1)


def as_html(found: dict[str, Any]) -> str:
    """One page without scripts or links to elsewhere, for a person who asks what we know."""
    parts = [
        '<!doctype html><html lang="zh-CN"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width"><title>个人资料副本</title><style>',
        "body{font:15px/1.6 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1f2329}",
        "table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #dee0e3;padding:.3rem .6rem;",
        "text-align:left;vertical-align:top;font-size:13px}th{background:#f5f6f7}h2{margin-top:2rem}</style>",
        f"<h1>个人资料副本</h1><p>客户编号 {found['person_id']}，导出时间 {html.escape(found['exported_at'])}</p>",
    ]
    for table in found["tables"].values():
        names = list(table["rows"][0])
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        parts.append(f"<h2>{html.escape(table['title'])}（{len(table['rows'])}）</h2><table><tr>{head}</tr>")
        parts += [f"<tr>{''.join(f'<td>{_cell(row[name])}</td>' for name in names)}</tr>" for row in table["rows"]]
        parts.append("</table>")
    return "".join([*parts, "</html>"])


def _cell(value: Any) -> str:
    if value is None or value == "":
        return ""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return html.escape(shown)


def as_zip(found: dict[str, Any]) -> bytes:
    """customer-<number>.json and .html in one file."""
    file = io.BytesIO()
    name = f"customer-{found['person_id']}"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.json", as_json(found))
        archive.writestr(f"{name}.html", as_html(found))
    return file.getvalue()
