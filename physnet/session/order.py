"""Names of objects in a session file, from the order in which `layout.build` makes them and from their attributes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .headers import Node
from .layout import PURPOSES
from .table import CRC

_ENTRY = ("title", "start_time", "end_time", "seed", "classes", "configuration", "environment", "data")
_RESULT = (
    "status",
    "message",
    "weights_sha256",
    "baselines",
    "test_accuracy",
    "validation_accuracy",
    "seconds",
    "physical_passes",
    "epochs",
    "steps",
    "kept_epoch",
    "layer_accuracy",
    "confusion",
)
_TABLES: dict[tuple[str, ...], str] = {
    ("step", "attempt"): "steps",
    ("epoch", "attempt"): "epochs",
    ("time", "level"): "events",
    ("attempt", "step"): "attempts",
    ("epoch", "step"): "sentinels",
}


def name_by_place(root: Node, nodes: Iterable[Node]) -> None:
    """Give every object without a name the one that belongs to its place.

    Args:
        root: The root group.
        nodes: Every object whose header is there.
    """
    entry = Node(address=-1, name="entry", whole=False)
    entry = root.children.setdefault("entry", entry)
    around, names, tables = entry, list(_ENTRY), 0
    for node in sorted(nodes, key=lambda one: one.address):
        known = node.attributes
        if node is root or node.attributes.get("NX_class") == "NXentry":
            if node is not root and entry.address < 0:
                node.children, node.name = entry.children, "entry"
                root.children["entry"] = entry = around = node
        elif node.shape is not None:
            if "written" in known:
                weights = _adopted(entry, "weights", Node(address=-1, whole=False))
                _adopted(weights, str(known.get("name")).replace("/", "|"), node)
            elif names:
                _adopted(around, names.pop(0), node)
        elif "columns" in known:
            columns = _columns(known["columns"])
            name = _TABLES.get(tuple(columns[:2]))
            around, names, tables = node, [*columns, CRC] if name else [], tables + 1
            if name:
                _adopted(entry, name, node)
        elif "kind" in known and "index" in known:
            systems = _adopted(entry, "systems", Node(address=-1, whole=False))
            _adopted(systems, str(known.get("name")).replace("/", "|"), node)
            around, names = node, ["spec"]
        elif "system" in known and "index" in known:
            around, names = node, []
            layers = _adopted(entry, "layers", Node(address=-1, whole=False))
            _adopted(layers, str(known.get("name")).replace("/", "|"), node)
        elif "rows" in known:
            names = []
            if "index" in around.attributes:
                _adopted(around, "response", node)
        elif "sha256" in known:
            around, names = node, []
            _adopted(entry, "weights", node)
        elif "layers" in entry.children and "weights" in entry.children and around is not entry:
            if "result" in entry.children and entry.children["result"] is not node:
                names = list(PURPOSES) if _adopted(entry.children["result"], "passes", node) is node else []
            else:
                names = list(_RESULT)
                _adopted(entry, "result", node)
            around = node
        else:
            names = []
            _adopted(entry, "layers" if tables else "systems", node)


def _adopted(parent: Node, name: str, node: Node) -> Node:
    """Make an object a child of another if there is none of that name, and return whichever it is."""
    node.name = node.name or name
    return parent.children.setdefault(name, node)


def _columns(value: object) -> list[str]:
    try:
        columns = json.loads(str(value))
    except ValueError:
        return []
    return [str(column) for column in columns] if isinstance(columns, list) else []
