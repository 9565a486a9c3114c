"""The demo shop's library: what the beauty shop's members say every day, with pictures to send."""

import io
from datetime import timedelta
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
from sqlalchemy import Connection

from scrm.content.library import keep, store
from scrm.content.library.keep import Placed
from scrm.content.library.said import Said
from scrm.content.media import library as media
from scrm.services import Services

BY = "chenlan"
# file name: two colours of the ground, and what stands on it
PICTURES = {
    "防晒用量图.png": ("#ffd9a8", "#ff9f68", "tube"),
    "面膜使用步骤.png": ("#bfe3d0", "#6bb38f", "mask"),
    "保湿霜质地.png": ("#cfd8ff", "#8aa0f0", "jar"),
    "会员日海报.png": ("#ffc4d0", "#f0708c", "tag"),
}
_SHOP = "https://shop.example.com"


def _link(title: str, path: str, desc: str, picture: str) -> dict[str, Any]:
    return {"link": {"title": title, "url": f"{_SHOP}/{path}", "desc": desc, "picture": picture}}


# folder, folder in it: (key, title, text, attachments)
SCRIPTS: dict[tuple[str, str], list[tuple[str, str, str, list[dict[str, Any]]]]] = {
    ("售前", "新客"): [
        ("hello", "新客打招呼", "{{ 客户昵称 }}你好呀～我是{{ 店铺名 }}的{{ 员工姓名 }}，护肤上有任何问题都可以直接问我 😊", []),
        ("skin", "问肤质", "想给你推荐合适的，先问两个小问题：平时是偏干、偏油还是混合？换季会泛红吗？", []),
        ("", "新人福利", "新朋友首单有一张专属券：{{ 券名 }}，{{ 券门槛 }}，{{ 券到期 }} 前都能用，点这里领 {{ 券链接 }}", []),
    ],
    ("售前", "选品"): [
        ("", "防晒怎么选", "通勤选 SPF30 的清透款就够，户外一整天再上 SPF50。油皮用乳液质地，不闷不搓泥。", [{"image": "防晒用量图.png"}]),
        ("", "敏感肌推荐", "泛红期先做减法：洁面 + 积雪草面膜 + 保湿霜，两周内别叠加酸类和美白。", [_link("积雪草修护面膜", "goods/1203", "换季泛红的时候用它", "面膜使用步骤.png")]),
        ("", "控油洁面对比", "男士控油款清洁力强一些，每天一次；氨基酸款更温和，早晚都能用。换季建议先用氨基酸款。", []),
        ("", "保湿霜质地", "滋润型给干皮，清爽型给混合皮。给你看一下质地～", [{"image": "保湿霜质地.png"}]),
    ],
    ("售中", "催付"): [
        ("unpaid", "订单没付成功", "{{ 客户昵称 }}，看到订单还没付成功，是地址、规格还是优惠有疑问？我帮你看看。", []),
        ("", "可以换规格", "已经下单也能换规格，付款前告诉我就行，不用重新拍。", []),
    ],
    ("售中", "物流"): [
        ("shipped", "已发货", "你的{{ 最近商品 }}已经发出啦，{{ 快递公司 }}，单号尾号 {{ 快递单号尾号 }}，一般两三天到。", []),
        ("", "物流没更新", "抱歉让你久等了。我这边已经催了{{ 快递公司 }}，今天下班前给你准信，不会让你一直等。", []),
        ("", "改地址", "还没出库可以改。把新的收件人、电话和地址发我，我马上改好回你。", []),
    ],
    ("售后", "使用指导"): [
        ("usage", "防晒用法", "出门前 15 分钟涂，一元硬币大小刚好全脸；出汗或两小时后记得补一次。", [{"image": "防晒用量图.png"}]),
        ("", "面膜使用步骤", "洁面后敷 15 分钟，取下轻拍吸收，不用再洗。一周两到三次就够，天天敷反而会闷。", [{"image": "面膜使用步骤.png"}]),
        ("", "刚开始有点搓泥", "别担心，多半是前面的精华还没吸收。等两三分钟再上防晒，轻拍不要来回抹。", []),
    ],
    ("售后", "退换"): [
        ("return", "怎么退货", "签收 7 天内、包装完好都能退，运费我们出。把订单号发我，马上帮你办。", []),
        ("", "过敏先停用", "先停用，用清水洗净，这两天只用保湿。拍张照片给我看看，需要的话我们全额退款。", []),
        ("", "退款多久到账", "退款已经办好了，原路退回，一般 1 到 3 个工作日到账，到了跟我说一声～", []),
    ],
    ("活动", ""): [
        ("member-day", "会员日", "{{ 客户昵称 }}，本月会员日是 28 号，会员全场 88 折，积分双倍。想要什么提前跟我说，给你留着。", [_link("晴屿会员日", "activity/member-day", "每月 28 日，会员全场 88 折", "会员日海报.png")]),
        ("", "邀请真实评价", "用了一阵子感觉怎么样？好的不好的都想听，方便的话在订单里写两句真实感受就行，对其他姐妹很有帮助。", []),
        ("", "旅行装小程序", "旅行装在小程序里，点开就能选～", [{"miniprogram": {"appid": "wx0123456789abcdef", "page": "pages/goods/travel.html?id=77", "title": "旅行装三件套", "picture": "保湿霜质地.png"}}]),
    ],
}  # fmt: skip
MINE = (
    ("早安问候", "早～今天上海有点晒，出门记得涂防晒呀 ☀️"),
    ("稍等我查一下", "稍等我一分钟，帮你查一下库存就回来～"),
)


async def furnish_library(services: Services) -> None:
    """Pictures, folders, scripts, and a few that Lina has used."""
    for name, (light, dark, thing) in PICTURES.items():
        await media.add_original(services, name, _draw(light, dark, thing), added_by=BY)
    await services.db.write(_furnish, services)


def _furnish(conn: Connection, services: Services) -> None:
    now, tops, made = services.clock.now(), {}, {}
    for (top, inside), scripts in SCRIPTS.items():
        if top not in tops:
            tops[top] = keep.save_folder(conn, None, top, None)
        folder = keep.save_folder(conn, None, inside, tops[top]) if inside else tops[top]
        for key, title, text, attachments in scripts:
            one = Said(title, text, tuple(attachments))
            saved = keep.save(conn, None, one, Placed(folder, key), BY, publish=True, now=now)
            made[title] = saved.script_id
    for title, text in MINE:
        keep.save_mine(conn, "lina", None, Said(title, text), now=now)
    for number, (title, times) in enumerate((("已发货", 23), ("防晒用法", 17), ("问肤质", 9), ("怎么退货", 4))):
        for use in range(times):
            at = now - timedelta(days=number, hours=use)
            store.note_use(
                conn, f"demo:{title}:{use}", made[title], version=1, userid="lina", is_edited=use % 5 == 0, now=at
            )
    store.like(conn, "lina", made["敏感肌推荐"], now)


def _draw(light: str, dark: str, thing: str) -> bytes:
    """A quiet picture of a product, so that the demo carries no photographs."""
    picture = Image.new("RGB", (520, 416), light)
    ground = ImageDraw.Draw(picture)
    ground.ellipse((260, 160, 720, 620), fill=dark)
    picture = picture.filter(ImageFilter.GaussianBlur(60))
    front = ImageDraw.Draw(picture)
    shapes = {
        "tube": [((220, 90, 300, 300), 26), ((228, 300, 292, 336), 8)],
        "mask": [((190, 90, 330, 320), 60)],
        "jar": [((170, 190, 350, 320), 30), ((180, 150, 340, 190), 12)],
        "tag": [((160, 120, 360, 300), 24)],
    }
    for box, radius in shapes[thing]:
        front.rounded_rectangle(box, radius, fill="#ffffff")
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()
