"""Templates that are made ready when they are compiled, not at each look at a page: texts in the reader's language, and
what they include in its place.
"""

from typing import Any

from jinja2 import Environment, Template, nodes
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

from web.texts import CHINESE, _, speaking


class _Template(Template):
    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        """All templates have the same globals: nothing of the page has to be looked for before its macros are shared."""
        if self._module is None:
            self._module = self.make_module()
        return self._module


class Spoken(Environment):
    """An environment for readers of one `language`; `_("...")` of a fixed text is that text.

    A page of fifty small files costs no more than one of a single file: an include of a fixed name is put in its place.
    """

    language = CHINESE
    template_class = _Template

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        with speaking(self.language):
            told: nodes.Template = _Maker(self).visit(super()._parse(source, name, filename))
        return told

    def speaking(self, language: str) -> "Spoken":
        """The same templates for readers of another language."""
        other: Any = self.overlay()
        other.language = language
        return other  # type: ignore[no-any-return]


class _Maker(NodeTransformer):
    def __init__(self, environment: Spoken) -> None:
        self.environment = environment

    def visit_Include(self, node: nodes.Include) -> nodes.Node:  # noqa: N802 - the visitor's own name
        name, loader = node.template, self.environment.loader
        if not isinstance(name, nodes.Const) or not node.with_context or node.ignore_missing or loader is None:
            return node
        source, filename, _uptodate = loader.get_source(self.environment, name.value)
        included = self.environment._parse(source, name.value, filename)
        if any(included.find_all((nodes.Extends, nodes.Block))):
            return node
        # What it sets is its own, as with every include.
        return nodes.Scope(included.body, lineno=node.lineno)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        node = self.generic_visit(node)  # type: ignore[assignment]
        is_text = isinstance(node.node, nodes.Name) and node.node.name == "_"
        if not is_text or len(node.args) != 1 or node.kwargs or node.dyn_args or node.dyn_kwargs:
            return node
        text = node.args[0]
        return nodes.Const(_(text.value), lineno=node.lineno) if isinstance(text, nodes.Const) else node
