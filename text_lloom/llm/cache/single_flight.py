"""Single flight: of equal requests under way at the same time, one is asked and the others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Flight", "Flights"]

T = TypeVar("T")


class _Seat:
    """The right to ask for one key, and how many hold or want it."""

    __slots__ = ("lock", "wanted")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class Flights(Generic[T]):
    """The requests under way, by event loop and key.

    Args:
        get: Gives what is kept under a key, or `None`.
        settled: Waits for what is on its way to be kept, and tells whether there was anything.
    """

    def __init__(self, get: Callable[[str], T | None], settled: Callable[[str], Awaitable[bool]]) -> None:
        self.get, self.settled = get, settled
        self.seats: dict[tuple[int, str], _Seat] = {}

    def flight(self, key: str, on_wait: Callable[[], object] | None = None) -> Flight[T]:
        """A request for a key: what is kept under it, or else the sole right to ask."""
        return Flight(self, key, on_wait)


class Flight(Generic[T]):
    """An asynchronous context manager; see `Journal.flight`."""

    __slots__ = ("_flights", "_key", "_on_wait", "_seat")

    def __init__(self, flights: Flights[T], key: str, on_wait: Callable[[], object] | None) -> None:
        self._flights, self._key, self._on_wait = flights, key, on_wait
        self._seat: _Seat | None = None

    async def __aenter__(self) -> T | None:
        flights, key = self._flights, self._key
        kept = flights.get(key)
        if kept is not None:
            return kept
        place = (id(asyncio.get_running_loop()), key)
        seat = flights.seats.get(place)
        if seat is None:
            seat = flights.seats[place] = _Seat()
        waited = seat.wanted > 0
        seat.wanted += 1
        self._seat = seat
        try:
            if waited and self._on_wait is not None:
                self._on_wait()
            await seat.lock.acquire()
            try:
                # A holder that was cancelled may have left while its reply was on its way to the disk.
                if await flights.settled(key) or waited:
                    kept = flights.get(key)
            except BaseException:
                seat.lock.release()
                raise
        except BaseException:
            self._leave(seat)
            raise
        if kept is not None:
            seat.lock.release()
            self._leave(seat)
        return kept

    async def __aexit__(self, *exception: object) -> None:
        if self._seat is not None:
            self._seat.lock.release()
            self._leave(self._seat)

    def _leave(self, seat: _Seat) -> None:
        self._seat = None
        seat.wanted -= 1
        if not seat.wanted:
            self._flights.seats.pop((id(asyncio.get_running_loop()), self._key), None)
