"""GET /api/openapi.json: what other programs may call, written beside the handlers it describes."""

from typing import Any

import msgspec
from aiohttp import web

from scrm import __version__
from scrm.api.fields import Wanted
from scrm.api.openapi_parts import ERROR, completed, operation
from scrm.commerce.canonical import Order

routes = web.RouteTableDef()

_REF = "#/components/schemas/{name}"


@routes.get("/api/openapi.json")
async def openapi(request: web.Request) -> web.Response:
    """OpenAPI 3.1; needs no key."""
    return web.json_response(describe())


def describe() -> dict[str, Any]:
    (order, field), schemas = msgspec.json.schema_components([Order, Wanted], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SCRM",
            "version": __version__,
            "description": "时间为带时区的 ISO 8601，金额为整数分。写法和限额见 docs/api.md。",
        },
        "security": [{"key": []}],
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Error": ERROR},
        },
        "paths": completed(
            {
                "/api/openapi.json": {
                    "get": {**operation("接口说明（OpenAPI 3.1），不需要密钥", answer="本文"), "security": []}
                },
                "/api/v1/orders": {
                    "post": operation(
                        "批量写入订单，幂等；旧状态不会覆盖新状态",
                        body={"type": "array", "maxItems": 1000, "items": order},
                        answer="每条订单的结果：created、updated、unchanged、stale 或 rejected（附原因）",
                    ),
                    "get": operation("按平台与单号查订单", parameters=["channel", "order_no"], answer="订单列表"),
                },
                "/api/v1/shipments": {
                    "post": operation(
                        "仓库、快递推送物流状态：已发货、运输中、派送中、已签收、退回、异常；可乱序、可重复",
                        body={"type": "array", "maxItems": 1000, "items": {"type": "object"}},
                        answer="每项的结果：updated、unchanged、unknown（没有这个单号）或 rejected（附原因）",
                    )
                },
                "/api/v1/customers": {
                    "get": operation(
                        "按 external_userid 查客户：身份、好友关系、标签、累计",
                        parameters=["external_userid"],
                        answer="客户",
                        errors=(404,),
                    )
                },
                "/api/v1/customers/{id}": {"get": operation("按编号查客户", path="id", answer="客户", errors=(404,))},
                "/api/v1/customers/{id}/timeline": {
                    "get": operation(
                        "客户动态，新的在前；kind 是类别或事件名，before 用上一页的 next",
                        path="id",
                        parameters=["kind", "before", "limit"],
                        answer="动态列表：每条有中文说明 text、actor、source、facts",
                    )
                },
                **_tracking(),
                **_webhooks(),
                "/api/v1/playbooks": {"get": operation("剧本的状态和当前版本", answer="剧本列表")},
                "/api/v1/playbooks/{key}/results": {
                    "get": operation(
                        "剧本的效果：每一步、每位员工、目标、末次触达，以及和对照组比较的增量",
                        path="key",
                        parameters=["since", "until"],
                        answer="效果；对照组不足 200 位时没有增量，missing_persons 是还差的人数",
                        errors=(404,),
                    )
                },
                "/api/v1/customers/{id}/why": {
                    "get": operation(
                        "这位客户为什么在或不在某个剧本里，下一步是什么，被什么挡住",
                        path="id",
                        parameters=["playbook"],
                        answer="原因：运行、每一步的检查、最近一次没有进入、下一步",
                        errors=(404,),
                    )
                },
                "/api/v1/merges": {
                    "get": operation(
                        "合并记录，新的在前", parameters=["person_id", "before", "limit"], answer="合并记录"
                    ),
                    "post": operation(
                        "把一位客户并入另一位",
                        body={"type": "object", "required": ["kept", "gone"]},
                        answer="合并记录的编号",
                        errors=(404, 409),
                    ),
                },
                "/api/v1/merges/{id}/undo": {
                    "post": operation("撤销一次合并", path="id", answer="两位客户的编号", errors=(404, 409))
                },
                **_fields(field),
                **_privacy(),
                "/api/v1/group_chats": {
                    "get": operation(
                        "客户群，新的在前", parameters=["owner", "tag", "state", "before", "limit"], answer="客户群列表"
                    )
                },
                "/api/v1/group_chats/{chat_id}": {
                    "get": operation("一个客户群和群里的人", path="chat_id", answer="客户群", errors=(404,))
                },
                "/api/v1/sends": {
                    "get": operation(
                        "发送账本：欢迎语、提醒、一键发送", parameters=["external_userid"], answer="发送列表"
                    )
                },
                "/api/v1/tasks": {
                    "get": operation(
                        "员工待办",
                        parameters=["userid", "external_userid", "state", "before", "limit"],
                        answer="待办列表",
                    )
                },
                "/api/v1/playbooks/{key}/start": {
                    "post": operation(
                        "为一位客户手动开始一个 SOP（触发事件是 manual.started 的）；同一 request_id 只开始一次",
                        path="key",
                        body={"type": "object", "required": ["person"]},
                        answer="enrolment_id 和说明",
                        status=201,
                        errors=(404, 409),
                    )
                },
                "/api/v1/coupons/issue": {
                    "post": operation(
                        "给一位客户发一张券；同一原因总是同一张",
                        body={"type": "object", "required": ["batch", "reason"]},
                        answer="券和它的页面",
                        errors=(404, 409),
                    )
                },
                "/api/v1/coupons/{code}": {"get": operation("按券码查券", path="code", answer="券", errors=(404,))},
                "/api/v1/coupons/{code}/void": {
                    "post": operation("作废一张没有用过的券", path="code", answer="券", errors=(404, 409))
                },
                "/api/v1/coupon_batches": {
                    "get": operation("券批次和它们的数据", answer="批次列表"),
                    "post": operation(
                        "新建或修改券批次",
                        body={"type": "object", "required": ["key", "title"]},
                        answer="批次",
                        errors=(409,),
                    ),
                },
                "/api/v1/customers/{id}/points": {
                    "get": operation(
                        "积分、成长值、等级和积分流水",
                        path="id",
                        parameters=["before", "limit"],
                        answer="积分",
                        errors=(404,),
                    ),
                    "post": operation(
                        "增加或扣减积分，按 business_key 幂等",
                        path="id",
                        body={"type": "object", "required": ["business_key", "points"]},
                        answer="这笔流水",
                        errors=(404, 409),
                    ),
                },
                "/api/v1/coupons/redeem": {
                    "post": operation(
                        "核销一张券；第二次返回 409 和第一次核销的详情",
                        body={
                            "type": "object",
                            "required": ["code"],
                            "properties": {
                                "code": {"type": "string"},
                                "order_no": {"type": "string"},
                                "store": {"type": "string"},
                            },
                        },
                        answer="核销结果",
                        errors=(404, 409, 410),
                    )
                },
            }
        ),
    }


def _privacy() -> dict[str, Any]:
    """Only for keys made with --sees-private, except the opt-out."""
    flags = {
        "type": "object",
        "description": "{退订项: true 或 false}；没写的不变：all、promo、mass、chat、birthday、live",
    }
    return {
        "/api/v1/customers/{id}/private": {
            "get": operation(
                "客户的手机号与收货人明文；每次都会留下记录",
                path="id",
                parameters=["reason"],
                answer="明文",
                errors=(403, 404),
            )
        },
        "/api/v1/customers/{id}/export": {
            "get": operation(
                "客户的全部资料", path="id", parameters=["reason"], answer="按表列出的资料", errors=(403, 404)
            )
        },
        "/api/v1/customers/{id}/erase": {
            "post": operation(
                "删除客户资料；订单金额保留，不再对应任何人",
                path="id",
                body={"type": "object", "required": ["confirm"], "properties": {"confirm": {"type": "integer"}}},
                answer="处理的记录数",
                errors=(403, 404),
            )
        },
        "/api/v1/customers/{id}/optout": {
            "put": operation("修改客户的退订项", path="id", body=flags, answer="生效的退订项", errors=(404,))
        },
    }


def _fields(wanted: dict[str, Any]) -> dict[str, Any]:
    values = {"type": "object", "description": "{字段标识: 值}；金额为整数分，或文字的元；null 清空"}
    answer = "各字段的值；手机号打码"

    def of_owner(path: str) -> dict[str, Any]:
        return {
            "get": operation("自定义字段的值", path=path, answer=answer, errors=(404,)),
            "patch": operation("修改自定义字段的值", path=path, body=values, answer=answer, errors=(404, 409)),
        }

    return {
        "/api/v1/fields": {
            "get": operation("自定义字段，按顺序", parameters=["entity"], answer="字段列表"),
            "post": operation("新建自定义字段", body=wanted, answer="新字段", errors=(409,), status=201),
        },
        "/api/v1/fields/{entity}/{key}": {
            "put": operation("修改自定义字段", path="entity key", body=wanted, answer="修改后的字段", errors=(404,)),
            "delete": operation(
                "停用自定义字段，值和历史保留", path="entity key", answer="没有内容", errors=(404,), status=204
            ),
        },
        "/api/v1/customers/{id}/fields": of_owner("id"),
        "/api/v1/orders/{id}/fields": of_owner("id"),
        "/api/v1/relations/{userid}/{external_userid}/fields": of_owner("userid external_userid"),
    }


def _tracking() -> dict[str, Any]:
    text, listed = {"type": "string"}, {"type": "array", "items": {"type": "object"}}
    event = {
        "type": "object",
        "required": ["name", "person"],
        "properties": {
            "name": {"type": "string", "pattern": "^custom\\.[a-z][a-z0-9_.]{0,39}$"},
            "person": {"type": "object"},
            "facts": {"type": "object"},
            "occurred_at": {"type": "string", "format": "date-time"},
            "key": text,
            "userid": text,
            "event_id": text,
        },
    }
    link = {"type": "object", "properties": dict.fromkeys(("key", "title", "url", "userid", "external_userid"), text)}
    kind = {
        "type": "object",
        "required": ["title"],
        "properties": {"title": text, "sentence": text, "facts": {"type": "object"}},
    }
    return {
        "/api/v1/events": {
            "post": operation(
                "写入自有事件，一个或最多 500 个；同一 event_id 只记一次",
                body={"oneOf": [event, {"type": "array", "maxItems": 500, "items": event}]},
                answer="每条的结果：created、known 或 rejected（附原因）",
            )
        },
        "/api/v1/event_types": {"get": operation("自有事件的定义", answer="定义列表")},
        "/api/v1/event_types/{name}": {
            "put": operation("定义自有事件：标题、动态里的句子、字段类型", path="name", body=kind, answer="定义")
        },
        "/api/v1/track/tokens": {
            "post": operation(
                "签发访客身份令牌，网页上报时带上它就能认人",
                body={"type": "object", "required": ["identities"], "properties": {"identities": listed}},
                answer="令牌，24 小时有效",
            )
        },
        "/api/v1/radar/links": {
            "post": operation(
                "为某位员工、某位客户生成雷达链接；同样的参数得到同一个链接", body=link, answer="链接", errors=(404,)
            )
        },
        "/api/v1/radar/contents": {"get": operation("雷达内容与打开、阅读统计", answer="内容列表")},
        "/api/v1/radar/contents/{key}": {
            "get": operation("一条雷达内容，按员工统计", path="key", answer="内容", errors=(404,))
        },
    }


def _webhooks() -> dict[str, Any]:
    text = {"type": "string"}
    parts = {"title": text, "url": {"type": "string", "format": "uri"}, "events": {"type": "array", "items": text}}
    one = {"type": "object", "required": list(parts), "properties": parts}
    changed = {"type": "object", "properties": {**parts, "state": {"enum": ["on", "paused"]}}}
    return {
        "/api/v1/webhooks": {
            "get": operation("事件推送的订阅", answer="订阅列表，没有密钥"),
            "post": operation(
                "新建订阅；events 是事件名、整类（order.*）或全部（*）",
                body=one,
                answer="订阅和签名密钥 secret，只给这一次",
                status=201,
            ),
        },
        "/api/v1/webhooks/{id}": {
            "get": operation("一个订阅", path="id", answer="订阅", errors=(404,)),
            "patch": operation(
                "修改订阅，没写的不变；state 改回 on 时按顺序补发积压",
                path="id",
                body=changed,
                answer="订阅",
                errors=(404,),
            ),
            "delete": operation("删除订阅和它的记录", path="id", answer="没有内容", errors=(404,), status=204),
        },
        "/api/v1/webhooks/{id}/deliveries": {
            "get": operation(
                "推送记录，新的在前",
                path="id",
                parameters=["state", "before", "limit"],
                answer="推送记录：state 为 waiting、done 或 failed，said 是对方的回执或失败原因",
                errors=(404,),
            )
        },
        "/api/v1/webhooks/{id}/deliveries/{delivery_id}/replay": {
            "post": operation(
                "重发一条，编号不变",
                path="id delivery_id",
                answer="已重新排队",
                errors=(404,),
                status=202,
            )
        },
    }
