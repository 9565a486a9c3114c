"""The callback as a competent team builds it with the usual parts: Flask, wechatpy, SQLAlchemy's ORM, gunicorn.

One row per callback under a unique key, committed before the answer; SQLite in WAL with synchronous=FULL, or
PostgreSQL: the same promise as the product's, kept the ordinary way.
"""

import hashlib
import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, request
from sqlalchemy import DateTime, String, Text, create_engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from wechatpy.enterprise import parse_message
from wechatpy.enterprise.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException

app = Flask(__name__)
crypto = WeChatCrypto(os.environ["WECOM_TOKEN"], os.environ["WECOM_AES_KEY"], os.environ["WECOM_CORP_ID"])
engine = create_engine(os.environ["DATABASE_URL"])


class Base(DeclarativeBase):
    """This application's tables."""


class CallbackEvent(Base):
    """A callback as it came."""

    __tablename__ = "callback_event"

    id: Mapped[int] = mapped_column(primary_key=True)
    dedupe_key: Mapped[str] = mapped_column(String(64), unique=True)
    event: Mapped[str] = mapped_column(String(64))
    change_type: Mapped[str] = mapped_column(String(64))
    external_userid: Mapped[str] = mapped_column(String(64), index=True)
    state: Mapped[str] = mapped_column(String(16), default="new")
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


if engine.dialect.name == "sqlite":

    @event.listens_for(engine, "connect")
    def on_connect(dbapi: Any, record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            dbapi.execute(f"PRAGMA {pragma}")


@app.post("/callbacks/wecom")
def receive() -> Response:
    """200 once the row is committed; a repeated callback is a 200 too."""
    signed = (request.args[name] for name in ("msg_signature", "timestamp", "nonce"))
    try:
        xml = crypto.decrypt_message(request.get_data(), *signed)
    except InvalidSignatureException:
        return Response(status=403)
    message = parse_message(xml)
    fields = message._data
    row = CallbackEvent(
        dedupe_key=hashlib.sha256(xml.encode()).hexdigest(),
        event=fields.get("Event", ""),
        change_type=fields.get("ChangeType", ""),
        external_userid=fields.get("ExternalUserID", ""),
        body=xml,
        received_at=datetime.now(UTC),
    )
    with Session(engine) as session:
        session.add(row)
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
    return Response("success")


@app.get("/healthz")
def healthz() -> Response:
    return Response("ok")


if __name__ == "__main__":
    Base.metadata.create_all(engine)
