"""A double of `sounddevice`: a card whose outputs are wired to its inputs through a delay, in a thread of its own."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

FLAGS = ("input_underflow", "input_overflow", "output_underflow", "output_overflow")
PACE = 0.0005  # s a block, far faster than real time


class PortAudioError(Exception):
    pass


class Flags(SimpleNamespace):
    def __bool__(self) -> bool:
        return any(vars(self).values())


def device(name: str, *, outputs: int = 2, inputs: int = 2, api: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "hostapi": api,
        "max_output_channels": outputs,
        "max_input_channels": inputs,
        "default_samplerate": 48000.0,
    }


class SoundDouble:
    """The module; its attributes are what a test sets, and what it looks at."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        self.devices = [device("Scarlett 2i2"), device("HDMI", inputs=0), device("Scarlett 2i2", api=1)]
        self.apis = ["Fine", "Coarse"]
        self.rates = {44100.0, 48000.0}
        self.delay, self.gain, self.block = 100, 1.0, 64
        self.xruns: dict[int, str] = {}  # sample of a stream at which a flag is raised
        self.xrun_now = ""  # a flag for the next block
        self.xrun_in_burst = ""  # a flag for the block after the first one that is not silent
        self.xruns_for_ever = ""
        self.stall_at: int | None = None  # sample after which no block is asked for
        self.end_at: int | None = None  # sample after which the stream ends by itself
        self.found_rate: float | None = None
        self.hang = threading.Event()
        self.hang.set()  # cleared: opening does not come back
        self.refuse = False
        self.started = 0  # how often PortAudio was started
        self.streams: list[StreamDouble] = []

    def query_devices(self) -> list[dict[str, Any]]:
        return self.devices

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.apis]

    def check_output_settings(self, *, device: int, samplerate: float) -> None:
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def check_input_settings(self, *, device: int, samplerate: float) -> None:
        self.check_output_settings(device=device, samplerate=samplerate)

    def get_portaudio_version(self) -> tuple[int, str]:
        return 0, "PortAudio of a test"

    def _initialize(self) -> None:
        self.started += 1

    def _terminate(self) -> None:
        pass

    def Stream(self, **settings: Any) -> StreamDouble:  # noqa: N802
        self.hang.wait(10)
        if self.refuse:
            raise PortAudioError("Device unavailable")
        self.streams.append(StreamDouble(self, settings))
        return self.streams[-1]


class StreamDouble:
    def __init__(self, sound: SoundDouble, settings: dict[str, Any]) -> None:
        self.samplerate = sound.found_rate or settings["samplerate"]
        self.latency = (0.001, 0.001)
        self.closed = False
        self.played: list[np.ndarray[Any, Any]] = []
        self._sound, self._settings = sound, settings
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="a stream of a double")

    @property
    def played_TC(self) -> np.ndarray[Any, Any]:  # noqa: N802
        return np.concatenate(self.played)

    def start(self) -> None:
        self._thread.start()

    def abort(self) -> None:
        self._stopped.set()
        self._thread.join(10)

    def close(self) -> None:
        self.closed = True

    def _run(self) -> None:
        sound, (inputs, outputs) = self._sound, self._settings["channels"]
        line = np.zeros((sound.delay, max(inputs, outputs)), np.float32)
        done = 0
        while not self._stopped.wait(PACE):
            if sound.stall_at is not None and done >= sound.stall_at:
                continue
            if sound.end_at is not None and done >= sound.end_at:
                break
            play = np.full((sound.block, outputs), np.nan, np.float32)  # what is not filled is noticed
            record = np.round(np.clip(sound.gain * line[: sound.block].astype(float), -1, 1) * (2**31 - 1))
            flags = Flags(**dict.fromkeys(FLAGS, False))
            for at, flag in list(sound.xruns.items()):
                if done <= at < done + sound.block:
                    setattr(flags, flag, True)
                    del sound.xruns[at]
            if sound.xrun_in_burst and self.played and self.played[-1].any():
                sound.xrun_now, sound.xrun_in_burst = sound.xrun_in_burst, ""
            if flag := sound.xruns_for_ever or sound.xrun_now:
                setattr(flags, flag, True)
                sound.xrun_now = ""
            self._settings["callback"](record[:, :inputs].astype(np.int32), play, sound.block, None, flags)
            self.played.append(play)
            wide = np.zeros((sound.block, line.shape[1]), np.float32)
            wide[:, :outputs] = play
            line = np.concatenate([line, wide])[sound.block :]
            done += sound.block
        self._settings["finished_callback"]()
