"""A bench of tones: a source plays rows of tones into a medium, a detector records what comes out.

Every row carries a nonce, so that a record is used for the very row that it belongs to, or not at all: one that is
stale, or of another bench, has another nonce; and when a trigger was missed, the other records still find their rows.

Axis letters: N rows; S shots; C channels; T samples; R responses.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import Cost, DriveSpec, Flag, Passes, Reading, ResponseSpec, SystemSpec
from physnet.errors import InputError, MeasurementError, SpecError

from ..roles import Detector, Source, SourceSetup
from .averaging import average_responses, average_traces, spread, subtract_dark
from .bench import Bench
from .burst import BurstPlayer, Records
from .calibration import Calibration, Calibrator
from .codec import ToneCodec
from .config import ToneBenchFile, digest, plain
from .identity import Nonces
from .rack import Rack
from .row_bounds import joint_limit, row_bounds
from .waveform_limits import WaveformLimits

_WHOLE = 0.98  # of a row: what of it a calibration records; the detector needs a moment to arm again
_CONFIRMED = 16  # rows


class ToneBench(Bench):
    """A source, a detector, a trigger between them, and a codec.

    One call of `measure` is one burst for each shot: as many rows as the memories hold, and no longer than
    `chunk.seconds`. In each burst rows of silence are played at random places.

    Args:
        file: The bench file.
        source: What plays.
        detector: What listens.
        rack: Both, for opening and for safety.
        simulated: Whether both are simulated.
        name: Name in the spec.

    Raises:
        SpecError: What the file describes contradicts itself, or what the instruments can do.
    """

    def __init__(
        self,
        file: ToneBenchFile,
        *,
        source: Source,
        detector: Detector,
        rack: Rack,
        simulated: bool,
        name: str,
    ) -> None:
        self._file, self._source, self._detector = file, source, detector
        self._channels = len(file.source.channels)
        self._limits = WaveformLimits(**file.limits.model_dump())
        self._limits.of("peak", self._channels)  # one per channel
        guard = file.codec.guard if file.codec.guard != "measured" else file.calibration.longest_guard
        self._codec = self._made(guard)
        self._codec.check_detector(file.detector.sample_rate)
        self._dark = file.chunk.dark
        self._rows = self._fitting(self._codec, self._listen(self._codec), file.chunk.rows + file.chunk.dark)
        self._nonces = Nonces(len(self._codec.pilot_tones)) if self._codec.pilot_tones else None
        self._player: BurstPlayer | None = None
        self._calibration: Calibration | None = None
        found: dict[str, Any] = {}
        super().__init__(self._described(file, simulated=simulated, name=name, found=found), rack, found)

    def _described(self, file: ToneBenchFile, *, simulated: bool, name: str, found: dict[str, Any]) -> SystemSpec:
        codec, options = self._codec, file.codec
        detectors = len(file.detector.channels)
        row = codec.layout.duration
        return SystemSpec(
            name=name,
            kind="simulated" if simulated else "measured",
            drive=DriveSpec(
                shape=(options.drives,),
                low=codec.low,
                high=1.0,
                domain="real" if options.signed else "non_negative",
                axes=("drive",),
                max_sum=joint_limit(codec, self._limits),
            ),
            response=ResponseSpec(
                shape=(detectors * codec.each,), unit=codec.unit, dtype=codec.dtype, axes=("response",)
            ),
            nonlinearity=frozenset({"medium"} if options.response == "lock_in" else {"medium", "detector"}),
            stateful=file.stateful,
            cost=Cost(
                per_pass=row * file.averaging.shots,
                per_batch=row * file.averaging.shots * self._dark,
                settle=codec.layout.guard,
            ),
            resource=f"bench:{file.name}",
            max_batch=self._rows - self._dark,
            identity={"model": "ToneBench", "bench": plain(file), "digest": digest(file), "found": found},
        )

    def _made(self, guard: float) -> ToneCodec:
        step = self._source.capabilities.step
        return ToneCodec(self._file.codec, channels=self._channels, step=step, guard=guard)

    def _fitting(self, codec: ToneCodec, listen: float, wanted: int) -> int:
        """Rows, dark ones included, that both memories hold and that are over soon enough for a stop."""
        file, row, least = self._file, codec.layout, 1 + self._dark
        source, detector = self._source.capabilities, self._detector.recording
        listened = math.ceil(listen * file.detector.sample_rate)
        by_detector = detector.points // listened
        if source.marks == "row" and detector.segments > 1:
            by_detector = min(by_detector, detector.segments)
        rows = {
            "chunk.rows": wanted,
            f"chunk.seconds = {file.chunk.seconds:g} s": int(file.chunk.seconds / row.duration),
            f"the source's memory of {source.points[1]} samples": source.points[1] // row.samples,
            f"the detector's memory of {detector.points} samples": by_detector,
        }
        fewest = min(rows, key=lambda name: rows[name])
        if rows[fewest] < least:
            raise SpecError(
                f"a burst of {file.name} must hold {least} rows, the dark ones included, and by {fewest} it holds "
                f"{rows[fewest]} of {row.duration:.3g} s. Make rows shorter (fewer slots, a shorter guard or "
                "pilot_slot), or use fewer dark ones."
            )
        return rows[fewest]

    def _listen(self, codec: ToneCodec) -> float:
        """How long a row is recorded from its beginning, in s."""
        longest = self._file.calibration
        delay = longest.longest_delay if longest.delay == "measured" else longest.delay
        return codec.span(min(delay, codec.layout.guard))[1]

    def _player_of(self, codec: ToneCodec, rows: int, listen: float) -> BurstPlayer:
        file = self._file
        # No row is ever higher than the bounds: a range that fits them wastes no bits of the converter.
        highest_C = row_bounds(codec, max_sum=self._spec.drive.max_sum).peak
        return BurstPlayer(
            self._source,
            self._detector,
            source_setup=SourceSetup(
                channels=file.source.channels,
                sample_rate=file.codec.sample_rate,
                peak=tuple(np.minimum(highest_C, self._limits.of("peak", self._channels)).tolist()),
                load=file.source.ohms,
            ),
            channels=file.detector.channels,
            full_scale=file.detector.full_scale,
            coupling=file.detector.coupling,
            sample_rate=file.detector.sample_rate,
            row_samples=codec.layout.samples,
            rows=rows,
            listen=listen,
            margin=file.chunk.margin,
        )

    def _setup(self, role: str) -> None:
        if self._player is None:
            return  # the calibration does it
        if role == "source":
            self._player.setup_source()
        if role == "detector" or "detector" not in self._rack.roles:  # one device is both
            self._player.setup_detector()

    def _calibrate(self) -> None:
        section = self._file.calibration
        codec = self._made(max(section.longest_guard, self._codec.layout.guard))
        listen = _WHOLE * codec.layout.duration
        rows = self._fitting(codec, listen, 3 * section.rows)
        player = self._player_of(codec, rows, listen)
        player.setup()
        found = Calibrator(
            section, codec=codec, player=player, limits=self._limits, max_sum=self._spec.drive.max_sum
        ).run()
        self._codec, self._calibration = self._made(found.guard), found
        self._player = self._player_of(self._codec, self._rows, self._listen(self._codec))
        self._player.setup()
        self._found["calibration"] = found.as_dict()
        self._confirm()

    def _after_recovery(self) -> None:
        if not self._source.capabilities.steady:
            self._rack.lost.update(self._rack.roles)  # until it is over, they are set up for it
            self._calibrate()
            self._rack.lost.clear()

    def _confirm(self) -> None:
        """Play a few random rows as they are going to be played, and make sure that each is told by its nonce."""
        if self._nonces is None:
            return
        assert self._calibration is not None and self._calibration.pilot is not None and self._player is not None
        rng = np.random.default_rng(0)
        rows = min(_CONFIRMED, self._rows)
        drive_ND = rng.uniform(self._codec.low, 1.0, (rows, self._file.codec.drives))
        if (most := self._spec.drive.max_sum) is not None:
            drive_ND *= np.minimum(1.0, most / np.abs(drive_ND).sum(1, keepdims=True))
        words_N = self._nonces.take(rows)
        waveform_NCT = self._codec.encode(drive_ND, words_N)
        self._limits.check(waveform_NCT, self._file.codec.sample_rate)
        records = self._player.play(waveform_NCT)
        if len(records.volts_NCT) != rows:
            raise MeasurementError(f"{rows} rows were played and {len(records.volts_NCT)} recorded. Check the trigger.")
        levels = self._codec.pilot_levels(
            records.volts_NCT, sample_rate=records.sample_rate, start=records.start, delay=self._calibration.delay
        )
        try:
            self._found["calibration"]["pilot_confirmed"] = self._calibration.pilot.confirm(levels, words_N)
        except MeasurementError as error:
            raise InputError(f"the bench must tell rows by their pilot: {error}") from error

    def _play(self, drive_ND: NDArray[Any], passes: Passes, started: float) -> Reading:
        rows, whole = len(drive_ND), len(drive_ND) + self._dark
        # Where dark rows stand depends on the rows alone, and is another place in every burst.
        order = np.random.default_rng([int(passes[0]), whole]).permutation(whole)
        dark, places = np.sort(order[: self._dark]), np.sort(order[self._dark :])
        played_ND = np.zeros((whole, drive_ND.shape[1]))
        played_ND[places] = drive_ND
        shots = [self._shot(played_ND) for _ in range(self._file.averaging.shots)]
        valid_N = np.logical_and.reduce([shot.valid_N for shot in shots])
        flags_N = np.bitwise_or.reduce([shot.flags_N for shot in shots])
        if not valid_N[places].any():
            raise self.refuse("lost", f"none of {rows} rows was recorded as it was played. See the faults by kind.")
        mean_NR, spread_NR = self._averaged(shots)
        heard = dark[valid_N[dark]]
        response_NR, weak_N = self._against_dark(mean_NR[places], mean_NR[heard])
        flags_N = flags_N[places] | np.where(weak_N, Flag.LOW_SIGNAL, Flag.NONE).astype(np.uint8)
        return Reading(
            response=response_NR,
            valid=valid_N[places],
            flags=flags_N,
            started=started,
            stopped=time.time(),
            shots=len(shots),
            spread=None if spread_NR is None else spread_NR[places],
        )

    def _shot(self, drive_ND: NDArray[np.float64]) -> _Shot:
        assert self._player is not None and self._calibration is not None
        words_N = None if self._nonces is None else self._nonces.take(len(drive_ND))
        waveform_NCT = self._codec.encode(drive_ND, words_N)
        self._limits.check(waveform_NCT, self._file.codec.sample_rate)
        records = self._player.play(waveform_NCT)
        if records.counted != records.expected:
            self.count("miscounted")
        if words_N is None:
            return self._in_order(records, len(drive_ND))
        return self._by_nonce(records, words_N)

    def _in_order(self, records: Records, rows: int) -> _Shot:
        """Without nonces, a burst is believed as a whole or not at all."""
        if records.counted != records.expected or len(records.volts_NCT) != rows:
            raise self.refuse(
                "miscounted",
                f"{records.expected} triggers were given and {records.counted} counted, and without a pilot nobody "
                "knows which row is which. Check the trigger cable, or set codec.identity = 'pilot'.",
            )
        flags_N = np.where(records.clipped_N, Flag.CLIPPED, Flag.NONE).astype(np.uint8)
        return _Shot(volts_NCT=records.volts_NCT, valid_N=np.ones(rows, np.bool_), flags_N=flags_N, records=records)

    def _by_nonce(self, records: Records, words_N: NDArray[np.int64]) -> _Shot:
        """Give each record to the row whose nonce it carries; the others are counted and dropped."""
        assert self._calibration is not None and self._calibration.pilot is not None
        rows = len(words_N)
        volts_NCT = np.zeros((rows, *records.volts_NCT.shape[1:]))
        valid_N, flags_N = np.zeros(rows, np.bool_), np.zeros(rows, np.uint8)
        if len(records.volts_NCT):
            levels = self._codec.pilot_levels(
                records.volts_NCT, sample_rate=records.sample_rate, start=records.start, delay=self._calibration.delay
            )
            heard_N = self._calibration.pilot.read(levels).words_N
            row_of = {int(word): row for row, word in enumerate(words_N)}
            for record, word in enumerate(heard_N):
                row = row_of.get(int(word))
                if row is None or valid_N[row]:
                    self.count("stale")
                    continue
                volts_NCT[row], valid_N[row] = records.volts_NCT[record], True
                flags_N[row] = Flag.CLIPPED if records.clipped_N[record] else Flag.NONE
        return _Shot(volts_NCT=volts_NCT, valid_N=valid_N, flags_N=flags_N, records=records)

    def _averaged(self, shots: list[_Shot]) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """Return responses, and the spread of one shot's where there are several."""
        response = self._file.codec.response
        each_SNR = np.stack([self._decoded(shot.volts_NCT, shot) for shot in shots])
        empty = any(not shot.volts_NCT.shape[2] for shot in shots)
        if empty or self._file.averaging.mode == "incoherent" or len(shots) == 1:
            return average_responses(each_SNR, response)
        mean_NCT, _ = average_traces(np.stack([shot.volts_NCT for shot in shots]))
        return self._decoded(mean_NCT, shots[0]), spread(each_SNR, response)

    def _decoded(self, volts_NCT: NDArray[np.float64], shot: _Shot) -> NDArray[Any]:
        assert self._calibration is not None
        if not volts_NCT.shape[2]:  # nothing was recorded: no row of it is valid
            return np.zeros((len(volts_NCT), *self._spec.response.shape), self._codec.dtype)
        records, delay = shot.records, self._calibration.delay
        return self._codec.decode(volts_NCT, sample_rate=records.sample_rate, start=records.start, delay=delay)

    def _against_dark(self, response_NR: NDArray[Any], dark_NR: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Take the dark rows off what they belong to, and tell rows that are no stronger than they are."""
        kind = self._file.codec.response
        if not len(dark_NR) or kind == "phase":  # a phase says nothing of strength
            return response_NR, np.zeros(len(response_NR), np.bool_)
        level_N = np.sqrt(np.mean(np.abs(response_NR) ** 2, axis=1))
        weak_N = level_N < self._file.chunk.low_signal * np.sqrt(np.mean(np.abs(dark_NR) ** 2))
        if kind == "lock_in":
            return response_NR, weak_N
        return subtract_dark(response_NR, dark_NR, kind), weak_N


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Shot:
    """The records of one burst, row by row."""

    volts_NCT: NDArray[np.float64]
    valid_N: NDArray[np.bool_]
    flags_N: NDArray[np.uint8]
    records: Records
