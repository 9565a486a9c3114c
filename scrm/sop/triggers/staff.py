"""What members do: they leave, they promise; and what other systems tell of lives, forms and goods."""

from scrm.sop.triggers.trigger import Trigger

_LIVE = {"live_id": "直播编号", "title": "直播名称"}

TRIGGERS = (
    Trigger("staff.left", "客户的员工离职了", {"userid": "离职的员工账号"}, ("person+year",)),
    Trigger(
        "staff.promised", "员工答应了客户一件事", {"kind": "答应的事", "userid": "员工账号"}, ("case", "person+year")
    ),
    Trigger("staff.kept", "员工兑现了答应客户的事", {"userid": "员工账号"}, ("case", "person+year")),
    Trigger("staff.cancelled", "员工取消了答应客户的事", {"userid": "员工账号"}, ("case", "person+year")),
    Trigger("note.added", "员工写了跟进记录", {"kind": "跟进方式", "userid": "员工账号"}, ("case", "person+year")),
    Trigger(
        "stage.changed", "客户阶段变动", {"to": "新阶段", "from": "原来的阶段", "userid": "员工账号"}, ("person+year",)
    ),
    Trigger("live.booked", "客户预约了直播", _LIVE, ("live", "person+year")),
    Trigger("live.moved", "客户预约的直播改了时间", _LIVE, ("live", "person+year")),
    Trigger("form.submitted", "客户提交了表单", {"form": "表单编号"}, ("case", "batch", "person+year")),
    Trigger("stock.available", "客户等的商品到货了", {"sku": "商品编码"}, ("product", "sku_family", "person+year")),
)
