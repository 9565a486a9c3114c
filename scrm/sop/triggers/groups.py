"""Customers come into customer groups and leave them."""

from scrm.sop.triggers.trigger import Trigger

_GROUP = {"chat_id": "客户群 ID", "title": "群名", "owner": "群主账号"}

TRIGGERS = (
    Trigger(
        "group.joined",
        "客户加入了客户群",
        {**_GROUP, "state": "群活码的 state", "join_scene": "入群方式"},
        ("batch", "person+year"),
    ),
    Trigger("group.left", "客户离开了客户群", {**_GROUP, "is_removed": "被移出（true）"}, ("person+year",)),
)
