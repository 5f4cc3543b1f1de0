"""Processes that share work: who does what, waiting, agreeing, and the end of all when one ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny.ranks import in_ranks
from torch.distributed import HashStore, ProcessGroupGloo

from colorflow.distributed.launch import Place, find_place, join_ranks
from colorflow.distributed.ranks import JoinedRanks, RankError, Ranks


def _rank(rank: int, world: int) -> Ranks:
    ranks = Ranks()
    ranks.rank, ranks.world = rank, world
    return ranks


@given(st.integers(0, 60), st.integers(1, 9))
def test_parts_are_neighbours_of_equal_length_and_leave_nothing_out(count: int, world: int) -> None:
    parts = [_rank(rank, world).part(range(count)) for rank in range(world)]
    assert [item for part in parts for item in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_there_is_nobody_to_wait_for() -> None:
    with join_ranks(None) as ranks:
        assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
        assert ranks.part([1, 2]) == [1, 2]
        assert ranks.gather("x", 3) == [3]
        assert ranks.share("x", lambda: 4) == 4
        assert ranks.agree("x", {"a": 1}) == {"a": 1}
        counter, other = ranks.counter("x"), ranks.counter("x")
        assert [counter(1), counter(0), counter(2), other(1)] == [1, 1, 3, 1]
        ranks.check()


def test_values_go_round() -> None:
    def work(ranks: Ranks) -> object:
        made = ranks.share("made", lambda: f"by {ranks.rank}")
        told = ranks.gather("told", [ranks.rank, None])
        same = ranks.gather("told", ranks.rank)  # a name may come again
        return made, told, same

    assert in_ranks(3, work) == [("by 0", [[0, None], [1, None], [2, None]], [0, 1, 2])] * 3


def test_what_is_no_json_is_an_error_where_it_is_said() -> None:
    first, second = in_ranks(2, lambda ranks: ranks.gather("told", {1, 2} if ranks.first else 3))
    assert isinstance(first, TypeError)
    assert "process 0 of 2 failed: TypeError" in str(second)


def test_a_wait_ends_when_the_last_one_comes() -> None:
    events: list[str] = []

    def work(ranks: Ranks) -> None:
        if ranks.rank == 1:
            time.sleep(0.3)
        events.append("comes")
        ranks.gather("here")
        events.append("goes on")

    in_ranks(2, work)
    assert events == ["comes", "comes", "goes on", "goes on"]


def test_counts_are_of_all_and_begin_at_zero() -> None:
    def work(ranks: Ranks) -> list[int]:
        first, second = ranks.counter("failures"), ranks.counter("failures")
        return [first(1), first(1), second(1)]

    counts = in_ranks(2, work)
    assert sorted(count for part in counts for count in part[:2]) == [1, 2, 3, 4]
    assert sorted(part[2] for part in counts) == [1, 2]


def test_processes_that_differ_are_told_what_in() -> None:
    def work(ranks: Ranks) -> None:
        ranks.agree("protocol", {"same": [1, 2], "torch": "2.6" if ranks.first else "2.7", "only": 1})

    errors = in_ranks(3, work)
    assert {type(error) for error in errors} == {RankError}
    assert all("protocol: process 1 has ['2.7'] for torch, process 0 has ['2.6']" in str(error) for error in errors)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_one_ends_those_that_wait_and_those_that_work(failing: int) -> None:
    def work(ranks: Ranks) -> None:
        if ranks.rank == failing:
            raise ValueError("no such page")
        if ranks.rank == 2 - failing // 2:
            ranks.gather("never complete")
        for _ in range(6000):
            ranks.check()
            time.sleep(0.01)
        raise AssertionError("worked on")

    errors = in_ranks(3, work)
    assert isinstance(errors[failing], ValueError)
    for rank, error in enumerate(errors):
        if rank != failing:
            assert isinstance(error, RankError)
            assert str(error) == f"process {failing} of 3 failed: ValueError: no such page"


@pytest.mark.parametrize(("silent", "message"), [(0, "process 0 of 2 has been killed or"), (1, "process 1 of 2 has")])
def test_a_process_that_does_not_come_ends_the_others(silent: int, message: str) -> None:
    """It came and is there no more: stopped, or its machine gone."""
    store, open_end = HashStore(), []

    def work(rank: int) -> None:
        if rank == silent:
            open_end.append(ProcessGroupGloo(store, rank, 2, timedelta(seconds=60)))
            return
        with JoinedRanks(store, rank, 2, interval=0.01, limit=1.0).together() as ranks:
            ranks.gather("never complete")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(work, silent), pool.submit(work, 1 - silent)
        first.result()
        with pytest.raises(RankError, match=message):
            second.result()


def test_a_wait_has_no_limit_as_long_as_all_give_signs_of_life() -> None:
    def work(ranks: Ranks) -> object:
        if ranks.rank == 1:
            time.sleep(3)
        return ranks.gather("here", ranks.rank)

    assert in_ranks(2, work, limit=1.0) == [[0, 1]] * 2


def test_the_place_that_torchrun_tells() -> None:
    told = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node7", "MASTER_PORT": "29500"}
    assert find_place(told) == Place(3, 4, 1, "node7", 29500)
    by_hand = {name: value for name, value in told.items() if name != "LOCAL_RANK"} | {"SLURM_LOCALID": "2"}
    assert find_place(by_hand) == Place(3, 4, 2, "node7", 29500)
    assert find_place({}) is None
    assert find_place({"RANK": "0"}) is None


def test_the_place_that_submitit_tells_on_one_machine() -> None:
    told = {"NTASKS": "2", "GLOBALID": "1", "LOCALID": "1", "JOB_ID": "20123", "NODEID": "0"}
    local = {f"SUBMITIT_LOCAL_{name}": value for name, value in told.items()}
    assert find_place(local) == Place(1, 2, 1, "127.0.0.1", 12123)
    assert find_place(local | {"SUBMITIT_LOCAL_NTASKS": "1"}) is None


SRUN = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_ID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu03", "gpu03"),
        ("gpu[03-05,09],cpu1", "gpu03"),
        ("gpu[7,9]", "gpu7"),
        ("a1,a2", "a1"),
        ("rack[1-2]-ib", "rack1-ib"),
    ],
)
def test_the_place_that_srun_tells(nodes: str, first: str) -> None:
    place = find_place(SRUN | {"SLURM_STEP_NODELIST": nodes})
    assert place is not None
    assert (place.rank, place.world, place.local, place.host) == (2, 4, 0, first)
    assert 12000 <= place.port < 32000
    other = find_place(SRUN | {"SLURM_STEP_NODELIST": nodes, "SLURM_STEP_ID": "3"})
    assert other is not None
    assert other.port != place.port


def test_srun_may_be_told_where_to_meet() -> None:
    place = find_place(SRUN | {"MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "4000"})
    assert place is not None
    assert (place.host, place.port) == ("10.0.0.7", 4000)
    with pytest.raises(RankError, match="set MASTER_ADDR to the first one"):
        find_place(SRUN)


def test_within_an_allocation_but_without_srun_a_process_is_alone() -> None:
    batch_script = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert find_place(batch_script) is None
    assert find_place(SRUN | {"SLURM_STEP_NUM_TASKS": "1"}) is None
