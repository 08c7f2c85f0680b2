"""The sound card against a double of its library: what is played, what is refused, and what remains after a fault."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from physnet.drivers.instruments.sound_card import SoundCard
from physnet.drivers.instruments.sound_library import SoundLibrary
from physnet.drivers.roles import Capture, Detector, DetectorSetup, Source, SourceSetup
from physnet.drivers.transport import Deadline
from physnet.errors import DriveError, InputError, TransportError
from tests.drivers.instruments.sound_double import FLAGS, SoundDouble, device
from tests.drivers.loopback import until

RATE = 48000.0
CARD = "SOUND::Scarlett 2i2, Fine"
Make = Callable[..., SoundCard]


@pytest.fixture
def sound() -> SoundDouble:
    double = SoundDouble()
    double.delay = 128  # whole blocks, so that no sample of a block is late
    return double


@pytest.fixture
def make(sound: SoundDouble) -> Iterator[Make]:
    cards: list[SoundCard] = []

    def made(**options: Any) -> SoundCard:
        given = {"resource": CARD, "timeout": 2.0, "backoff": (0.01,), "library": sound, **options}
        cards.append(SoundCard(**given))
        return cards[-1]

    yield made
    sound.hang.set()
    for card in cards:
        card.close()
    # Closing ends every stream, whatever happened.
    until(lambda: all(stream.closed for stream in sound.streams))


def source_setup(**changes: Any) -> SourceSetup:
    return SourceSetup(**{"channels": (1,), "sample_rate": RATE, "peak": (0.5,), "load": (1e4,), **changes})


def detector_setup(**changes: Any) -> DetectorSetup:
    given = {"channels": (1,), "sample_rate": RATE, "points": 2000, "segments": 1, "full_scale": (1.0,)}
    return DetectorSetup(**{**given, "coupling": "AC", **changes})


def ready(card: SoundCard, source: SourceSetup | None = None, detector: DetectorSetup | None = None) -> SoundCard:
    card.open()
    card.make_safe()
    card.setup(source or source_setup())
    card.setup(detector or detector_setup())
    return card


def wave(rows: int = 2, points: int = 500, amplitude: float = 0.4) -> np.ndarray[Any, Any]:
    """Rows that begin and end at 0, each with a frequency of its own."""
    t = np.arange(points) / (points - 1)
    return amplitude * np.stack([np.sin(2 * np.pi * (3 + row) * t) for row in range(rows)])[:, None, :]


def play(card: SoundCard, wave_NCT: np.ndarray[Any, Any]) -> Capture:
    card.arm(1)
    card.load(wave_NCT)
    card.arm()
    card.fire()
    card.finish(Deadline.after(5))
    assert card.wait(Deadline.after(5)) == 1
    return card.fetch()


def refused(call: Callable[[], object], kind: str) -> TransportError:
    with pytest.raises(TransportError) as caught:
        call()
    assert caught.value.kind == kind
    return caught.value


def test_a_burst_comes_back_in_volts_behind_the_delay(make: Make, sound: SoundDouble) -> None:
    card = ready(make(volts_out=2.0, volts_in=4.0), detector=detector_setup(before=0.005, full_scale=(3.0,)))
    rows = wave()
    capture = play(card, rows)
    assert isinstance(card, Source) and isinstance(card, Detector)
    assert (capture.start, capture.counted, capture.sample_rate) == (-0.005, 1, RATE)
    volts = capture.volts()
    assert volts.shape == (1, 1, 2000)
    first = round(0.005 * RATE) + sound.delay
    # 2 V at full scale out, 4 V at full scale in: the wire doubles the volts. float32 rounds to 2**-24 of full scale.
    np.testing.assert_allclose(volts[0, 0, first : first + 1000], 2 * rows.reshape(-1), atol=4 * 2**-24)
    assert not volts[0, 0, :first].any() and not volts[0, 0, first + 1000 :].any()
    assert not capture.clipped().any()


def test_all_bursts_of_a_stream_have_one_delay_and_silence_between_them(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    captures = [play(card, wave()).codes_NCT for _ in range(5)]
    assert all((codes == captures[0]).all() for codes in captures)
    (stream,) = sound.streams
    assert np.count_nonzero(stream.played_TC) == 5 * np.count_nonzero(wave().astype(np.float32))


def test_channels_are_the_ones_that_were_asked_for(make: Make, sound: SoundDouble) -> None:
    card = ready(
        make(),
        source_setup(channels=(2, 1), peak=(0.5, 0.5), load=(1e4, 1e4)),
        detector_setup(channels=(1, 2), full_scale=(1.0, 1.0)),
    )
    two_NCT = np.concatenate([wave(), -0.5 * wave()], axis=1)
    volts = play(card, two_NCT).volts()
    part = slice(sound.delay, sound.delay + 1000)
    np.testing.assert_allclose(volts[0, 0, part], two_NCT[:, 1].reshape(-1), atol=2**-24)
    np.testing.assert_allclose(volts[0, 1, part], two_NCT[:, 0].reshape(-1), atol=2**-24)


def test_channel_2_alone_leaves_channel_1_silent(make: Make, sound: SoundDouble) -> None:
    card = ready(make(), source_setup(channels=(2,)), detector_setup(channels=(2,)))
    assert play(card, wave()).volts().any()
    assert not sound.streams[0].played_TC[:, 0].any()


@pytest.mark.parametrize("flag", FLAGS)
def test_a_burst_with_an_xrun_is_refused_and_never_returned(make: Make, sound: SoundDouble, flag: str) -> None:
    card = ready(make())
    card.arm(1)
    card.load(wave())
    card.arm()
    sound.xrun_in_burst = flag
    card.fire()
    assert flag.replace("_", " ") in str(refused(lambda: card.finish(Deadline.after(5)), "garbled"))
    refused(card.fetch, "garbled")
    assert card.faults["garbled"] == 2
    assert card.recover() == "reopened"
    card.make_safe()
    card.setup(source_setup())
    card.setup(detector_setup())
    assert play(card, wave()).volts().any()


def test_an_xrun_between_bursts_is_told_before_the_next_one(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    play(card, wave())
    sound.xrun_now = "output_underflow"
    until(lambda: card._line.state.idle_xruns)
    assert "delay" in str(refused(card.arm, "garbled"))
    with pytest.raises(InputError):
        card.fire()


def test_xruns_at_the_start_of_a_stream_are_waited_for(make: Make, sound: SoundDouble) -> None:
    sound.xruns.update({0: "input_underflow", 640: "input_underflow"})
    card = ready(make())
    play(card, wave())
    # 0.2 s of silence were waited for after the last one, before the burst.
    assert not sound.streams[0].played_TC[: 704 + int(0.2 * RATE)].any()
    assert not sound.xruns


def test_a_stream_that_never_is_sound_is_refused(make: Make, sound: SoundDouble) -> None:
    sound.xruns_for_ever = "input_overflow"
    card = make(timeout=0.2)
    card.open()
    card.setup(source_setup())
    refused(lambda: card.setup(detector_setup()), "garbled")
    assert sound.streams[0].closed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.5001, -0.5001])
def test_a_bad_sample_is_refused_before_anything_is_played(make: Make, sound: SoundDouble, bad: float) -> None:
    card = ready(make())
    rows = wave()
    card.load(rows)
    rows[1, 0, 250] = bad
    with pytest.raises(DriveError, match="Nothing was played"):
        card.load(rows)
    card.arm()
    with pytest.raises(InputError, match="must have a burst"):  # not even the good one before
        card.fire()
    assert not sound.streams[0].played_TC.any()


@pytest.mark.parametrize("shape", [(2, 500), (2, 2, 500), (0, 1, 500), (1, 1, 0)])
def test_a_burst_of_another_shape_is_refused(make: Make, shape: tuple[int, ...]) -> None:
    card = ready(make())
    with pytest.raises(InputError, match="shape"):
        card.load(np.zeros(shape))


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (source_setup(channels=(3,)), "output channels"),
        (source_setup(channels=(1, 1), peak=(0.1, 0.1), load=(1.0, 1.0)), "different"),
        (source_setup(peak=(1.5,)), "volts_out"),
        (source_setup(sample_rate=96000.0), "sample_rate"),
        (detector_setup(channels=(0,)), "input channels"),
        (detector_setup(full_scale=(2.0,)), "volts_in"),
        (detector_setup(full_scale=(float("nan"),)), "volts_in"),
        (detector_setup(coupling="DC"), "coupling"),
        (detector_setup(segments=2), "segments"),
        (detector_setup(points=0), "points"),
        (detector_setup(before=1.0), "points"),
        (detector_setup(sample_rate=float("nan")), "sample_rate"),
    ],
)
def test_a_setup_that_the_card_does_not_have_is_refused(
    make: Make, sound: SoundDouble, setup: SourceSetup | DetectorSetup, words: str
) -> None:
    card = make()
    card.open()
    with pytest.raises(InputError, match=words):
        card.setup(setup)
    assert not sound.streams


@pytest.mark.parametrize(
    "options",
    [
        {"resource": "Scarlett"},
        {"volts_out": 0.0},
        {"volts_in": float("nan")},
        {"bits": 4},
        {"reference": 0},
        {"latency": float("inf")},
        {"timeout": 0.0},
        {"backoff": (-1.0,)},
    ],
)
def test_an_option_out_of_its_range_is_refused(make: Make, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        make(**options)


def test_the_two_sides_must_have_one_rate_before_it_can_be_armed(make: Make, sound: SoundDouble) -> None:
    card = make()
    card.open()
    card.setup(source_setup())
    with pytest.raises(InputError, match="one clock"):
        card.arm()
    card.setup(detector_setup(sample_rate=44100.0))
    with pytest.raises(InputError, match="one sample rate"):
        card.arm()
    assert not sound.streams


def test_a_reference_must_be_an_input_of_the_card(make: Make) -> None:
    card = make(reference=3)
    card.open()
    with pytest.raises(InputError, match="reference input"):
        card.setup(detector_setup())


def test_more_than_one_segment_is_refused(make: Make) -> None:
    card = ready(make())
    with pytest.raises(InputError, match="1 segment"):
        card.arm(2)


def test_each_trigger_needs_an_arm_of_its_own(make: Make) -> None:
    card = ready(make())
    play(card, wave())
    with pytest.raises(InputError, match="armed"):
        card.fire()


def test_make_safe_cuts_a_burst_at_once_and_a_new_stream_needs_a_setup(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    card.load(np.full((1, 1, 1 << 20), 0.1))  # minutes
    card.arm()
    card.fire()
    until(lambda: sound.streams[0].played[-1].any())
    card.make_safe()
    assert sound.streams[0].closed
    played = len(sound.streams[0].played)
    assert card.wait(Deadline.after(0.01)) == 0
    refused(card.fetch, "timeout")
    card.load(wave())
    assert "Set it up anew" in str(refused(card.arm, "disconnected"))  # the delay would be another one
    card.setup(source_setup())
    assert play(card, wave()).volts().any()
    assert len(sound.streams) == 2 and len(sound.streams[0].played) == played


def test_make_safe_between_bursts_keeps_the_stream_and_its_delay(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    before = play(card, wave()).codes_NCT
    card.make_safe()
    with pytest.raises(InputError, match="armed"):
        card.fire()
    assert (play(card, wave()).codes_NCT == before).all()
    assert len(sound.streams) == 1


def test_setting_it_up_for_longer_records_keeps_the_stream_and_its_delay(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    before = play(card, wave()).codes_NCT
    card.setup(source_setup(peak=(0.45,)))
    card.setup(detector_setup(points=3000))
    after = play(card, wave()).codes_NCT
    assert after.shape == (1, 1, 3000) and (after[..., :2000] == before).all()
    card.setup(detector_setup(channels=(1, 2), full_scale=(1.0, 1.0)))  # that the stream does not have
    assert [stream.closed for stream in sound.streams] == [True, False]


def test_setting_it_up_while_it_plays_cuts_the_burst(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    card.load(np.full((1, 1, 1 << 20), 0.1))
    card.arm()
    card.fire()
    until(lambda: sound.streams[0].played[-1].any())
    card.setup(source_setup())
    assert [stream.closed for stream in sound.streams] == [True, False]
    assert not sound.streams[1].played_TC.any()


@pytest.mark.parametrize("gain", [1.0, -0.01])  # some cards turn the phase by half a turn
def test_with_a_reference_records_begin_with_the_burst_whatever_the_delay(
    make: Make, sound: SoundDouble, gain: float
) -> None:
    sound.gain = gain
    card = ready(make(reference=1), detector=detector_setup(before=0.001))
    rows = wave()
    for delay in (128, 640, 1999):  # samples; 1999 is 41 ms, of 52 that are allowed
        sound.delay = delay
        assert card.recover() == "reopened"
        card.setup(source_setup())
        card.setup(detector_setup(before=0.001))
        capture = play(card, rows)
        assert capture.start == -0.001 and capture.codes_NCT.shape == (1, 1, 2000)
        np.testing.assert_allclose(capture.volts()[0, 0, 48:1048], gain * rows.reshape(-1), atol=2**-24)
    silent = play(card, 0 * rows)
    assert not silent.codes_NCT.any() and silent.codes_NCT.shape == (1, 1, 2000)


def test_a_reference_that_does_not_hold_the_burst_is_refused(make: Make, sound: SoundDouble) -> None:
    card = ready(make(reference=2))  # where nothing is connected
    card.arm(1)
    card.load(wave())
    card.arm()
    card.fire()
    card.finish(Deadline.after(5))
    assert "cable" in str(refused(card.fetch, "garbled"))


def test_a_stream_that_stalls_is_a_timeout_and_is_ended_when_made_safe(make: Make, sound: SoundDouble) -> None:
    card = ready(make(timeout=1.0))
    card.load(wave())
    card.arm()
    sound.stall_at = 0
    card.fire()
    assert card.wait(Deadline.after(0.05)) == 0
    refused(lambda: card.finish(Deadline.after(0.05)), "timeout")
    card.make_safe()
    assert sound.streams[0].closed


def test_a_card_that_goes_away_is_found_again(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    card.load(wave(points=100_000))
    card.arm()
    card.fire()
    sound.end_at = 0
    refused(lambda: card.finish(Deadline.after(5)), "disconnected")
    there, sound.devices = sound.devices, []
    refused(card.recover, "disconnected")
    with pytest.raises(TransportError):
        card.make_safe()
    sound.devices, sound.end_at = there, None
    started = sound.started
    assert card.recover() == "reopened"
    assert sound.started > started  # PortAudio lists devices when it is started
    with pytest.raises(InputError):  # its setup is lost
        card.arm()


def test_another_card_under_the_same_name_is_refused(make: Make, sound: SoundDouble) -> None:
    card = ready(make())
    sound.devices[0] = {**sound.devices[0], "default_samplerate": 96000.0}
    assert "identity" in str(refused(card.recover, "disconnected"))


def test_opening_that_hangs_ends_at_its_deadline_and_the_late_stream_is_ended(make: Make, sound: SoundDouble) -> None:
    card = make(timeout=0.2)
    card.open()
    card.setup(source_setup())
    sound.hang.clear()
    begun = time.monotonic()
    refused(lambda: card.setup(detector_setup()), "timeout")
    assert time.monotonic() - begun < 2  # ten times the deadline, for a busy machine
    assert card.faults["timeout"] == 1
    card.close()
    assert not sound.streams
    with pytest.raises(TransportError, match="has not come back"):
        card.open()
    sound.hang.set()
    until(lambda: len(sound.streams) == 1 and sound.streams[0].closed)
    until(lambda: not card._line._hung.alive)  # type: ignore[union-attr]
    card.open()


def test_a_refused_stream_says_why(make: Make, sound: SoundDouble) -> None:
    card = make()
    card.open()
    card.setup(source_setup())
    sound.refuse = True
    assert "Device unavailable" in str(refused(lambda: card.setup(detector_setup()), "refused"))


def test_a_rate_that_is_not_the_one_asked_for_is_refused(make: Make, sound: SoundDouble) -> None:
    sound.found_rate = 48048.0  # 0.1 % off
    card = make()
    card.open()
    card.setup(source_setup())
    refused(lambda: card.setup(detector_setup()), "rejected")
    assert sound.streams[0].closed


def test_an_overdriven_input_shows(make: Make, sound: SoundDouble) -> None:
    sound.gain = 4.0
    assert play(ready(make()), wave()).clipped().all()


def test_it_says_what_it_is(make: Make) -> None:
    card = make(simulated=True, bits=24)
    assert card.identity == ""
    assert (card.capabilities.marks, card.recording.segments) == ("burst", 1)  # a bench asks before it opens anything
    card.open()
    assert card.identity == "Fine,Scarlett 2i2,48000 Hz,PortAudio of a test"
    assert card.simulated and not make().simulated
    plays, records = card.capabilities, card.recording
    assert (plays.channels, plays.marks, plays.sample_rate, plays.bits) == ((1, 2), "burst", (44100.0, 48000.0), 24)
    assert (records.channels, records.segments, records.sample_rates) == ((1, 2), 1, (44100.0, 48000.0))


def test_a_name_must_fit_one_device(make: Make) -> None:
    with pytest.raises(InputError, match="Scarlett 2i2, Coarse"):
        make(resource="SOUND::scarlett").open()
    with pytest.raises(InputError, match="the system has"):
        make(resource="SOUND::Focusrite").open()
    with pytest.raises(InputError, match="input device"):
        make(resource="SOUND::HDMI").open()
    card = make(resource="SOUND::HDMI", input="Scarlett 2i2, Fine")
    card.open()
    assert "HDMI + Scarlett 2i2" in card.identity


def test_two_host_apis_are_two_clocks(make: Make) -> None:
    with pytest.raises(InputError, match="two clocks"):
        make(resource="SOUND::HDMI", input="Scarlett 2i2, Coarse").open()


def test_a_card_without_a_rate_is_refused(make: Make, sound: SoundDouble) -> None:
    sound.rates.clear()
    with pytest.raises(InputError, match="at one of 8000"):
        make().open()


def test_a_card_has_one_owner(make: Make, sound: SoundDouble) -> None:
    first = make()
    first.open()
    with pytest.raises(InputError, match="already open"):
        first.open()
    with pytest.raises(InputError, match="one owner"):
        make(resource=CARD.upper()).open()
    started = sound.started
    other = make(resource="SOUND::Scarlett 2i2, Coarse")
    other.open()
    assert sound.started == started  # that would have ended the streams of the first
    first.close()
    first.close()
    make().open()


def test_without_sounddevice_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    card = SoundCard(resource=CARD)
    with pytest.raises(InputError, match=r"physnet\[sound\]"):
        card.open()
    card.close()


def test_a_card_that_was_not_opened_says_so(make: Make) -> None:
    card = make()
    refused(card.make_safe, "disconnected")
    refused(lambda: card.setup(source_setup()), "disconnected")
    with pytest.raises(InputError):
        card.load(wave())
    card.close()


def test_the_real_library_has_what_is_used_of_it() -> None:
    try:
        sounddevice = importlib.import_module("sounddevice")
    except (ImportError, OSError):  # OSError: without PortAudio
        pytest.skip("needs sounddevice and PortAudio")
    assert isinstance(sounddevice, SoundLibrary)
    assert isinstance(SoundDouble(), SoundLibrary)
    status = sounddevice.CallbackFlags()
    assert not status and not any(getattr(status, name) for name in FLAGS)
    assert all(device("any").keys() <= real.keys() for real in sounddevice.query_devices())
