"""The confusion matrix as a chart and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .markup import Markup, element, folded, join, table

_DRAWN = 100
"""Most classes that are drawn."""
_TABLED = 30
"""Most classes whose counts are written down; of more, the commonest confusions."""


def confusion(counts: NDArray[np.int64], classes: Sequence[str]) -> Markup:
    """Return a confusion matrix: rows are true classes, columns are predictions.

    Args:
        counts: Test samples by (true class, predicted class).
        classes: Names of the classes.
    """
    size = len(classes)
    return join(
        _picture(counts, classes) if size <= _DRAWN else None, _commonest(counts, classes), _counts(counts, classes)
    )


def _picture(counts: NDArray[np.int64], classes: Sequence[str]) -> Markup:
    size = len(classes)
    names = [name if len(name) <= 12 else f"{name[:11]}…" for name in classes]
    longest = max(map(len, names))
    left, cell = max(10 + 6.2 * longest, 58.0), min(30.0, 420 / size)
    slanted = longest > 2
    top = 22 + (4.6 * longest if slanted else 14)
    width, height = left + cell * size + (20 if not slanted else 4.6 * longest + 8), top + cell * size + 8
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [_text(left + cell * size / 2, 13, "predicted class", "middle"), _text(2, top - 5, "true class", "start")]
    for n, name in enumerate(names):
        if cell < 9 and n % 10:
            continue
        parts.append(_text(left - 5, top + cell * (n + 0.5) + 4, name, "end"))
        x = left + cell * (n + 0.5)
        turn = f"rotate(-45 {x:.1f} {top - 5:.1f})" if slanted else None
        parts.append(_text(x, top - 5, name, "start" if slanted else "middle", transform=turn))
    frame = {"stroke": "#d9dde2", "class_": "grid", "fill": "none"}
    parts.append(
        element(
            "rect", x=f"{left:.1f}", y=f"{top:.1f}", width=f"{cell * size:.1f}", height=f"{cell * size:.1f}", **frame
        )
    )
    for true, guess in np.argwhere(counts > 0):
        part = float(share[true, guess])
        x, y = left + cell * guess, top + cell * true
        said = f"{classes[true]} taken for {classes[guess]}: {counts[true, guess]} ({100 * part:.1f} %)"
        box = element(
            "rect",
            element("title", said),
            x=f"{x + 0.5:.1f}",
            y=f"{y + 0.5:.1f}",
            width=f"{cell - 1:.1f}",
            height=f"{cell - 1:.1f}",
            fill="#1d4e9e",
            fill_opacity=f"{0.05 + 0.5 * part:.3f}",
            class_="heat",
        )
        parts.append(box)
        if cell >= 16:
            parts.append(_text(x + cell / 2, y + cell / 2 + 4, str(counts[true, guess]), "middle"))
    picture = element(
        "svg",
        element("title", f"confusion matrix of {size} classes"),
        *parts,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        width=f"{1.15 * width:.0f}",
        font_size="11",
        class_="own",
        aria_label=f"confusion matrix of {size} classes",
    )
    note = element("small", "counts of test samples; the darker, the larger the share of the true class")
    return element("figure", element("figcaption", "Confusion matrix", note), picture)


def _commonest(counts: NDArray[np.int64], classes: Sequence[str]) -> Markup | None:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return element("p", "Every test sample was classified correctly.")
    order = np.argsort(-wrong, axis=None, kind="stable")[:5]
    rows = []
    for true, guess in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[true, guess]:
            total = counts[true].sum()
            rows.append(
                (classes[true], classes[guess], wrong[true, guess], f"{100 * wrong[true, guess] / total:.1f} %")
            )
    head = ("true class", "taken for", "samples", "share of the true class")
    return table(head, rows, caption="Commonest confusions", numeric=(2, 3))


def _counts(counts: NDArray[np.int64], classes: Sequence[str]) -> Markup | None:
    if len(classes) > _TABLED:
        return None
    rows = [
        (name, *counts[n].tolist(), f"{100 * counts[n, n] / max(counts[n].sum(), 1):.1f} %")
        for n, name in enumerate(classes)
    ]
    columns = counts.sum(axis=0)
    found = [f"{100 * counts[n, n] / columns[n]:.1f} %" if columns[n] else "-" for n in range(len(classes))]
    rows.append(("right among the predicted", *found, ""))
    head = ("true \\ predicted", *classes, "right among the true")
    made = table(head, rows, caption="Test samples by true and predicted class", numeric=range(1, len(head)))
    return folded("counts as a table", made)


def _text(x: float, y: float, said: str, anchor: str, **more: Any) -> Markup:
    return element("text", said, x=f"{x:.1f}", y=f"{y:.1f}", fill="currentColor", text_anchor=anchor, **more)
