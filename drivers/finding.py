"""What is connected to this computer, found without opening anything.

Operating system, VISA library and PortAudio are asked for what they know. A VISA library may send a broadcast to find
instruments on the network; that is all that leaves the computer.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

from pyvisa import highlevel
from serial.tools import list_ports

from physnet import registry
from physnet.errors import ExperimentError, InputError, TransportError

from .instruments.sound_library import SoundLibrary, sound_library
from .own_thread import OwnThread
from .transport import Deadline
from .visa_transport import resource_manager

T = TypeVar("T")
_USB = re.compile(r"USB\d*::(0x[0-9A-F]+|\d+)::(0x[0-9A-F]+|\d+)::([^:]+)::", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One thing that may be an instrument.

    Args:
        kind: How it is reached.
        name: As a bench file names it.
        about: What the system says of it.
        usb: Vendor and product, `VVVV:PPPP` in hexadecimal; empty where unknown.
        serial_number: Its own; empty where unknown.
        backend: VISA library that knows it.
        fits: Registered drivers that fit for certain.
        identity: What it answered when it was asked.
        problem: Why it did not.
    """

    kind: Literal["serial", "visa", "sound"]
    name: str
    about: str = ""
    usb: str = ""
    serial_number: str = ""
    backend: str = ""
    fits: tuple[str, ...] = ()
    identity: str = ""
    problem: str = ""


@dataclass(kw_only=True)
class Listing:
    """All that was found, and what kept anything from being found.

    Args:
        found: What was found.
        drivers: Registered instruments by name: what the first line of their docstring says.
        notes: What could not be looked for, and why: what is not installed, above all.
    """

    found: list[Found] = field(default_factory=list)
    drivers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where it is looked.

    Args:
        serial: Lists serial ports.
        backends: Names of the VISA backends that are installed.
        manager: Makes the resource manager of a backend.
        sound: Imports `sounddevice`.
        entries: Registered drivers.
    """

    serial: Callable[[], Iterable[Any]] = list_ports.comports
    backends: Callable[[], Iterable[str]] = highlevel.list_backends
    manager: Callable[[str], Any] = resource_manager
    sound: Callable[[], SoundLibrary] = sound_library
    entries: registry.Entries = registry.installed


def look(sources: Sources | None = None, *, seconds: float = 10.0) -> Listing:
    """List what is connected. Nothing is opened.

    Args:
        sources: Where to look.
        seconds: Longest time of each of the lists, in s.
    """
    where, listing = sources or Sources(), Listing()
    patterns = _drivers(where.entries, listing)
    found = _within("serial ports", lambda: _serial(where.serial), seconds, listing)
    for backend in _within("VISA libraries", lambda: list(where.backends()), seconds, listing):
        call = partial(_visa, where.manager, backend)
        known = {one.name for one in found}  # two libraries may know the same instrument
        found += [one for one in _within(f"VISA library {backend!r}", call, seconds, listing) if one.name not in known]
    found += _within("sound devices", lambda: _sound(where.sound), seconds, listing)
    listing.found = [replace(one, fits=_fits(one, patterns)) for one in found]
    return listing


def fitting(identity: str, entries: registry.Entries = registry.installed) -> tuple[str, ...]:
    """Return the registered drivers that take an instrument with this answer to `*IDN?`."""
    found = []
    for name in registry.names("instruments", entries=entries):
        try:
            expected = getattr(registry.find("instruments", name, entries=entries), "EXPECT", "")
        except ExperimentError:
            continue  # `look` tells
        if expected and re.search(expected, identity):
            found.append(name)
    return tuple(found)


def _drivers(entries: registry.Entries, listing: Listing) -> dict[str, tuple[str, ...]]:
    """Note the registered drivers; return the patterns that each declares in `FITS`."""
    patterns: dict[str, tuple[str, ...]] = {}
    for name in registry.names("instruments", entries=entries):
        try:
            driver = registry.find("instruments", name, entries=entries)
        except ExperimentError as error:
            listing.notes.append(str(error))
            continue
        listing.drivers[name] = registry.summary(driver)
        patterns[name] = tuple(getattr(driver, "FITS", ()))
    return patterns


def _fits(one: Found, patterns: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    shown = (one.name, f"USB {one.usb}", f"{one.name} ({one.about})")
    return tuple(
        name
        for name, found in patterns.items()
        if any(re.fullmatch(pattern, text, re.IGNORECASE) for pattern in found for text in shown)
    )


def _serial(comports: Callable[[], Iterable[Any]]) -> list[Found]:
    return [
        Found(
            kind="serial",
            name=str(port.device),
            about="" if port.description in (None, "n/a") else str(port.description),
            usb="" if port.vid is None or port.pid is None else f"{port.vid:04X}:{port.pid:04X}",
            serial_number=str(port.serial_number or ""),
        )
        for port in sorted(comports(), key=lambda port: str(port.device))
    ]


def _visa(manager: Callable[[str], Any], backend: str) -> list[Found]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyvisa-py: packages with which it would find more
        names = manager(f"@{backend}").list_resources("?*")
    found = []
    for name in map(str, names):
        if "ASRL" in name.upper():
            continue  # a serial port, listed as one
        usb = _USB.match(name)
        found.append(
            Found(
                kind="visa",
                name=name,
                usb=f"{int(usb[1], 0):04X}:{int(usb[2], 0):04X}" if usb else "",
                serial_number=usb[3] if usb else "",
                backend=backend,
            )
        )
    return found


def _sound(library: Callable[[], SoundLibrary]) -> list[Found]:
    made = library()
    apis = [str(api["name"]) for api in made.query_hostapis()]
    return [
        Found(
            kind="sound",
            name=f"SOUND::{device['name']}, {apis[device['hostapi']]}",
            about=f"{device['max_output_channels']} out, {device['max_input_channels']} in, "
            f"{device['default_samplerate']:g} Hz",
        )
        for device in made.query_devices()
    ]


def _within(what: str, call: Callable[[], list[T]], seconds: float, listing: Listing) -> list[T]:
    """Make a list within some time; what goes wrong becomes a note."""
    thread = OwnThread(what)
    deadline = Deadline.after(seconds)
    try:
        return thread.run(call, deadline, "listing them")
    except (TransportError, InputError) as error:
        listing.notes.append(str(error))
    except Exception as error:  # whatever a vendor's library raises
        listing.notes.append(f"{what} can't be listed ({type(error).__name__}: {error}).")
    finally:
        thread.close(deadline)
    return []
