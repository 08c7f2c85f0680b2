"""HTML that is escaped as it is made: text from a session is never taken for markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

# Of what HTML can't hold or a reader can't see: control characters, and those that turn the direction of text.
_ODD = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"
)
_VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is HTML already. Only this module makes it."""

    __slots__ = ()


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element.

    Args:
        name: Its tag.
        *children: Markup as it is; None is left out; everything else is escaped text.
        **attributes: A trailing `_` falls away, other `_` become `-`: `class_`, `stroke_width`. None is left out.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"')
    parts.append(">")
    if name not in _VOID:
        parts += [_child(child) for child in children if child is not None]
        parts.append(f"</{name}>")
    return Markup("".join(parts))


def join(*children: Any) -> Markup:
    """Return children one after the other."""
    return Markup("".join(_child(child) for child in children if child is not None))


def text(value: Any) -> Markup:
    """Return a value as escaped text."""
    if isinstance(value, Markup):
        return value
    plain = str(value).encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no UTF-8
    return Markup(html.escape(plain.translate(_ODD), quote=True))


def style(sheet: str) -> Markup:
    """Return a style sheet, whose text HTML takes as it is; it is a constant of this package."""
    return Markup(f"<style>{sheet}</style>")


def table(
    head: Sequence[Any], rows: Iterable[Sequence[Any]], *, caption: str, numeric: Iterable[int] = (), named: bool = True
) -> Markup:
    """Return a table that scrolls sideways where it is wider than the page.

    Args:
        head: Texts of the columns.
        rows: Cells.
        caption: What it shows; for those who hear the page, and above the table.
        numeric: Columns of numbers, aligned right.
        named: Whether the first cell of a row names it.
    """
    right = frozenset(numeric)

    def cell(number: int, value: Any) -> Markup:
        kind = "n" if number in right else None
        if number == 0 and named:
            return element("th", value, scope="row", class_=kind)
        return element("td", value, class_=kind)

    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element(
                "thead",
                element(
                    "tr",
                    *(element("th", h, scope="col", class_="n" if n in right else None) for n, h in enumerate(head)),
                ),
            ),
            element("tbody", *(element("tr", *(cell(n, v) for n, v in enumerate(row))) for row in rows)),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def facts(pairs: Iterable[tuple[Any, Any]]) -> Markup:
    """Return names and values below each other."""
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in pairs))


def folded(summary: str, *children: Any) -> Markup:
    """Return what is seen when it is asked for. It needs no script."""
    return element("details", element("summary", summary), *children)


def _child(child: Any) -> str:
    return child if isinstance(child, Markup) else text(child)
