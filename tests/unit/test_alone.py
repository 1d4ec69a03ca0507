"""When `execute` waits for the answer: never while somebody else could be served."""

from __future__ import annotations

from resnet50_pynq.serving.alone import Alone


class Client:
    """Asks as `way` says, on a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 5.0
        self.alone = Alone(lambda: self.now_s)

    def ask(self, after_s: float, card_is_idle: bool = True, requests: int = 1) -> bool:
        self.now_s += after_s
        waits = self.alone.should_wait(requests, card_is_idle)
        if waits:
            self.now_s += 2e-3
            self.alone.returns()
        return waits


def test_requests_that_come_one_at_a_time_are_waited_for() -> None:
    client = Client()
    assert [client.ask(1e-3) for _ in range(6)] == [False, False, False, True, True, True]


def test_a_request_that_was_kept_waiting_ends_it_for_long() -> None:
    client = Client()
    assert [client.ask(1e-3) for _ in range(4)][-1]
    assert not client.ask(20e-6)
    assert not any(client.ask(1e-3) for _ in range(99))
    assert client.ask(1e-3)


def test_a_busy_card_is_never_waited_for() -> None:
    client = Client()
    assert not any(client.ask(1e-3, card_is_idle=n % 3 != 0) for n in range(50))
    while not client.ask(1e-3):
        pass
    assert not client.ask(1e-3, card_is_idle=False)


def test_requests_in_a_batch_are_not_alone() -> None:
    client = Client()
    assert not any(client.ask(1e-3, requests=2) for _ in range(50))
    assert client.ask(1e-3)
