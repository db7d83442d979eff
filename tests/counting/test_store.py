"""The one bounded store."""

from __future__ import annotations

import os
import random
import sys
import threading
import tracemalloc

import pytest

from tokentrace.counting import store
from tokentrace.counting.store import ENTRY_BYTES, LIMIT_BYTES, STORE, Store


def room(entries, size):
    """Return a store with room for exactly ``entries`` of ``size`` bytes."""
    return Store(entries * (size + ENTRY_BYTES))


def test_the_one_store_has_32_megabytes():
    """The store of the process is bounded by 32 MB."""
    assert STORE.limit_bytes == LIMIT_BYTES == 32 * 1024 * 1024


def test_what_was_put_is_found():
    """A value is found by an equal key; an unknown key gives None."""
    kept = Store()
    kept.put(("v", "text"), (3, 0), 53)
    assert kept.get(("v", "te" + "xt"[0:2])) == (3, 0)
    assert kept.get(("w", "text")) is None


def test_the_least_recently_used_goes_first():
    """A value that was looked up outlives older and newer ones that were not."""
    kept = room(3, 10)
    for name in "abc":
        kept.put(name, name.upper(), 10)
    assert kept.get("a") == "A"
    kept.put("d", "D", 10)
    kept.put("e", "E", 10)
    assert [kept.get(name) for name in "abcde"] == ["A", None, None, "D", "E"]


def test_putting_again_replaces():
    """A key's new value and size take the place of the old ones."""
    kept = Store()
    kept.put("a", 1, 1000)
    kept.put("a", 2, 10)
    assert kept.get("a") == 2
    assert len(kept) == 1
    assert kept.used_bytes == 10 + ENTRY_BYTES


def test_too_large_is_not_remembered():
    """What is larger than the store is dropped, and so is what the key held before."""
    kept = room(2, 10)
    kept.put("a", 1, 10)
    kept.put("b", 1, 10)
    kept.put("a", 2, 10_000)
    assert kept.get("a") is None
    assert kept.get("b") == 1
    assert kept.used_bytes == 10 + ENTRY_BYTES


def test_clear_forgets_everything():
    """After clear the store is empty and its bytes are free."""
    kept = Store()
    kept.put("a", 1, 10)
    kept.clear()
    assert (kept.get("a"), len(kept), kept.used_bytes) == (None, 0, 0)


def test_size_never_exceeds_the_limit():
    """Whatever is put, stated bytes are within the limit and equal the entries' sum."""
    rng = random.Random(7)
    kept = Store(50_000)
    for _ in range(5_000):
        kept.put(rng.randrange(300), None, rng.randrange(3_000))
        assert kept.used_bytes <= kept.limit_bytes
    assert kept.used_bytes == sum(size for _, size in kept._entries.values())


def test_real_memory_is_within_the_limit():
    """Memory taken by short texts is at most a tenth above the limit, measured."""
    kept = Store(4 * 2**20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(30_000):
            text = f"short text number {number}"
            kept.put(("o200k_base", text), (number + 1000, 0), sys.getsizeof(text))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(kept) > 5_000
    assert taken <= kept.limit_bytes * 1.1


def test_threads_keep_the_sum_right():
    """Threads that put, look up and clear at once leave bytes that match the entries."""
    kept = Store(100_000)
    failed = []

    def work(seed):
        rng = random.Random(seed)
        try:
            for step in range(3_000):
                key = rng.randrange(200)
                if kept.get(key) not in (None, key):
                    failed.append(key)
                kept.put(key, key, rng.randrange(2_000))
                if step % 1_000 == 999:
                    kept.clear()
        except (KeyError, RuntimeError) as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert kept.used_bytes == sum(size for _, size in kept._entries.values())


def test_finaliser_may_use_the_store():
    """A finaliser that runs inside `put` may itself put and look up."""
    kept = room(1, 10)

    class Last:
        def __del__(self):
            kept.put("from the finaliser", 1, 10)

    kept.put("a", Last(), 10)
    kept.put("b", 2, 10)
    assert kept.used_bytes == sum(size for _, size in kept._entries.values())
    assert kept.used_bytes <= kept.limit_bytes


def forked(work):
    """Return whether ``work()`` was true in a child process."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_keeps_what_is_known():
    """A child finds what the parent counted, and its own puts stay its own."""
    STORE.put("known before the fork", 1, 10)

    def child():
        STORE.put("of the child", 2, 10)
        return STORE.get("known before the fork") == 1 and STORE.get("of the child") == 2

    assert forked(child)
    assert STORE.get("of the child") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_another_thread_writes():
    """A child forked in the middle of another thread's put starts empty and does not hang."""
    held, go = threading.Event(), threading.Event()

    def hold():
        with store.STORE._lock:
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)

    def child():
        empty = len(STORE) == 0 and STORE.used_bytes == 0
        STORE.put("a", 1, 10)
        return empty and STORE.get("a") == 1

    try:
        assert forked(child)
    finally:
        go.set()
        thread.join()


def test_child_of_a_quiet_parent_keeps_entries():
    """After a fork while nobody wrote, entries stay and the lock is new."""
    kept = Store()
    kept.put("a", 1, 10)
    lock = kept._lock
    kept.after_fork()
    assert kept.get("a") == 1
    assert kept._lock is not lock


def test_child_of_a_writing_parent_starts_empty():
    """After a fork while another thread wrote, nothing half-written is trusted."""
    kept = Store()
    kept.put("a", 1, 10)
    thread = threading.Thread(target=kept._lock.acquire)
    thread.start()
    thread.join()
    kept.after_fork()
    assert (kept.get("a"), kept.used_bytes) == (None, 0)
    kept.put("b", 2, 10)
    assert kept.get("b") == 2


@pytest.mark.parametrize("seed", range(10))
def test_many_at_once_are_as_one_by_one(seed):
    """Putting many leaves the entries, their order and their bytes as one by one."""
    rng = random.Random(seed)
    once, each = Store(20_000), Store(20_000)
    for _ in range(50):
        given = [(rng.randrange(60), rng.random(), rng.randrange(900)) for _ in range(9)]
        once.put_all(given)
        for key, value, size in given:
            each.put(key, value, size)
        assert list(once._entries.items()) == list(each._entries.items())
        assert once.used_bytes == each.used_bytes
