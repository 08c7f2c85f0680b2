from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

import physnet
from physnet.encoders import Absolute
from physnet.errors import Stopped
from physnet.interrupts import StopRequest, deferred_signals

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    after = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_remembered_until_someone_asks(number: signal.Signals) -> None:
    with StopRequest() as request:
        request.check()
        signal.raise_signal(number)
        with pytest.raises(Stopped) as caught:
            request.check()
    assert caught.value.signal_number == number
    assert caught.value.exit_code == 128 + number
    assert number.name in str(caught.value)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_interrupts_at_once(number: signal.Signals) -> None:
    with pytest.raises(Stopped) as caught, StopRequest():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(number)
        pytest.fail("the second signal was not taken at once")
    assert caught.value.signal_number == number


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopRequest() as request:
            signal.raise_signal(signal.SIGHUP)
            request.check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError), StopRequest():
        raise RuntimeError


def test_a_request_survives_its_block() -> None:
    request = StopRequest()
    with request:
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Stopped):
        request.check()


def test_off_the_main_thread_it_does_nothing() -> None:
    outcome: list[BaseException | None] = []

    def work() -> None:
        try:
            with StopRequest() as request:
                request.check()
        except BaseException as error:
            outcome.append(error)
        else:
            outcome.append(None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [None]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_safe_state_sequence_is_finished_whatever_signals_come(number: signal.Signals) -> None:
    log = []
    with StopRequest() as request:
        signal.raise_signal(number)
        with pytest.raises(Stopped), deferred_signals():
            log.append("begin")
            signal.raise_signal(number)
            log.append("safe")
        with pytest.raises(Stopped):
            request.check()
    assert log == ["begin", "safe"]


def test_leaving_a_network_is_not_interrupted() -> None:
    log: list[str] = []

    class Ramp(type(physnet.system(abs, drives=4, responses=4))):  # type: ignore[misc]
        def __exit__(self, *_: object) -> None:
            log.append("ramp down")
            signal.raise_signal(signal.SIGINT)
            log.append("off")

    plain = physnet.system(abs, drives=4, responses=4)
    layer = physnet.PhysicalLayer(
        port=physnet.Port(Ramp(abs, plain.spec)), inputs=4, width=2, encoder=Absolute(), seed=0
    )
    # Started in the background, a process inherits that SIGINT is ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), physnet.Network([layer], features=4):
            pass
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert log == ["ramp down", "off"]


def test_deferring_off_the_main_thread_does_nothing() -> None:
    done = []

    def work() -> None:
        with deferred_signals():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
