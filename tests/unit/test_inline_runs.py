"""When `execute` runs a request inline: hardly ever while another request could be served."""

from __future__ import annotations

from resnet50_triton.triton.inline import InlineRuns


def inline_of(clients: int, requests: int) -> list[bool]:
    """Whether each request was run inline, with so many clients that ask again as soon as they are answered."""
    runs = InlineRuns()
    inline = []
    on_the_card = 0
    for _ in range(requests):
        inline.append(runs.is_due(1, on_the_card == 0))
        # Run inline, it is answered; else it stays there while another client asks, where there is one.
        on_the_card = 0 if inline[-1] or clients == 1 else 1
    return inline


def test_a_client_that_is_alone_is_run_inline_most_of_the_time() -> None:
    inline = inline_of(1, 80)
    assert not any(inline[:8])
    assert sum(inline[8:]) == 72 - 9


def test_two_clients_are_not_run_inline() -> None:
    assert not any(inline_of(2, 80))


def test_a_second_client_is_noticed_soon() -> None:
    runs = InlineRuns()
    while not runs.is_due(1, True):
        pass
    # The card is always idle when a request comes, because each is run inline; but one in eight is not:
    assert sum(runs.is_due(1, True) for _ in range(8)) == 7
    assert not runs.is_due(1, False)  # and during that one another comes
    assert not any(runs.is_due(1, True) for _ in range(8))


def test_requests_in_a_batch_are_not_run_inline() -> None:
    runs = InlineRuns()
    assert not any(runs.is_due(2, True) for _ in range(50))
    assert not runs.is_due(1, True)
