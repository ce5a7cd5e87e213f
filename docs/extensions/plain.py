"""Docstrings are plain text for a terminal: formulas such as |x| and names such as coef_ stay as they are.

reStructuredText takes a bar or a closing underscore for markup, so both are escaped outside code and examples.
"""

from __future__ import annotations

import re

CODE = re.compile(r"(``.*?``|`[^`]*`)")
MARKUP = re.compile(r"[|*]|(?<=\w)_(?=[\s.,:;)=]|$)")


def escaped(line: str) -> str:
    """Return a line of prose with bars, asterisks and closing underscores escaped, what is in backquotes left alone."""
    return "".join(
        part if CODE.fullmatch(part) else MARKUP.sub(lambda m: "\\" + m[0], part) for part in CODE.split(line)
    )


def plain(app, what, name, obj, options, lines):
    code = False
    for i, line in enumerate(lines):
        # an example or a formula goes on to the next blank line
        code = line.lstrip().startswith((">>>", ".. math::")) or (code and bool(line.strip()))
        if not code:
            lines[i] = escaped(line)


def setup(app):
    app.connect("autodoc-process-docstring", plain, priority=100)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
