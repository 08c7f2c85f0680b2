"""The part of `sounddevice` that is used here, and which of its devices are meant.

Source:
    python-sounddevice 0.5, API documentation: `query_devices`, `query_hostapis`, `check_output_settings`, and under
    "Expert Mode" `_initialize` and `_terminate`: PortAudio lists devices when it is started, and never again.
    PortAudio issues 250 and 607: under WASAPI every call must come from the thread that started it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from physnet.errors import InputError

RATES = (8e3, 11025.0, 16e3, 22050.0, 32e3, 44100.0, 48e3, 88200.0, 96e3, 176400.0, 192e3)
"""Rates that are asked for, in Hz: PortAudio lists none."""


@runtime_checkable
class SoundLibrary(Protocol):
    """What is used of the module `sounddevice`."""

    Stream: Any
    PortAudioError: Any

    def query_devices(self) -> Sequence[dict[str, Any]]:
        """Return all devices."""
        ...

    def query_hostapis(self) -> Sequence[dict[str, Any]]:
        """Return all host APIs: ALSA, Core Audio, WASAPI, ASIO, ..."""
        ...

    def check_input_settings(self, **settings: Any) -> None:
        """Raise unless a device records with these settings."""
        ...

    def check_output_settings(self, **settings: Any) -> None:
        """Raise unless a device plays with these settings."""
        ...

    def get_portaudio_version(self) -> tuple[int, str]:
        """Return the version of PortAudio, and a text that tells it."""
        ...

    def _initialize(self) -> None: ...

    def _terminate(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Card:
    """A device that plays and one that records, of one host API.

    Args:
        output: Number of the device that plays.
        input: Number of the one that records.
        outputs: How many channels play.
        inputs: How many record.
        rates: Rates that both have, in Hz.
        identity: Host API, names, the rate that it has by itself, and PortAudio's version.
    """

    output: int
    input: int
    outputs: int
    inputs: int
    rates: tuple[float, ...]
    identity: str


def sound_library() -> SoundLibrary:
    """Import `sounddevice`, which starts PortAudio.

    Raises:
        InputError: It is not installed, or PortAudio is not.
    """
    try:
        return cast(SoundLibrary, importlib.import_module("sounddevice"))
    except (ImportError, OSError) as error:  # OSError: the package is there, and PortAudio is not
        raise InputError(
            f"sounddevice and PortAudio must be installed for a sound card, and can't be loaded ({error}). Install "
            "them: pip install 'physnet[sound]'; on Linux also the package libportaudio2."
        ) from error


def started(library: SoundLibrary | None, *, anew: bool) -> SoundLibrary:
    """Return the library with a list of the devices that are there now.

    Args:
        library: The library; None to import it.
        anew: Start PortAudio anew, in this thread, even if it was started before. It ends all streams of the process.
    """
    fresh = library is None and "sounddevice" not in sys.modules
    found = library if library is not None else sound_library()
    if anew and not fresh:
        found._terminate()
        found._initialize()
    return found


def find_card(library: SoundLibrary, output: str, recorder: str) -> Card:
    """Find the two devices of a card.

    Args:
        library: See `started`.
        output: Name of the device that plays, or `NAME, HOST API`; a part is enough where it fits one device only.
        recorder: The same for the one that records.

    Raises:
        InputError: None fits, or several do; or the two are of different host APIs, or share no rate.
    """
    devices, apis = list(library.query_devices()), [str(api["name"]) for api in library.query_hostapis()]
    plays = _named(devices, apis, output, "output")
    records = _named(devices, apis, recorder, "input")
    player, listener = devices[plays], devices[records]
    if player["hostapi"] != listener["hostapi"]:
        raise InputError(
            f"output and input must be of one host API, got {_full(player, apis)!r} and {_full(listener, apis)!r}: "
            "streams of two have two clocks."
        )
    rates = tuple(rate for rate in RATES if _has(library, plays, records, rate))
    if not rates:
        raise InputError(
            f"{_full(player, apis)!r} must play and record at one of {RATES[0]:g} to {RATES[-1]:g} Hz, and does at "
            "none. Another program may hold it."
        )
    names = player["name"] if plays == records else f"{player['name']} + {listener['name']}"
    return Card(
        output=plays,
        input=records,
        outputs=int(player["max_output_channels"]),
        inputs=int(listener["max_input_channels"]),
        rates=rates,
        identity=f"{apis[player['hostapi']]},{names},{player['default_samplerate']:g} Hz,"
        f"{library.get_portaudio_version()[1]}",
    )


def _named(devices: Sequence[dict[str, Any]], apis: Sequence[str], name: str, side: str) -> int:
    """Return the number of the one device of a side that has a name."""
    able = {n: _full(device, apis) for n, device in enumerate(devices) if device[f"max_{side}_channels"] > 0}
    wanted = name.strip().casefold()
    for fits in (
        [n for n, full in able.items() if wanted in (full.casefold(), str(devices[n]["name"]).casefold())],
        [n for n, full in able.items() if wanted in full.casefold()],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise InputError(
                f"{name!r} must name one {side} device, got {', '.join(repr(able[n]) for n in fits)}. Write the whole "
                "name, with the host API."
            )
    known = ", ".join(repr(full) for full in able.values()) or "none"
    raise InputError(f"{name!r} must name an {side} device, and the system has: {known}. `physnet devices` lists them.")


def _full(device: dict[str, Any], apis: Sequence[str]) -> str:
    return f"{device['name']}, {apis[device['hostapi']]}"


def _has(library: SoundLibrary, output: int, recorder: int, rate: float) -> bool:
    """Tell whether both devices have a rate. It asks their drivers; nothing is played."""
    try:
        library.check_output_settings(device=output, samplerate=rate)
        library.check_input_settings(device=recorder, samplerate=rate)
    except (library.PortAudioError, ValueError):
        return False
    return True
