"""Tasks that threads share."""

import os
from collections.abc import Callable
from itertools import count
from threading import Thread

__all__ = ["run_tasks", "thread_count"]


def thread_count() -> int:
    """Threads of a step: ``$ZEROTRAIN_THREADS``, or as many as this process has processors.

    Raises
    ------
    ValueError
        If the variable is set to anything but a positive number.
    """
    named = os.environ.get("ZEROTRAIN_THREADS")
    if named is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if not named.isdecimal() or int(named) < 1:
        raise ValueError(f"ZEROTRAIN_THREADS is a number of threads, 1 or more, not {named!r}")
    return int(named)


def run_tasks(tasks: int, run: Callable[[int], None]) -> None:
    """``run(0) .. run(tasks - 1)``, each once, in any order, on :func:`thread_count` threads.

    The threads live for this call only: nothing is left that a fork could break. An exception of a
    task ends the call once the tasks under way are done.
    """
    turn = count()
    failed: list[BaseException] = []

    def work() -> None:
        while (k := next(turn)) < tasks and not failed:
            try:
                run(k)
            except BaseException as error:  # carried to the caller's thread
                failed.append(error)

    others = [Thread(target=work) for _ in range(min(thread_count(), tasks) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failed:
        raise failed[0]
