"""What is listed, without opening anything, and what becomes of a list that fails."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from physnet.drivers.finding import Found, Listing, Sources, fitting, look
from physnet.errors import InputError
from tests.drivers.instruments.sound_double import SoundDouble


class Ours:
    """A driver of the tests.

    Only its first line is shown.
    """

    FITS = (r"USB 2e8a:000a", r"USB0::0x0957::.+")
    EXPECT = r"^PHYS,"


class Card:
    """A card."""

    FITS = (r"SOUND::.+ \([1-9]\d* out, [1-9]\d* in, .+\)",)


@dataclasses.dataclass
class Registered:
    name: str
    factory: Any

    @property
    def value(self) -> str:
        return f"tests:{self.name}"

    def load(self) -> Any:
        if self.factory is None:
            raise ImportError("its own mistake")
        return self.factory


def entries(group: str) -> Sequence[Registered]:
    assert group == "physnet.instruments"
    return [Registered("ours", Ours), Registered("card", Card), Registered("broken", None)]


def port(device: str, **changes: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"device": device, "description": "n/a", "vid": None, "pid": None, "serial_number": None, **changes}
    )


class Manager:
    """A resource manager that can list and nothing else: opening is an AttributeError."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def list_resources(self, query: str) -> tuple[str, ...]:
        assert query == "?*"
        return self.names


def no_sound() -> Any:
    raise InputError("sounddevice must be installed: pip install 'physnet[sound]'")


def sources(**changes: Any) -> Sources:
    given = {"serial": list, "backends": list, "manager": None, "sound": no_sound, "entries": entries}
    return Sources(**{**given, **changes})


def listed(**changes: Any) -> Listing:
    return look(sources(**changes))


def test_serial_ports_are_listed_with_what_usb_says() -> None:
    pico = port("/dev/ttyACM0", description="Pico - CDC", vid=0x2E8A, pid=0x000A, serial_number="E6613852")
    found = listed(serial=lambda: [port("/dev/ttyS0"), pico]).found
    assert found == [
        Found(
            kind="serial",
            name="/dev/ttyACM0",
            about="Pico - CDC",
            usb="2E8A:000A",
            serial_number="E6613852",
            fits=("ours",),
        ),
        Found(kind="serial", name="/dev/ttyS0"),
    ]


def test_visa_resources_are_listed_once_and_serial_ports_left_to_the_system() -> None:
    both, second = "USB0::0x0957::0x2C07::MY52801516::INSTR", "USB0::2391::11271::MY1::0::INSTR"
    managers = {"@ivi": Manager(both, "ASRL3::INSTR"), "@py": Manager(both, second, "PRLGX-ASRL::1::INTFC")}
    found = listed(backends=lambda: ["ivi", "py"], manager=managers.__getitem__).found
    assert [(one.name, one.usb, one.serial_number, one.backend) for one in found] == [
        (both, "0957:2C07", "MY52801516", "ivi"),
        (second, "0957:2C07", "MY1", "py"),
    ]
    assert [one.fits for one in found] == [("ours",), ()]


def test_sound_devices_are_listed_and_fit_where_they_play_and_record() -> None:
    found = listed(sound=SoundDouble).found
    assert [(one.name, one.about, one.fits) for one in found] == [
        ("SOUND::Scarlett 2i2, Fine", "2 out, 2 in, 48000 Hz", ("card",)),
        ("SOUND::HDMI, Fine", "2 out, 0 in, 48000 Hz", ()),
        ("SOUND::Scarlett 2i2, Coarse", "2 out, 2 in, 48000 Hz", ("card",)),
    ]


def test_drivers_are_listed_and_a_broken_one_is_a_note() -> None:
    listing = listed()
    assert listing.drivers == {"card": "A card.", "ours": "A driver of the tests."}
    assert any("broken" in note and "its own mistake" in note for note in listing.notes)
    assert any("physnet[sound]" in note for note in listing.notes)


def test_a_list_that_fails_or_hangs_leaves_the_others() -> None:
    gate = threading.Event()

    def manager(backend: str) -> Manager:
        if backend == "@fails":
            raise RuntimeError("a vendor's mistake")
        if backend == "@hangs":
            gate.wait(10)
        return Manager("GPIB0::7::INSTR")

    try:
        listing = look(sources(backends=lambda: ["fails", "hangs", "works"], manager=manager), seconds=0.1)
    finally:
        gate.set()
    assert [one.name for one in listing.found] == ["GPIB0::7::INSTR"]
    assert any("'fails' can't be listed (RuntimeError: a vendor's mistake)" in note for note in listing.notes)
    assert any("'hangs': listing them was not over by the deadline" in note for note in listing.notes)


@pytest.mark.parametrize(("identity", "fits"), [("PHYS,LOOPBACK,1,0", ("ours",)), ("X,PHYS,1,0", ())])
def test_an_identity_tells_the_driver(identity: str, fits: tuple[str, ...]) -> None:
    assert fitting(identity, entries) == fits


def test_the_real_ports_and_drivers_can_be_listed() -> None:
    # Without VISA, which asks the network.
    listing = look(Sources(backends=list, sound=no_sound))
    assert {one.kind for one in listing.found} <= {"serial"}
    assert listing.drivers.get("sound_card", "").startswith("A sound card")
