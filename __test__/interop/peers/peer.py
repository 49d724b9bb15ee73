"""A participant of LiveKit's Python SDK that does what standard input says.

A line of JSON is a command, {"id", "command", "argument"}; its answer on standard output is {"id", "result"} or
{"id", "error"}. Commands run side by side. The end of standard input ends the program. What the commands mean is said
in `peer.ts`, what travels in `pattern.ts`.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time

from livekit import rtc
from livekit.rtc._proto import e2ee_pb2

WARM = 2**60
END = 2**61
FIRST = 1_700_000_000_000
PERIOD = 65_521
STEP = 7919
MAX_WARM = 15_900


def make_tape() -> bytes:
    state = 1
    period = bytearray(PERIOD)
    for at in range(PERIOD):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        period[at] = state >> 24
    return bytes(period) * 17


TAPE = make_tape()


def payload_of(number: int, size: int) -> bytes:
    start = number * STEP % PERIOD
    payload = TAPE[start : start + size]
    return struct.pack("<I", number) + payload[4:] if size >= 4 else payload


def timestamp_of(number: int, size: int) -> int | None:
    return None if size >= 4 and number % 10 == 9 else FIRST + number


class Tally:
    """What a subscriber has got of a run."""

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.count = count
        self.seen: set[int] = set()
        self.good = self.garbage = self.mistimed = self.duplicates = self.warm = 0
        self.ended = False
        self.changed = asyncio.Event()

    def take(self, payload: bytes, timestamp: int | None) -> None:
        if timestamp is not None and timestamp >= END:
            self.ended = True
        elif timestamp is not None and timestamp >= WARM:
            self.warm += 1
        else:
            self.frame(payload, timestamp)
        self.changed.set()

    def frame(self, payload: bytes, timestamp: int | None) -> None:
        if len(payload) >= 4:
            number = struct.unpack_from("<I", payload)[0]
        else:
            number = -1 if timestamp is None else timestamp - FIRST
        if not 0 <= number < self.count or payload != payload_of(number, self.size):
            self.garbage += 1
        elif number in self.seen:
            self.duplicates += 1
        else:
            self.seen.add(number)
            if timestamp == timestamp_of(number, self.size):
                self.good += 1
            else:
                self.mistimed += 1

    async def until(self, condition) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def result(self) -> dict:
        return {
            "good": self.good,
            "garbage": self.garbage,
            "mistimed": self.mistimed,
            "duplicates": self.duplicates,
            "warm": self.warm,
            "missing": [number for number in range(self.count) if number not in self.seen],
        }


class Peer:
    def __init__(self) -> None:
        self.room: rtc.Room | None = None
        self.kind = ""
        self.shared = True
        self.published: dict[str, asyncio.Future] = {}
        self.local: dict[str, rtc.LocalDataTrack] = {}
        self.marking: dict[str, asyncio.Task] = {}
        self.tallies: dict[str, Tally] = {}
        self.streams: dict[str, rtc.DataTrackStream] = {}
        self.reading: dict[str, asyncio.Task] = {}

    def remote(self, name: str) -> asyncio.Future:
        return self.published.setdefault(name, asyncio.get_running_loop().create_future())

    async def join(self, url: str, token: str, keys: dict | None, **_ours) -> None:
        self.__init__()
        self.room = rtc.Room()

        @self.room.on("data_track_published")
        def published(track: rtc.RemoteDataTrack) -> None:
            future = self.remote(track.info.name)
            if not future.done():
                future.set_result(track)

        encryption = None
        if keys is not None:
            self.kind, self.shared = keys["kind"], keys["shared"]
            options = rtc.KeyProviderOptions()
            if self.kind == "raw":
                options.key_derivation_function = e2ee_pb2.KeyDerivationFunction.HKDF
            if "ratchetWindow" in keys:
                options.ratchet_window_size = keys["ratchetWindow"]
            # A provider without a shared key is one with a key for each participant.
            at_once = [key for key in keys["set"] if self.shared and key["keyIndex"] == 0]
            if at_once:
                options.shared_key = self.bytes(at_once[0]["key"])
            encryption = rtc.E2EEOptions(key_provider_options=options)
        await self.room.connect(url, token, rtc.RoomOptions(encryption=encryption))
        if keys is not None:
            for key in keys["set"]:
                if key not in at_once:
                    await self.setKey(**key)

    def bytes(self, key: str) -> bytes:
        return bytes.fromhex(key) if self.kind == "raw" else key.encode()

    async def setKey(self, keyIndex: int, key: str, identity: str | None = None) -> None:
        provider = self.room.e2ee_manager.key_provider
        if self.shared:
            provider.set_shared_key(self.bytes(key), keyIndex)
        else:
            provider.set_key(identity, self.bytes(key), keyIndex)

    async def ratchetKey(self, keyIndex: int, identity: str | None = None) -> None:
        provider = self.room.e2ee_manager.key_provider
        if self.shared:
            provider.ratchet_shared_key(keyIndex)
        else:
            provider.ratchet_key(identity, keyIndex)

    async def publish(self, track: str) -> dict:
        self.local[track] = await self.room.local_participant.publish_data_track(name=track)
        return {"usesE2ee": self.local[track].info.uses_e2ee}

    async def unpublish(self, track: str) -> None:
        await self.local.pop(track).unpublish()

    async def subscribe(self, track: str, size: int, count: int, rate: float) -> None:
        remote: rtc.RemoteDataTrack = await self.remote(track)
        tally = self.tallies[track] = Tally(size, count)
        stream = self.streams[track] = remote.subscribe(buffer_size=1024)

        async def read() -> None:
            async for frame in stream:
                tally.take(frame.payload, frame.user_timestamp)

        self.reading[track] = asyncio.create_task(read())

    async def unsubscribe(self, track: str) -> None:
        self.reading.pop(track).cancel()
        self.streams.pop(track).close()

    async def mark(self, track: str, size: int, count: int, rate: float, mark: str) -> None:
        warm = mark == "warm"
        frame = rtc.DataTrackFrame(payload_of(0, min(max(1, size), MAX_WARM) if warm else 1), WARM if warm else END)
        local = self.local[track]

        async def repeat() -> None:
            while True:
                local.try_push(frame)
                await asyncio.sleep(max(0.02, 1 / rate))

        self.marking[track] = asyncio.create_task(repeat())

    async def unmark(self, track: str) -> None:
        self.marking.pop(track).cancel()

    async def warmed(self, track: str, count: int) -> None:
        tally = self.tallies[track]
        await tally.until(lambda: tally.warm >= count)

    async def send(self, track: str, size: int, count: int, rate: float, first: int = 0) -> dict:
        local = self.local[track]
        refused = 0
        start = time.perf_counter()
        for sent in range(count):
            # No two in a burst: the SDK keeps one frame, and a late timer is no reason to lose the one before.
            await asyncio.sleep(max(0.5 / rate, start + (sent + 1) / rate - time.perf_counter()))
            number = first + sent
            frame = rtc.DataTrackFrame(payload_of(number, size), timestamp_of(number, size))
            try:
                local.try_push(frame)
            except rtc.data_track.PushFrameError:
                refused += 1
        return {"refused": refused}

    async def arrived(self, track: str, count: int) -> None:
        tally = self.tallies[track]
        await tally.until(lambda: len(tally.seen) >= count or tally.garbage > 0)

    async def received(self, track: str, grace: float) -> dict:
        tally = self.tallies[track]
        await tally.until(lambda: len(tally.seen) == tally.count or tally.ended)
        while len(tally.seen) < tally.count:
            before = len(tally.seen)
            await asyncio.sleep(grace / 1000)
            if len(tally.seen) == before:
                break
        return tally.result()

    async def peek(self, track: str) -> dict:
        return self.tallies[track].result()

    async def leave(self) -> None:
        for task in (*self.marking.values(), *self.reading.values()):
            task.cancel()
        if self.room is not None:
            await self.room.disconnect()
        self.room = None


async def main() -> None:
    peer = Peer()
    tasks = set()

    async def run(id: int, command: str, argument: dict) -> None:
        try:
            answer = {"id": id, "result": await getattr(peer, command)(**argument)}
        except Exception as error:
            answer = {"id": id, "error": f"{type(error).__name__}: {error or getattr(error, 'message', '')}"}
        print(json.dumps(answer), flush=True)

    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        task = asyncio.create_task(run(**json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await peer.leave()


asyncio.run(main())
