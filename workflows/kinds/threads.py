"""Synchronous pieces of a framework: it hands them to threads, a workflow has none, so they run where they stand."""

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from temporalio import workflow

try:  # it comes with most frameworks, and starts threads of its own
    from anyio._backends import _asyncio as _anyio
except ImportError:  # pragma: no cover (the frameworks that are here do without)
    _anyio = None  # type: ignore[assignment]

_Result = TypeVar("_Result")


def inline_threads() -> None:
    """From here on, what this run of a workflow hands to a thread runs at once, inside the workflow.

    That is for `run_in_executor`, which Temporal's event loop refuses (NotImplementedError), for `asyncio.to_thread`,
    and for anyio's `to_thread.run_sync`, whose thread would never come back. What runs so is workflow code: no clock,
    network or file, no lock that a real thread holds, and a replay runs it again. It has to be done within the 2
    seconds after which the SDK gives a workflow up; what takes longer belongs into an activity. Other runs, activities
    and the worker keep their threads. To call it again does nothing more.

    Raises RuntimeError outside of a workflow, where it would hold up a whole event loop.
    """
    if not workflow.in_workflow():
        raise RuntimeError("threads run inline in a workflow only; elsewhere there are real ones")
    loop = asyncio.get_running_loop()  # of this run of the workflow alone
    vars(loop)["run_in_executor"] = partial(_run_in_executor, loop)
    if _anyio is None:
        return
    # It looks for threads of this event loop that are free, and has no other door for this. It also imports as it goes.
    with workflow.unsafe.sandbox_unrestricted(), workflow.unsafe.imports_passed_through():
        _anyio._threadpool_workers.set(set())  # noqa: SLF001
        _anyio._threadpool_idle_workers.set(_Here())  # type: ignore[arg-type]  # noqa: SLF001


def _run_in_executor(
    loop: asyncio.AbstractEventLoop, _executor: object, work: Callable[..., _Result], *args: Any
) -> asyncio.Future[_Result]:
    done: asyncio.Future[_Result] = loop.create_future()
    _settle(done, partial(work, *args))
    return done


def _settle(done: asyncio.Future[_Result], work: Callable[[], _Result]) -> None:
    """Do `work` and put what came of it into `done`; what is no Exception is left to whoever called."""
    try:
        done.set_result(work())
    except StopIteration as error:  # no future takes it
        failure = RuntimeError("a synchronous piece raised StopIteration")
        failure.__cause__ = error
        done.set_exception(failure)
    except Exception as error:  # noqa: BLE001 (it is the caller's to handle)
        done.set_exception(error)


class _Here:
    """What anyio takes for the threads of an event loop that are free, and for each of them."""

    idle_since = math.inf  # so that none is ever too old

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, _place: int) -> "_Here":
        return self

    def pop(self) -> "_Here":
        return self

    @property
    def queue(self) -> "_Here":
        return self

    def put_nowait(self, job: tuple[Context, Callable[..., Any], tuple[Any, ...], asyncio.Future[Any], object]) -> None:
        context, work, args, done, _scope = job
        _settle(done, partial(context.run, work, *args))
