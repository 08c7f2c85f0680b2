"""`physnet devices`: what it prints, and that it opens nothing unless it is asked to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from physnet.cli.devices import devices
from physnet.drivers.finding import Found, Listing
from tests.drivers.loopback import IDENTITY, Instrument, Server

PORT = Found(
    kind="serial", name="/dev/ttyACM0", about="Pico - CDC", usb="2E8A:000A", serial_number="E6\x1b[31m", fits=("ours",)
)
SOUND = Found(kind="sound", name="SOUND::Scarlett, ALSA", about="2 out, 2 in, 48000 Hz", fits=("sound_card",))


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def scope(monkeypatch: pytest.MonkeyPatch) -> Found:
    """A resource at which nobody is, in a listing that stands for the computer's."""
    with Server(Instrument().talk) as server:
        name = server.resource
    found = Found(kind="visa", name=name, backend="py")
    listing = Listing(found=[PORT, found, SOUND], drivers={"sound_card": "A sound card."}, notes=["no VISA library"])
    monkeypatch.setattr("physnet.drivers.finding.look", lambda: listing)
    return found


def run(identify: list[str] | None = None, *, as_json: bool = False) -> int:
    return devices(argparse.Namespace(identify=identify, json=as_json))


def never(*_: object, **__: object) -> None:
    raise AssertionError("something was opened")


def test_the_list_names_everything_and_opens_nothing(
    scope: Found, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("physnet.drivers.identifying.identify", never)
    assert run() == 0
    out = capsys.readouterr().out
    for text in (PORT.name, "USB 2E8A:000A", scope.name, SOUND.name, "driver: ours", "not looked for: no VISA library"):
        assert text in out
    assert "\x1b" not in out  # a device's serial number is not ours


def test_json_is_one_line_at_the_end(scope: Found, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(as_json=True) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(report) == {"serial", "visa", "sound", "drivers", "notes"}
    assert report["serial"][0]["usb"] == "2E8A:000A" and report["serial"][0]["fits"] == ["ours"]
    assert report["visa"][0] == {**report["visa"][0], "name": scope.name, "identity": "", "problem": ""}


def test_identify_asks_visa_resources_and_shows_failures(scope: Found, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out = capsys.readouterr().out
    assert "Opening a port can reset the board behind it" in out
    assert f"asking {scope.name}" in out and "does not answer" in out
    assert f"asking {PORT.name}" not in out


def test_identify_asks_what_is_named_and_nothing_else(scope: Found, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(Instrument().talk) as server:
        assert run([server.resource], as_json=True) == 0
    out = capsys.readouterr().out
    assert f"is {IDENTITY.decode()}" in out and f"asking {scope.name}" not in out
    report = json.loads(out.splitlines()[-1])
    assert [one["name"] for one in report["visa"]] == [scope.name, server.resource]
    assert report["visa"][1]["identity"] == IDENTITY.decode()
