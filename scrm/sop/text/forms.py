"""`form:` of a step: what of the customer the member asks for while they talk, and fills in beside the chat. Pure."""

from scrm.sop.schema import Step

MOST = 8
_FIELD = "field."


def asked_in(step: Step) -> list[str]:
    """The keys of the shop's own fields that the step asks for, in the author's order."""
    written = step.options.get("form")
    keys = written if isinstance(written, list) else [written]
    return [str(key).strip().removeprefix(_FIELD) for key in keys if isinstance(key, str) and key.strip()]


def problems(step: Step) -> list[str]:
    """What is wrong with how it is written; whether the fields exist only the shop knows."""
    if "form" not in step.options:
        return []
    written, keys = step.options["form"], asked_in(step)
    count = len(written) if isinstance(written, list) else 1
    if not keys or len(keys) != count:
        return [f"步骤“{step.id}”的 form 要写自定义字段的标识，例如 form: [肤质, 预算]"]
    if len(keys) > MOST or len(set(keys)) != len(keys):
        return [f"步骤“{step.id}”的 form 最多 {MOST} 个字段，每个写一次"]
    return []
