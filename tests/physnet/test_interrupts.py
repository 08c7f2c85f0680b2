from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from physnet.errors import Stopped
from physnet.interrupts import StopRequest

SIGNALS = [signal.SIGINT, signal.SIGTERM]


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
