"""Templates that are made ready when they are compiled, not at each look at a page: texts in the reader's language, and
what they include in its place.
"""

from keyword import iskeyword
from typing import Any

from jinja2 import Environment, Template, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, _escape_inner, escape  # type: ignore[attr-defined]

from web.texts import CHINESE, _, speaking


class _Template(Template):
    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        """All templates have the same globals: nothing of the page has to be looked for before its macros are shared."""
        if self._module is None:
            self._module = self.make_module()
        return self._module


def _escaped(value: Any) -> str:
    """What `escape` says, without marking the text as safe: nobody looks at what already stands in the page."""
    kind = type(value)
    if kind is str:
        return _escape_inner(value)
    return value if kind is Markup else str(value) if kind is int else escape(value)


class _Generator(CodeGenerator):
    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            return super()._output_child_pre(node, frame, finalize)
        self.write("environment.escaped(")
        if finalize.src is not None:
            self.write(finalize.src)
        return None

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802
        """Called as it stands: nothing here wants the context before its arguments, and to ask costs a page a tenth."""
        if any(iskeyword(each.key) for each in node.kwargs):
            return super().visit_Call(node, frame, forward_caller=forward_caller)
        self.visit(node.node, frame)
        self.write("(")
        for argument in (*node.args, *node.kwargs):
            self.visit(argument, frame)
            self.write(", ")
        if forward_caller:
            self.write("caller=caller, ")
        for stars, more in (("*", node.dyn_args), ("**", node.dyn_kwargs)):
            if more is not None:
                self.write(stars)
                self.visit(more, frame)
                self.write(", ")
        self.write(")")
        return None


class Spoken(Environment):
    """An environment for readers of one `language`; `_("...")` of a fixed text is that text.

    A page of fifty small files costs no more than one of a single file: an include of a fixed name is put in its place.
    """

    language = CHINESE
    template_class = _Template
    code_generator_class = _Generator
    escaped = staticmethod(_escaped)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Those that could be asynchronous ask at each use whether they are.
        self.filters = {name: getattr(each, "__wrapped__", each) for name, each in self.filters.items()}
        self._kept: dict[str, Template] = {}

    def get_template(self, name: Any, *more: Any, **named: Any) -> Template:
        """Found once: nothing is reloaded, and all templates have the same globals."""
        template = self._kept.get(name)
        if template is None:
            template = self._kept[name] = super().get_template(name, *more, **named)
        return template

    def overlay(self, *more: Any, **named: Any) -> "Spoken":
        """With templates of its own."""
        other: Any = super().overlay(*more, **named)
        other._kept = {}
        return other  # type: ignore[no-any-return]

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
