"""The order of samples is a function of seed and position, whatever the ranks, workers and restarts."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorflow.data.sampler import StepSampler, validation_batches

SHAPES = st.tuples(st.integers(1, 50), st.integers(1, 6), st.integers(0, 2**40))


def take(sampler, count):
    return list(islice(sampler, count))


@given(SHAPES, st.sampled_from([1, 2, 4, 8]), st.integers(0, 40))
def test_the_global_batch_is_the_same_on_any_number_of_ranks(shape, world_size, start):
    length, multiple, seed = shape
    size = multiple * 8
    single = take(StepSampler(length, size, seed, start_batch=start), 3)
    ranks = [take(StepSampler(length, size, seed, rank, world_size, start), 3) for rank in range(world_size)]
    joined = [[pair for part in parts for pair in part] for parts in zip(*ranks, strict=True)]
    assert joined == single
    assert [position for batch in single for position, _ in batch] == list(range(start * size, (start + 3) * size))


@given(SHAPES, st.integers(0, 30))
def test_starting_at_a_batch_is_the_same_as_getting_there(shape, start):
    length, size, seed = shape
    there = take(StepSampler(length, size, seed), start + 5)[start:]
    assert take(StepSampler(length, size, seed, start_batch=start), 5) == there


@given(SHAPES)
def test_every_epoch_holds_every_sample_once(shape):
    length, size, seed = shape
    pairs = [pair for batch in take(StepSampler(length, size, seed), 3 * length) for pair in batch]
    for epoch in range(3):
        assert sorted(index for _, index in pairs[epoch * length : (epoch + 1) * length]) == list(range(length))


def test_epochs_and_seeds_have_their_own_order():
    sampler, other = StepSampler(40, 40, seed=0), StepSampler(40, 40, seed=1)
    orders = [[index for _, index in sampler.batch(epoch)] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert [index for _, index in other.batch(0)] != orders[0]


def test_the_sequence_is_the_one_that_was_published_and_has_no_end():
    order = [index for _, index in StepSampler(8, 16, seed=0).batch(0)]
    assert order == [5, 3, 7, 1, 2, 6, 0, 4, 3, 7, 2, 5, 0, 6, 4, 1]
    with pytest.raises(TypeError):
        len(StepSampler(4, 2, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 0), "empty dataset"),
        ((5, 3, 0, 0, 2), "multiple of the 2 devices"),
        ((5, 4, 0, 2, 2), "rank < 2"),
        ((5, 4, 0, 0, 1, -1), "start_batch"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepSampler(*arguments)


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 8))
def test_validation_samples_come_once_in_equally_many_batches(length, batch_size, world_size):
    if 0 < length < world_size:
        with pytest.raises(ValueError, match="each of"):
            validation_batches(length, batch_size, 0, world_size)
        return
    ranks = [validation_batches(length, batch_size, rank, world_size) for rank in range(world_size)]
    pairs = sorted(pair for batches in ranks for batch in batches for pair in batch)
    assert pairs == [(index, index) for index in range(length)]
    assert len({len(batches) for batches in ranks}) == 1
    assert all(1 <= len(batch) <= max(2, batch_size) for batches in ranks for batch in batches)
