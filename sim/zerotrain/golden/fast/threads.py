"""Tasks that threads share."""

import os
from collections.abc import Callable, Sequence
from threading import Thread

from zerotrain.golden.fixed import Flags

__all__ = ["Task", "run_tasks", "thread_count"]


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


#: Something to do; clamps are noted in the flags that it is given.
Task = Callable[[Flags], None]


def run_tasks(tasks: Sequence[Task], flags: Flags) -> None:
    """Do all tasks, in any order, on :func:`thread_count` threads.

    The threads live for this call only: nothing is left that a fork could break. An exception of a
    task ends the call once the tasks under way are done.
    """
    turns = iter(tasks)  # taken one at a time, under the interpreter lock
    failed: list[BaseException] = []
    noted: list[Flags] = []

    def work() -> None:
        mine = Flags()
        noted.append(mine)
        for task in turns:
            try:
                task(mine)
            except BaseException as error:  # carried to the caller's thread
                failed.append(error)
            if failed:
                return

    others = [Thread(target=work) for _ in range(min(thread_count(), len(tasks)) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failed:
        raise failed[0]
    for one in noted:
        flags.value |= one.value
