"""The platforms that push orders: the hand-written list, and the sources that the settings name."""

from collections.abc import Mapping

from pydantic import ValidationError

from scrm.commerce.connectors import doudian_hook, generic_hook, shopify, wechat_store, woocommerce, youzan
from scrm.commerce.connectors.hook import Hook, SourceOptions
from scrm.errors import WrongUse
from scrm.services import Services
from scrm.settings import Settings, Source

HOOKS: tuple[type[Hook], ...] = (
    youzan.Youzan,
    wechat_store.WeChatStore,
    doudian_hook.Doudian,
    shopify.Shopify,
    woocommerce.WooCommerce,
    generic_hook.Generic,
)


# Other names by which people call a kind.
_ALSO = {"wechat_store": "wxstore", "woo": "woocommerce"}


class Hooks(dict[str, Hook]):
    """Sources by their key; one object for the life of the process."""


def open_hooks(settings: Settings, other_kinds: frozenset[str] = frozenset()) -> Hooks:
    """Every source of ours in the settings; raises WrongUse with one line per wrong value.

    `other_kinds` are those that only pull; their options are checked where they are used.
    """
    hooks, lines = Hooks(), []
    by_kind = {hook.kind: hook for hook in HOOKS}
    by_kind |= {also: by_kind[kind] for also, kind in _ALSO.items()}
    for key, source in settings.sources.items():
        hook = by_kind.get(source.kind)
        if hook is None:
            if source.kind not in other_kinds:
                known = ", ".join(sorted({one.kind for one in HOOKS} | other_kinds))
                lines.append(f"sources.{key}.kind: found {source.kind!r}; expected one of {known}")
            continue
        try:
            hooks[key] = hook(key, read_options(key, source, hook.options_type))
        except WrongUse as error:
            lines.append(str(error))
    if lines:
        raise WrongUse("\n".join(lines))
    return hooks


def read_options(key: str, source: Source, options: type[SourceOptions]) -> SourceOptions:
    """A source's options; raises WrongUse with one line per wrong value, which never shows it."""
    given: Mapping[str, object] = source.model_dump()
    try:
        return options.model_validate(given)
    except ValidationError as error:
        lines = [_line(key, problem["loc"], problem["type"], problem["msg"], given) for problem in error.errors()]
        raise WrongUse("\n".join(lines)) from None


def _line(key: str, loc: tuple[int | str, ...], kind: str, text: str, given: Mapping[str, object]) -> str:
    name = ".".join(str(part) for part in loc)
    where = f"sources.{key}.{name}"
    if kind == "missing":
        return f"{where}: found nothing; expected a value (in the settings file, or as SCRM_{_variable(where)})"
    if kind == "extra_forbidden":
        return f"{where}: found a setting that a source of kind {given['kind']} does not have; see docs/sources.md"
    expected = text.removeprefix("Value error, ")
    found = "a value (not shown)" if given.get(name) else "an empty value"
    return f"{where}: found {found}; {expected if expected.startswith('expected') else 'expected: ' + expected.lower()}"


def _variable(where: str) -> str:
    return "__".join(where.split(".")).upper()


def hooks_of(services: Services) -> Hooks:
    """The process's sources."""
    hooks = services.memory.get(Hooks)
    if hooks is None:
        hooks = services.memory[Hooks] = open_hooks(services.settings, frozenset(_OTHER_KINDS))
    assert isinstance(hooks, Hooks)  # noqa: S101 - kept under its type
    return hooks


# Kinds that are only pulled (scrm.commerce.pulls).
_OTHER_KINDS = ("jushuitan", "wangdiantong", "generic_rest")
