"""The coupon batches that a playbook brings along."""

import re
from decimal import Decimal

from scrm.sop import timing
from scrm.sop.schema import CouponSpec
from scrm.sop.text.reading import KEY, Reader, shown
from scrm.sop.text.source import Node

COUPON_KEYS = (
    "title",
    "kind",
    "benefit",
    "amount",
    "percent_off",
    "threshold",
    "valid",
    "url",
    "rules",
    "budget",
)


class CouponsReader(Reader):
    """Reads coupons."""

    def coupons(self, node: Node) -> tuple[CouponSpec, ...]:
        if not isinstance(node.value, dict) or not node.value:
            self.note(node.line, "coupons 要按“券的编号: {title: 名称, amount: 面额, …}”来写")
            return ()
        return tuple(self.coupon(key, part, node.lines[key]) for key, part in node.value.items())

    def coupon(self, key: str, node: Node, line: int) -> CouponSpec:
        parts = self.mapping(node, f"券“{key}”", COUPON_KEYS)
        if not KEY.fullmatch(key):
            self.note(line, f"券的编号只能用小写字母、数字、- 和 _，写的是“{key}”")
        if "title" not in parts:
            self.note(line, f"券“{key}”缺少 title（客户看到的名称）")
        benefit = "percent" if "percent_off" in parts else "amount"
        if "benefit" in parts:
            benefit = self.choice(parts["benefit"], "benefit", ("amount", "percent", "gift", "freight"))
        face = self.fen(parts["amount"], f"券“{key}”的 amount") if "amount" in parts else 0
        percent = parts["percent_off"].value if "percent_off" in parts else 0
        if benefit == "amount" and face <= 0:
            self.note(line, f"券“{key}”缺少 amount（面额，元），要大于 0")
        if benefit == "percent" and (
            isinstance(percent, bool) or not isinstance(percent, int) or not 0 < percent < 100
        ):
            self.note(line, f"券“{key}”的 percent_off 是减去的百分比，1 到 99（15 表示 8.5 折）")
            percent = 0
        spec = CouponSpec(
            key=key,
            title=self.text(parts["title"], f"券“{key}”的 title", most=40) if "title" in parts else "",
            kind=self.choice(parts["kind"], "kind", ("generated", "pool", "link")) if "kind" in parts else "generated",
            benefit=benefit,
            face_fen=face,
            percent_off=percent,
            threshold_fen=self.fen(parts["threshold"], f"券“{key}”的 threshold") if "threshold" in parts else 0,
            valid=self.read(parts["valid"], f"券“{key}”的 valid", timing.parse_duration) if "valid" in parts else None,
            url=self.text(parts["url"], f"券“{key}”的 url", most=500) if "url" in parts else "",
            rules=self.text(parts["rules"], f"券“{key}”的 rules", most=1000) if "rules" in parts else "",
            budget=self.budget(parts["budget"], key) if "budget" in parts else None,
        )
        self.check_coupon(spec, line)
        return spec

    def check_coupon(self, spec: CouponSpec, line: int) -> None:
        if spec.benefit == "amount" and 0 < spec.threshold_fen < spec.face_fen:
            self.note(line, f"券“{spec.key}”的门槛比面额还低，请检查 amount 和 threshold")
        if spec.kind == "link" and not re.match(r"https?://", spec.url):
            self.note(line, f"券“{spec.key}”是 link，要写 url（http 或 https 开头）")

    def budget(self, node: Node, key: str) -> int | None:
        if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < 1:
            self.note(node.line, f"券“{key}”的 budget 是最多发多少张，要写 1 以上的整数，写的是“{shown(node)}”")
            return None
        return node.value

    def fen(self, node: Node, what: str) -> int:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not 0 <= node.value < 10**7:
            self.note(node.line, f"{what} 要写金额（元），例如 30 或 9.9，写的是“{shown(node)}”")
            return 0
        fen = Decimal(str(node.value)) * 100
        if fen != int(fen):
            self.note(node.line, f"{what} 最多两位小数，写的是“{shown(node)}”")
        return int(fen)
