"""Prefetching and consuming in threads: order, bounds, errors and Ctrl+C."""

from __future__ import annotations

import threading
import time

import pytest

from wsol.runtime.pipeline import Consumer, prefetch


def slowest_first(number):
    time.sleep(0.02 if number == 0 else 0)
    return number


@pytest.mark.parametrize("threads", [1, 3])
def test_results_keep_the_order_of_the_items(threads):
    assert list(prefetch(slowest_first, range(20), threads)) == list(range(20))


def test_no_more_is_made_than_fits_ahead():
    made, taken = [], 0
    for _ in prefetch(made.append, iter(range(30)), threads=2):
        taken += 1
        time.sleep(0.002)
        assert len(made) <= taken + 2
    assert taken == len(made) == 30


def test_results_before_an_error_are_handed_out_and_the_error_once():
    results = prefetch(lambda number: 6 // (3 - number), range(9), threads=3)
    assert [next(results) for _ in range(3)] == [2, 3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_a_closed_prefetch_leaves_no_thread():
    before = threading.active_count()
    results = prefetch(str, range(1000), threads=4)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_items_are_consumed_in_order_by_another_thread():
    seen = []
    with Consumer(lambda item: seen.append((item, threading.current_thread()))) as consumer:
        for item in range(50):
            consumer.put(item)
    assert [item for item, _ in seen] == list(range(50))
    assert {thread for _, thread in seen}.isdisjoint({threading.current_thread()})


def test_nothing_to_consume_takes_no_thread():
    before = threading.active_count()
    with Consumer(divide):
        assert threading.active_count() == before


def test_only_so_many_items_wait():
    release, seen = threading.Event(), []

    def consume(item):
        release.wait()
        seen.append(item)

    with Consumer(consume, most_waiting=2) as consumer:
        putting = threading.Thread(target=lambda: [consumer.put(item) for item in range(6)])
        putting.start()
        putting.join(0.1)
        assert putting.is_alive(), "the third waiting item has to wait outside"
        release.set()
        putting.join()
    assert seen == list(range(6))


def put_all(consumer, items, then=None):
    """Put items, then stop with an error of whoever makes them."""
    with consumer:
        for item in items:
            consumer.put(item)
        if then is not None:
            raise then


def divide(item):
    return 1 // item


def test_an_error_is_raised_once_and_nothing_behind_it_is_consumed():
    seen = []

    def consume(item):
        seen.append(1 // (3 - item))

    with pytest.raises(ZeroDivisionError) as caught:
        put_all(Consumer(consume), range(100))
    assert len(seen) == 3
    assert caught.value.__context__ is None


def test_an_error_at_the_last_item_is_raised_at_the_end():
    with pytest.raises(ZeroDivisionError):
        put_all(Consumer(divide), [0])


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_what_was_made_before_an_error_is_consumed(error):
    seen = []

    def consume(item):
        time.sleep(0.01)
        seen.append(item)

    with pytest.raises(type(error)):
        put_all(Consumer(consume), [0, 1], then=error)
    assert seen == [0, 1]


def test_the_earlier_of_two_errors_is_raised_but_ctrl_c_stays():
    with pytest.raises(ZeroDivisionError):
        put_all(Consumer(divide), [0], then=RuntimeError("while making the next"))
    with pytest.raises(KeyboardInterrupt):
        put_all(Consumer(divide), [0], then=KeyboardInterrupt())


def test_a_second_ctrl_c_finishes_the_item_at_hand_and_drops_what_waits(monkeypatch):
    started, release, seen = threading.Event(), threading.Event(), []

    def consume(item):
        started.set()
        release.wait()
        seen.append(item)

    consumer = Consumer(consume)
    finish, calls = consumer._finish, []

    def interrupted():
        calls.append(None)
        started.wait()
        if len(calls) == 1:
            raise KeyboardInterrupt
        release.set()
        finish()

    monkeypatch.setattr(consumer, "_finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put_all(consumer, ["at hand", "waits"], then=KeyboardInterrupt())
    assert seen == ["at hand"]
