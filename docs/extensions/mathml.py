"""Formulas as MathML, which browsers draw by themselves: no script, no font and no request."""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml.converter import convert

# the converter sets log p without the thin space between function and argument
FUNCTION = re.compile(r"(<mi>(?:log|max)</mi>)(?=<m(?:i|n|sub|sup|over|mover|row)>)")


def drawn(formula: str, display: str) -> str:
    return FUNCTION.sub(r'\1<mspace width="0.17em"/>', convert(formula, display=display))


def inline(self, node: nodes.math) -> None:
    self.body.append(drawn(node.astext(), "inline"))
    raise nodes.SkipNode


def block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula" tabindex="0">{drawn(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
