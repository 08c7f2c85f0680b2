"""Reading a session file of which a part is gone, without HDF5.

HDF5 keeps the names of large groups at the end of the file, so that it finds nothing in one that was cut. But every
object has a header of its own, with a mark and a checksum, and the headers lie in the order in which `layout.build`
makes the objects: what has lost its name is known by its place and its attributes. Rows then prove themselves by their
CRC, all else by its hash.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .headers import Bytes, Node, blocks_of, found, link, messages, shape_of, sound, texts_in, type_of
from .order import name_by_place
from .safety import Source
from .table import CRC, Column


class Carved(Source):
    """A session file, or what is left of one: asked as any other source, and never wrong about what is gone.

    Args:
        data: The bytes that are there, from the first one on.

    Raises:
        ValueError: There is no header of a session.
    """

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._heaps: dict[int, dict[int, bytes]] = {}
        self._nodes: dict[int, Node] = {}
        for address in found(data, b"OHDR\2"):
            with contextlib.suppress(IndexError, struct.error):  # at the end of what is there
                if (node := self._header(address)) is not None:
                    self._nodes[address] = node
        roots = [node for node in self._nodes.values() if "physnet_schema" in node.attributes]
        if not roots:
            raise ValueError("the header of the session is gone")
        super().__init__(roots[0])
        self._name_by_link()
        name_by_place(self.file, self._nodes.values())

    def names(self, group: Node) -> list[str]:
        """Return the names in a group, in order."""
        return sorted(group.children)

    def group(self, parent: Node, path: str) -> Node:
        """Return a group by its path below another."""
        node = self._below(parent, path)
        if node.shape is not None:
            raise ValueError(f"{path} is not a group")
        return node

    def dataset(self, group: Node, name: str) -> Node:
        """Return a dataset."""
        node = self._below(group, name)
        if node.shape is None:
            raise ValueError(f"{name} must be a dataset")
        return node

    def array(self, group: Node, name: str) -> NDArray[Any]:
        """Read numbers, or text of a fixed length, all of which are there."""
        node = self.dataset(group, name)
        if node.dtype is None or node.shape is None:
            raise ValueError(f"{name} holds text")
        return np.frombuffer(self._values(node), node.dtype).reshape(node.shape).copy()

    def texts(self, group: Node, name: str, *, shape: tuple[int, ...] | None = None) -> tuple[str, ...]:
        """Read texts, shape `(n,)` or as asked for."""
        node = self.dataset(group, name)
        if len(node.shape or ()) != 1 if shape is None else node.shape != shape:
            raise ValueError(f"{name} is not text")
        values = self._values(node)
        if node.dtype is not None and node.dtype.kind == "S":
            size = node.dtype.itemsize
            each = [values[k : k + size].rstrip(b"\0") for k in range(0, len(values), size)]
        elif node.dtype is None:
            each = [self._text(values[k : k + 16]) for k in range(0, len(values), 16)]
        else:
            raise ValueError(f"{name} is not text")
        return tuple(one.decode("utf-8", "surrogateescape") for one in each)

    def has(self, obj: Node, attribute: str) -> bool:
        """Whether there is an attribute."""
        return attribute in obj.attributes

    def attribute(self, obj: Node, name: str) -> int | float | str:
        """Read an attribute: one number, or one text."""
        value = obj.attributes.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def reach(self, group: Node, column: Column) -> int:
        """Return how many rows of a table's column any of which may be there."""
        node = group.children.get(column.name)
        if node is None or not node.shape:
            return 0
        chunk, addresses = self._chunks(node)
        return min(node.shape[0], chunk * (1 + max((number for number, _ in addresses), default=-1)))

    def cells(self, group: Node, column: Column, rows: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read what is there of a table's column: the values of its first rows, and which of them are there."""
        shape = (rows, column.width) if column.width else (rows,)
        values = np.full(shape, 0 if column.name == CRC else column.fill, np.dtype(column.dtype))
        there = np.zeros(rows, np.bool_)
        node = group.children.get(column.name)
        if node is None or node.shape is None or node.dtype != values.dtype or node.shape[1:] != shape[1:]:
            return values, there
        size = values.dtype.itemsize * math.prod(shape[1:])
        chunk, addresses = self._chunks(node)
        for number, address in addresses:
            first = number * chunk
            count = min(chunk, rows - first, max(0, len(self._data) - address) // size)
            if count > 0:
                part = self._data[address : address + count * size]
                values[first : first + count] = np.frombuffer(part, values.dtype).reshape(count, *shape[1:])
                there[first : first + count] = True
        return values, there

    def last_resort(self, group: Node, name: str, expected: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Look for the beginning of a column whose place is gone: HDF5 writes the place behind the first values.

        Args:
            group: The table.
            name: The column.
            expected: The values that sound rows would have there.

        Returns:
            What is there; zeros where nothing is.
        """
        stored = np.zeros(len(expected), np.uint32)
        node = group.children.get(name)
        if node is not None and len(expected):
            rest = self._data[node.address :]
            at = rest.find(expected[:1].tobytes())
            if at >= 0:
                values = np.frombuffer(rest[at : at + (len(rest) - at) // 4 * 4], "<u4")[: len(expected)]
                stored[: len(values)] = values
        return stored

    def _below(self, parent: Node, path: str) -> Node:
        for name in path.split("/"):
            if name not in parent.children:
                raise KeyError(f"{path} is gone")
            parent = parent.children[name]
        return parent

    def _values(self, node: Node) -> bytes:
        size = math.prod(node.shape or ()) * (16 if node.dtype is None else node.dtype.itemsize)
        if node.layout[:1] not in (b"\3", b"\4"):
            raise ValueError(f"{node.name} has lost its place")
        if size == 0:
            return b""
        if node.layout[1] == 0:
            return self._bytes_of(node.layout[4:], size, node)
        address, held = struct.unpack_from("<QQ", node.layout, 2)
        if node.layout[1] != 1 or held < size:
            raise ValueError(f"{node.name} is not stored in one piece")
        return self._bytes_of(self._data[address : address + size], size, node)

    def _bytes_of(self, data: bytes, size: int, node: Node) -> bytes:
        if len(data) < size:
            raise ValueError(f"{node.name} is gone")
        return bytes(data[:size])

    def _chunks(self, node: Node) -> tuple[int, list[tuple[int, int]]]:
        """Return rows of a chunk, and number and address of each chunk that an index block tells of."""
        layout = node.layout
        if layout[:2] != b"\4\2" or len(layout) < 5:
            return 1, []
        dimensions, width = layout[3], layout[4]
        rows = int.from_bytes(layout[5 : 5 + width], "little")
        at = 5 + dimensions * width
        if layout[at : at + 1] != b"\4" or len(layout) < at + 14 or not rows:
            return 1, []
        bits, first, pointers, least, _ = layout[at + 1 : at + 6]
        if not least or not pointers or rows > max(len(self._data), 1 << 20):
            return 1, []
        (header,) = struct.unpack_from("<Q", layout, at + 6)
        chunks: list[tuple[int, int]] = []
        head, direct = self._data[header : header + 68], []
        if head[:4] == b"EAHD" and len(head) == 68:
            (block,) = struct.unpack_from("<Q", head, 60)
            if self._data[block : block + 4] == b"EAIB":
                chunks += self._addresses(block + 14, first, 0)
                direct = [address for _, address in self._addresses(block + 14 + 8 * first, 2 * (pointers - 1), 0)]
        width = (bits + 7) // 8
        number = first
        for block, (_, each) in zip(direct, blocks_of(least), strict=False):
            if self._data[block : block + 4] == b"EADB":
                chunks += self._addresses(block + 14 + width, each, number)
            number += each
        # Further ones are listed in blocks that may be gone, but each says where it belongs. (Not so those above:
        # HDF5 writes another number there.)
        for block in self._index_blocks().get(header, []):
            offset = int.from_bytes(self._data[block + 14 : block + 14 + width], "little")
            each = dict(blocks_of(least, offset)).get(offset, 0)
            if block not in direct:
                chunks += self._addresses(block + 14 + width, each, first + offset)
        return rows, chunks

    def _index_blocks(self) -> dict[int, list[int]]:
        """Return the data blocks of every index of chunks, by the address of its header."""
        if not hasattr(self, "blocks_of"):
            self._index: dict[int, list[int]] = {}
            for block in found(self._data, b"EADB\0\0"):
                owner = self._data[block + 6 : block + 14]
                if len(owner) == 8:
                    self._index.setdefault(struct.unpack("<Q", owner)[0], []).append(block)
        return self._index

    def _addresses(self, at: int, count: int, number: int) -> list[tuple[int, int]]:
        data = self._data[at : at + 8 * count]
        each = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
        return [(number + k, address) for k, address in enumerate(each) if 0 < address < len(self._data)]

    def _header(self, address: int) -> Node | None:
        """Read an object's header; None where it is damaged."""
        data = self._data
        flags = data[address + 5]
        at = address + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(data[at : at + width], "little")
        at += width
        if not sound(data, address, at + size):
            return None
        node = Node(address=address)
        blocks = [(at, at + size)]
        for start, end in blocks:  # grows
            for kind, message in messages(data, start, end, ordered=bool(flags & 4)):
                if kind == 0x10:
                    offset, length = struct.unpack("<QQ", message[:16])
                    if data[offset : offset + 4] == b"OCHK" and sound(data, offset, offset + length - 4):
                        blocks.append((offset + 4, offset + length - 4))
                    else:
                        node.whole = False
                else:
                    try:
                        self._take_up(node, kind, message)
                    except (ValueError, IndexError, struct.error):
                        node.whole = False
                if len(blocks) > 64:
                    return None
        return node

    def _take_up(self, node: Node, kind: int, message: bytes) -> None:
        if kind == 0x01:
            node.shape = shape_of(message)
        elif kind == 0x02:
            at = 2 + (8 if message[1] & 1 else 0)
            (node.heap,) = struct.unpack_from("<Q", message, at)
        elif kind == 0x03:
            node.dtype = type_of(message)
        elif kind == 0x06:
            name, address, _ = link(message, 0)
            node.links[name] = address
        elif kind == 0x08:
            node.layout = message
        elif kind == 0x0C:
            version, _, name_size, type_size, shape_size = struct.unpack_from("<BBHHH", message)
            at = 9 if version == 3 else 8
            name = message[at : at + name_size].rstrip(b"\0").decode()
            if version == 1:  # padded
                name_size, type_size, shape_size = ((size + 7) // 8 * 8 for size in (name_size, type_size, shape_size))
            node.attributes[name] = None
            at += name_size
            dtype, shape = type_of(message[at:]), shape_of(message[at + type_size :])
            value = message[at + type_size + shape_size :]
            if shape == () and dtype is None:
                node.attributes[name] = self._text(value[:16]).decode("utf-8", "surrogateescape")
            elif shape == () and dtype is not None:
                plain = np.frombuffer(value[: dtype.itemsize], dtype)[0].item()
                node.attributes[name] = plain.decode("utf-8", "surrogateescape") if isinstance(plain, bytes) else plain

    def _text(self, reference: bytes) -> bytes:
        """Return a text of any length, which lies in a heap."""
        length, address, number = struct.unpack("<IQI", reference)
        if length == 0:
            return b""
        if address not in self._heaps:
            self._heaps[address] = dict(texts_in(self._data, address))
        text = self._heaps[address].get(number)
        if text is None or len(text) < length:
            raise ValueError("a text is gone")
        return text[:length]

    def _name_by_link(self) -> None:
        """Give every object whose name is left that name."""
        for heap, name, address in self._heaped():
            for node in self._nodes.values():
                if node.heap == heap:
                    node.links.setdefault(name, address)
        for node in self._nodes.values():
            for name, address in node.links.items():
                if address in self._nodes:
                    node.children[name] = self._nodes[address]
                    node.children[name].name = name

    def _heaped(self) -> Iterator[tuple[int, str, int]]:
        """Yield what the heaps of large groups say: the heap, a name in it, and the address of what is called so."""
        for start in found(self._data, b"FHDB\0"):
            (heap,) = struct.unpack("<Q", self._data[start + 5 : start + 13].ljust(8, b"\0"))
            block = self._data[start + 13 : start + 13 + (1 << 16)]
            following = block.find(b"FHDB\0")
            block, at = block[: following if following >= 0 else None], 0
            while (at := block.find(b"\1", at)) >= 0:
                try:
                    name, address, length = link(block, at)
                except (ValueError, IndexError, struct.error):
                    at += 1
                    continue
                if address in self._nodes:
                    yield heap, name, address
                    at += length
                else:
                    at += 1
