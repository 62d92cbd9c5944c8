"""Processes: who judges what, and how they find each other; `test_split` and `test_evaluation` start real ones."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist

from eval.judging.process import Process, end_process, start_process
from tdam.errors import UsageError, UserError


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_batch_is_judged_by_one_process_in_turn(batch_size, count):
    for images in range(20):
        batches = [list(range(images))[start : start + batch_size] for start in range(0, images, batch_size)]
        for rank in range(count):
            own = [image for batch in batches[rank::count] for image in batch]
            assert Process(rank, count).share(images, batch_size).tolist() == own


def test_one_process_alone_is_the_first_and_asks_nobody(monkeypatch):
    monkeypatch.setattr(dist, "barrier", lambda: pytest.fail("there is nobody to wait for"))
    alone = Process()
    assert alone.is_first
    assert alone.share(3).tolist() == [0, 1, 2]
    assert alone.gather("a") == ["a"]
    alone.wait()


def test_several_processes_wait_and_gather_in_order_of_rank(monkeypatch):
    waited = []

    def fill(values, value):
        values[:] = ["of the first", value]

    monkeypatch.setattr(dist, "barrier", lambda: waited.append(True))
    monkeypatch.setattr(dist, "all_gather_object", fill)
    second = Process(1, 2)
    second.wait()
    assert waited == [True]
    assert second.gather("of the second") == ["of the first", "of the second"]
    assert not second.is_first


class Threads:
    """A process group of threads, in the place of torch.distributed."""

    def __init__(self, monkeypatch, count):
        self.count, self.own, self.together = count, threading.local(), threading.Barrier(count, timeout=10)
        self.values, self.ways = [None] * count, [queue.Queue() for _ in range(count)]
        for name in ("barrier", "all_gather_object", "send", "recv"):
            monkeypatch.setattr(dist, name, getattr(self, name))

    def run(self, work):
        def member(rank):
            self.own.rank = rank
            return work(rank)

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(member, range(self.count)))

    def barrier(self):
        self.together.wait()

    def all_gather_object(self, values, value):
        self.values[self.own.rank] = value
        self.together.wait()
        values[:] = self.values
        self.together.wait()

    def send(self, tensor, dst):
        assert dst == 0
        self.ways[self.own.rank].put(tensor.clone())

    def recv(self, tensor, src):
        sent = self.ways[src].get(timeout=10)
        assert (sent.shape, sent.dtype) == (tensor.shape, tensor.dtype)
        tensor.copy_(sent)
        return src


def test_files_travel_to_the_first_process(tmp_path, monkeypatch):
    """0 and 2 share a folder; 1 is on another machine."""
    monkeypatch.setattr("eval.judging.process.BLOCK", 2)

    def collect(rank):
        own = tmp_path / f"machine-{rank % 2}"
        own.mkdir(exist_ok=True)
        (own / f"{rank}.bin").write_bytes(bytes([rank]) * (5 * rank))
        Process(rank, 3).collect([own / f"{number}.bin" for number in range(3)])

    Threads(monkeypatch, 3).run(collect)
    first, other = tmp_path / "machine-0", tmp_path / "machine-1"
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        "0.bin": b"",
        "1.bin": bytes([1]) * 5,
        "2.bin": bytes([2]) * 10,
    }
    assert [path.name for path in other.iterdir()] == ["1.bin"]


def test_what_the_first_process_works_out_is_heard_by_all(monkeypatch):
    answers = Threads(monkeypatch, 3).run(lambda rank: Process(rank, 3).first_only(lambda: f"from {rank}"))
    assert answers == ["from 0"] * 3
    assert Process().first_only(lambda: "alone") == "alone"

    def refuse(rank):
        raise UsageError(f"{rank} refuses")

    def heard(rank):
        with pytest.raises(UserError, match="0 refuses") as refused:
            Process(rank, 3).first_only(lambda: refuse(rank))
        return refused.type

    assert Threads(monkeypatch, 3).run(heard) == [UsageError, UserError, UserError]


class Group:
    """What start_process and end_process ask of torch.distributed."""

    def __init__(self, monkeypatch, initialized=False):
        self.backends, self.destroyed = [], 0
        monkeypatch.setattr(dist, "is_initialized", lambda: initialized or bool(self.backends))
        monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: self.backends.append(backend))
        monkeypatch.setattr(dist, "destroy_process_group", self.destroy)
        monkeypatch.setattr(dist, "get_rank", lambda: 2)
        monkeypatch.setattr(dist, "get_world_size", lambda: 3)

    def destroy(self):
        self.destroyed += 1


def with_gpus(monkeypatch, local_rank):
    """As on a machine with GPUs; returns the devices that were made current."""
    current = []
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    monkeypatch.setattr("eval.judging.process.open_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


@pytest.mark.parametrize("world_size", [None, "1"])
def test_a_process_alone_joins_no_group(monkeypatch, world_size):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world_size:
        monkeypatch.setenv("WORLD_SIZE", world_size)
    group = Group(monkeypatch)
    current = with_gpus(monkeypatch, "1")
    assert start_process("cpu") == (Process(), torch.device("cpu"))
    assert start_process("cuda:0") == (Process(), torch.device("cuda:0"))
    end_process()
    assert (group.backends, group.destroyed, current) == ([], 0, [])


def test_processes_without_a_gpu_meet_over_gloo(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    group = Group(monkeypatch)
    assert start_process("cpu") == (Process(2, 3), torch.device("cpu"))
    assert start_process("cpu") == (Process(2, 3), torch.device("cpu"))
    assert group.backends == ["gloo"], "the group is joined once"
    end_process()
    assert group.destroyed == 1


def test_a_group_that_the_caller_joined_is_taken(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    group = Group(monkeypatch, initialized=True)
    assert start_process("cpu")[0] == Process(2, 3)
    assert group.backends == []


def test_every_process_takes_its_own_gpu_and_counts_on_the_cpu_as_well(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    group = Group(monkeypatch)
    current = with_gpus(monkeypatch, "1")
    process, device = start_process("cuda")
    assert process == Process(2, 3)
    assert device == torch.device("cuda:1")
    assert current == [device]
    assert group.backends == ["cpu:gloo,cuda:nccl"]
