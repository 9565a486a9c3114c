"""Empty tables to fill in, with the columns that an import understands today."""

import csv
import io

import xlsxwriter  # type: ignore[import-untyped]
from sqlalchemy import Connection

from scrm.commerce.connectors.mapped import FIELDS
from scrm.commerce.own_fields import fillable
from scrm.imports.customers import COLUMNS
from scrm.profiles.own_fields import fields as custom_fields

_CUSTOMERS = {
    "external_userid": "企业微信客户ID",
    "unionid": "unionid",
    "phone": "手机号",
    "name": "姓名",
    "tags": "标签",
    "userid": "员工账号",
}


def headings(conn: Connection, kind: str) -> list[str]:
    """For `orders` or `customers`; the shop's own fields of orders among the former, of persons and relations among the latter."""
    if kind == "orders":
        titles = [
            {"unionid": "unionid", "external_userid": "external_userid"}.get(name, title)
            for name, title in FIELDS.items()
        ]
        return list(dict.fromkeys(titles + [one.title for one in fillable(conn).fields]))
    own = [
        field.title
        for entity in ("person", "relation")
        for field in custom_fields.list_fields(conn, entity)
        if not field.formula
    ]
    return [_CUSTOMERS[name] for name in COLUMNS] + list(dict.fromkeys(own))


def table(titles: list[str], suffix: str) -> bytes:
    """`.xlsx` with every column as text, so that long numbers stay whole, or `.csv` with a byte order mark."""
    if suffix == ".csv":
        text = io.StringIO()
        csv.writer(text).writerow(titles)
        return text.getvalue().encode("utf-8-sig")
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet("导入")
        sheet.set_column(0, len(titles) - 1, 18, book.add_format({"num_format": "@"}))
        sheet.write_row(0, 0, titles, book.add_format({"bold": True, "num_format": "@"}))
        sheet.freeze_panes(1, 0)
    return out.getvalue()
