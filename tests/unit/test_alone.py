"""When `execute` waits for the answer: hardly ever while somebody else could be served."""

from __future__ import annotations

from resnet50_triton.triton.alone import Alone


def waits_of(clients: int, requests: int) -> list[bool]:
    """Whether each request was waited for, with so many clients that ask again as soon as they are answered."""
    alone = Alone()
    waits = []
    on_the_card = 0
    for _ in range(requests):
        waits.append(alone.should_wait(1, on_the_card == 0))
        # Waited for, it is answered; else it stays there while another client asks, where there is one.
        on_the_card = 0 if waits[-1] or clients == 1 else 1
    return waits


def test_a_client_that_is_alone_is_waited_for_most_of_the_time() -> None:
    waits = waits_of(1, 80)
    assert not any(waits[:8])
    assert sum(waits[8:]) == 72 - 9


def test_two_clients_are_not_waited_for() -> None:
    assert not any(waits_of(2, 80))


def test_a_second_client_is_noticed_soon() -> None:
    alone = Alone()
    while not alone.should_wait(1, True):
        pass
    # The card is always idle when a request comes, because each is waited for; but one in eight is not:
    assert sum(alone.should_wait(1, True) for _ in range(8)) == 7
    assert not alone.should_wait(1, False)  # and during that one another comes
    assert not any(alone.should_wait(1, True) for _ in range(8))


def test_requests_in_a_batch_are_not_alone() -> None:
    alone = Alone()
    assert not any(alone.should_wait(2, True) for _ in range(50))
    assert not alone.should_wait(1, True)
