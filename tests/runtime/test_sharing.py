"""Model instances of several processes on one card."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from resnet50_triton.errors import BadParameter, CardError
from resnet50_triton.runtime.instance import InstanceInfo, ModelInstance, assign
from resnet50_triton.runtime.lease import Lease, User
from runtime_support import Answers, Material

Serve = Callable[..., ModelInstance]


def _user(model: str = "a", uuid: str = "1", server: str = "1") -> User:
    return User.here(server, model, f"{uuid}.xclbin", uuid)


def test_a_lease_is_held_by_one_and_handed_over(tmp_path: Path) -> None:
    first, second = Lease(tmp_path, "xrt:0", _user("a")), Lease(tmp_path, "xrt:0", _user("b"))
    first.acquire(1)
    assert not first.contended()
    with pytest.raises(CardError, match=r"not handed over in time; it is in use by model 'a' .* 1\.xclbin"):
        second.acquire(0.05)
    assert not first.contended()
    waiting = threading.Thread(target=second.acquire, args=(10,))
    waiting.start()
    while not first.contended():
        pass
    assert not second.held
    first.release()
    waiting.join()
    assert second.held
    assert [user.model for user in second.others()] == ["a"]
    first.close()
    assert second.others() == []
    second.close()


def test_another_image_is_an_error_that_names_both(tmp_path: Path) -> None:
    Lease(tmp_path, "xrt:0", _user("a", "1"))
    with pytest.raises(CardError, match=r"in use by model 'a' .* 1\.xclbin \(UUID 1\).* 2\.xclbin \(UUID 2\)"):
        Lease(tmp_path, "xrt:0", _user("b", "2"))
    with pytest.raises(CardError, match="in use by model 'a'"):
        Lease(tmp_path, "xrt:0", _user("a", "2", server="2"))
    Lease(tmp_path, "xrt:0", _user("a", "2")).close()  # the same model, being reloaded


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        Lease(tmp_path, "xrt:0", _user("a", "1")).acquire(1)
        os._exit(0)
    os.waitpid(pid, 0)
    lease = Lease(tmp_path, "xrt:0", _user("b", "2"))
    lease.acquire(1)
    assert list(tmp_path.glob("user-*")) == [lease.entry]


# Two instances here stand for two processes: each has a card of its own that goes by the same name to the lease.


@pytest.fixture
def two(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModelInstance]:
    monkeypatch.setattr("resnet50_triton.runtime.instance.card_directory", lambda *_: tmp_path / "one-card")
    return serve


def test_two_models_share_a_card_start_by_start(two: Serve, material: Material) -> None:
    instances = [
        two(InstanceInfo("a", "1"), card="faulty:92"),
        two(InstanceInfo("b", "1"), card="faulty:93"),
    ]
    answers = [Answers(material), Answers(material)]

    def load(instance: ModelInstance, mine: Answers) -> None:
        for _ in range(15):
            mine.send(instance, 2)

    threads = [threading.Thread(target=load, args=pair) for pair in zip(instances, answers, strict=True)]
    for thread in threads:
        thread.start()
    for thread, mine in zip(threads, answers, strict=True):
        thread.join()
        mine.wait()
        assert mine.right == 15


def test_a_model_loaded_anew_takes_the_card_with_another_image_and_gives_it_back(
    two: Serve, material: Material
) -> None:
    old = two(InstanceInfo("a", "1"), card="faulty:92")
    answers = Answers(material)
    answers.send(old, 4)
    new = two(InstanceInfo("a", "1"), card="faulty:93", xclbin=str(material.folder / "other.xclbin"))
    assert new.scheduler.is_ready()
    answers.send(old, 4, 3)  # the old one still has requests to answer
    answers.wait()
    assert answers.right == 3
    old.close()
    assert new.scheduler.is_ready()


def test_a_bad_new_version_leaves_the_old_one_serving(two: Serve, tmp_path: Path, answers: Answers) -> None:
    old = two(card="faulty:92")
    (tmp_path / "bad.xclbin").write_bytes(b"xclbin2\0" + bytes(500))
    for change in ({"xclbin": str(tmp_path / "bad.xclbin")}, {"fcweights": str(tmp_path / "bad.xclbin")}):
        with pytest.raises(Exception, match=r"bad\.xclbin"):
            two(card="faulty:93", **change)
        answers.send(old, 4)
    answers.wait()
    assert answers.right == 2


def test_instances_map_to_cards() -> None:
    cards = ["xrt:0", "xrt:1", "xrt:2"]
    assert [assign(cards, InstanceInfo("m", "1", i, 2)) for i in range(2)] == [["xrt:0", "xrt:2"], ["xrt:1"]]
    assert [assign(cards, InstanceInfo("m", "1", i, 4)) for i in range(4)] == [
        ["xrt:0"],
        ["xrt:1"],
        ["xrt:2"],
        ["xrt:0"],
    ]


def test_the_uuid_is_checked(serve: Serve) -> None:
    with pytest.raises(BadParameter, match=r"xclbin_uuid is '12', but .* has the UUID"):
        serve(xclbin_uuid="12")
