"""Options of tritonserver with which it would not become ready, or `serve` not notice."""

from __future__ import annotations

import pytest
from resnet50_triton.errors import BadParameter
from resnet50_triton.server.options import check_options, is_off


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--allow-http=false", "switches off what serve needs"),
        ("--allow-http=0", "switches off"),
        ("--allow-h=OFF", "switches off"),  # tritonserver completes names
        ("--allow-metrics=false", "switches off"),
        ("--http-port=9000", "give --http-port to serve itself"),
        ("--http-po=9000", "give --http-port to serve itself"),
        ("--grpc-address=0.0.0.0", "give --host to serve itself"),
        ("--model-repository=x", "give --model-repository to serve itself"),
        ("--help", "run tritonserver --help"),
        ("--http-restricted-api=model-repository,health:key=value", "'health' has to be open"),
        ("--backend-config=python,shm-region-prefix-name=mine", "leave it out"),
        ("--grpc-use-ssl", "--option=--grpc-use-ssl=VALUE"),
        ("true", "is no option"),
        ("--", "is no option"),
        ("-v", "is no option"),
    ],
)
def test_refused(option: str, message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        check_options([option])


def test_taken() -> None:
    check_options(
        [
            "--allow-http=true",
            "--allow-grpc=false",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--http-restricted-api=model-repository:key=value",
            "--backend-config=python,shm-default-byte-size=2097152",
            "--disable-auto-complete-config",
            "--exit-timeout-secs=3",
        ]
    )


def test_the_last_one_counts() -> None:
    assert is_off(["--allow-grpc=true", "--allow-grpc=false"], "allow-grpc")
    assert not is_off(["--allow-grpc=false", "--allow-grpc=1"], "allow-grpc")
    assert not is_off([], "allow-grpc")
