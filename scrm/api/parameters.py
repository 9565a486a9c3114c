"""Reading a request's parameters, with one line to a sender who got one wrong."""

from aiohttp import web

from scrm.errors import Invalid

# As many digits as every 64-bit number has room for.
MOST_DIGITS = 18


def read_number(request: web.Request, name: str) -> int | None:
    """A parameter of the query that is a number, None when it is not given; raises Invalid for anything else."""
    text = request.query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"参数 {name}：收到“{text[:40]}”，需要非负整数")
    if len(text) > MOST_DIGITS:
        raise Invalid(f"参数 {name}：收到 {len(text)} 位数字，最多 {MOST_DIGITS} 位")
    return int(text)
