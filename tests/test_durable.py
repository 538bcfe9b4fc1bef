"""Files and folders written so that a reader sees all or nothing, and a crash leaves what was promised."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from spool import durable, writeback
from tests.crash.shim import Shim
from tests.listener import Listener


def test_invariant_1_a_disk_that_refuses_to_begin_is_heard_and_one_that_cannot_is_not(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x")
        file.flush()
        writeback.begin(file.fileno())
        closed = os.dup(file.fileno())
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        writeback.begin(closed)
    ours, theirs = os.pipe()
    writeback.begin(theirs)  # a pipe has no pages to write
    os.close(ours)
    os.close(theirs)


def test_invariant_1_a_new_folder_is_on_the_disk_with_those_above_it(tmp_path: Path) -> None:
    heard = Listener()
    with Shim(tmp_path, heard).installed():
        durable.make_folder(tmp_path / "srv" / "spool" / "keys")
    assert heard.calls == [f"fsync {tmp_path.name}", "fsync srv", "fsync spool"]


def test_invariant_3_a_reader_of_a_product_sees_all_of_it_or_none(tmp_path: Path) -> None:
    path = tmp_path / "model.glb"
    contents = [bytes([number]) * 50_000 for number in range(4)]
    done = threading.Event()
    torn: list[int] = []

    def read() -> None:
        while not done.is_set():
            if path.exists() and (found := path.read_bytes()) not in contents:
                torn.append(len(found))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        durable.replace(path, contents[number % 4], durable=number % 10 == 0)
    done.set()
    reader.join()
    assert torn == []
    assert os.listdir(tmp_path) == ["model.glb"]


def test_invariant_3_a_product_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.glb"
    durable.replace(path, b"old")
    heard = Listener(durable.aside_of(Path("model.glb")).name)
    with Shim(tmp_path, heard).installed(), pytest.raises(OSError, match="Input/output"):
        durable.replace(path, b"new")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["model.glb"])


def test_two_threads_that_replace_one_file_leave_one_whole_content(tmp_path: Path) -> None:
    target = tmp_path / "request.json"
    contents = [bytes([65 + at]) * (1 + 40_000 * at) for at in range(3)]
    go = threading.Barrier(len(contents))

    def write(content: bytes) -> None:
        for _ in range(20):
            go.wait(30)
            durable.replace(target, content, durable=False)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for _ in range(200):
        if target.exists():
            assert target.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert target.read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


def test_what_may_be_lost_is_not_fsynced_and_all_else_is(tmp_path: Path) -> None:
    """An outpost's copy of a job (`durable.passing`): the record is on the head, written by another thread."""
    passing, heard = Listener(), Listener()
    with Shim(tmp_path, passing).installed(), durable.passing():
        durable.replace(tmp_path / "product", b"there")
    with Shim(tmp_path, heard).installed():
        durable.replace(tmp_path / "product", b"here")
    assert not [call for call in passing.calls if call.startswith("fsync")]
    assert len([call for call in heard.calls if call.startswith("fsync")]) == 2
    elsewhere: list[bool] = []
    with durable.passing():
        thread = threading.Thread(target=lambda: elsewhere.append(durable._passing.get()))
        thread.start()
        thread.join()
    assert elsewhere == [False]
