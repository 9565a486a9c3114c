"""Templates whose texts are put into the reader's language when they are compiled, not at each look at a page."""

from typing import Any

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

from web.texts import CHINESE, _, speaking


class Spoken(Environment):
    """An environment for readers of one `language`; `_("...")` of a fixed text is that text."""

    language = CHINESE

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        with speaking(self.language):
            told: nodes.Template = _Teller().visit(super()._parse(source, name, filename))
        return told

    def speaking(self, language: str) -> "Spoken":
        """The same templates for readers of another language."""
        other: Any = self.overlay()
        other.language = language
        return other  # type: ignore[no-any-return]


class _Teller(NodeTransformer):
    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - the visitor's own name
        node = self.generic_visit(node)  # type: ignore[assignment]
        is_text = isinstance(node.node, nodes.Name) and node.node.name == "_"
        if not is_text or len(node.args) != 1 or node.kwargs or node.dyn_args or node.dyn_kwargs:
            return node
        text = node.args[0]
        return nodes.Const(_(text.value), lineno=node.lineno) if isinstance(text, nodes.Const) else node
