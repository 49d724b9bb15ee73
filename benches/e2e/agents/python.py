"""A participant of LiveKit's Python SDK: what engine.mjs does, in Python, with commands as lines of JSON."""

import asyncio
import json
import math
import struct
import sys
import time

from livekit import rtc

HEADER = 16
GRAIN = 5
BATCH = 64
GRACE = 250
CHUNK = 15_000


def now() -> float:
    """CLOCK_MONOTONIC in ms, which all processes of the machine share."""
    return time.monotonic_ns() / 1e6


def summary(latencies: list) -> dict:
    ordered = sorted(latencies)

    def at(share: float):
        if not ordered:
            return None
        return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)]

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": at(1)}


class Engine:
    def __init__(self) -> None:
        self.room = rtc.Room()
        self.idle = []
        self.tracks = {}
        self.phases = {}
        self.waiting = []
        self.last_frame = 0.0
        self.byte_streams = {}
        self.stopped = False
        self.tails = {}
        self.published = {}
        self.expected = {}
        self.tasks = set()
        self.room.on("data_track_published", self.on_published)

    def spawn(self, coroutine) -> None:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_published(self, track) -> None:
        name = track.info.name
        self.published[name] = track
        if name in self.expected:
            self.expected.pop(name).set_result(track)

    async def connect(self, url, token) -> None:
        await self.room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))

    async def add_room(self, url, token) -> None:
        room = rtc.Room()
        self.idle.append(room)
        await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))

    async def publish(self, names) -> None:
        for name in names:
            self.tracks[name] = await self.room.local_participant.publish_data_track(name=name)

    async def subscribe(self, names) -> None:
        for name in names:
            if name not in self.published:
                self.expected[name] = asyncio.get_running_loop().create_future()
                await self.expected[name]
            self.spawn(self.read(self.published[name].subscribe(buffer_size=1024), name))

    async def read(self, stream, name) -> None:
        async for frame in stream:
            self.arrived(frame.payload, name)

    def arrived(self, payload, name) -> None:
        at = now()
        stamp, phase = struct.unpack_from("<dI", payload)
        self.last_frame = at
        if phase != 0:
            of = self.phases.setdefault(phase, {"latencies": [], "first": at, "last": at})
            of["latencies"].append(at - stamp)
            of["last"] = at
        for look in list(self.waiting):
            look(name, phase)

    def push(self, track, size, stamp, phase, number, counts) -> None:
        payload = struct.pack("<dII", stamp, phase, number) + self.tails.setdefault(size, bytes(size - HEADER))
        if track is None:
            return
        try:
            track.try_push(rtc.DataTrackFrame(payload=payload))
            counts["pushed"] += 1
        except rtc.PushFrameError:
            counts["refused"] += 1

    async def probe(self, phase, interval=10) -> None:
        self.stopped = False

        async def loop() -> None:
            counts = {"pushed": 0, "refused": 0}
            while not self.stopped:
                for track in self.tracks.values():
                    self.push(track, HEADER, 0.0, phase, 0, counts)
                await asyncio.sleep(interval / 1000)

        self.spawn(loop())

    async def stop(self) -> None:
        self.stopped = True

    async def flowing(self, phase, names) -> None:
        missing = set(names)
        done = asyncio.get_running_loop().create_future()

        def look(name, of) -> None:
            if of == phase:
                missing.discard(name)
            if not missing and not done.done():
                done.set_result(None)

        self.waiting.append(look)
        await done
        self.waiting.remove(look)

    async def offer(self, phase, size, rate, seconds, warm=0) -> dict:
        tracks = list(self.tracks.values())
        counts = {"pushed": 0, "refused": 0}
        ignored = {"pushed": 0, "refused": 0}
        warming, measured = round(rate * warm), round(rate * seconds)
        late = 0.0
        start = now()
        end = start + (warm + seconds) * 1000 + GRACE
        self.stopped = False
        number = 0
        while number < warming + measured and not self.stopped:
            at = now()
            if at > end:
                break
            due = min(warming + measured, 1 + math.floor((at - start) * rate / 1000))
            batch = min(due, number + BATCH)
            while number < batch:
                intended = start + number * 1000 / rate
                if number >= warming:
                    late = max(late, at - intended)
                self.push(
                    tracks[number % len(tracks)],
                    size,
                    intended if at - intended > GRAIN else at,
                    0 if number < warming else phase,
                    number,
                    ignored if number < warming else counts,
                )
                if number & 7 == 7:
                    at = now()
                number += 1
            behind = number < due
            await asyncio.sleep(0 if behind else max(1, start + number * 1000 / rate - now()) / 1000)
        return {"offered": measured, **counts, "late": late}

    async def pace(self, **args) -> dict:
        tracks, self.tracks = self.tracks, {"none": None}
        try:
            return await self.offer(**args)
        finally:
            self.tracks = tracks

    async def collect(self, phase, quiet=300, longest=3000) -> dict:
        start = now()
        while True:
            at = now()
            done = at - max(self.last_frame, start) >= quiet
            if done or at - start >= longest:
                of = self.phases.pop(phase, {"latencies": [], "first": 0, "last": 0})
                span = of["last"] - of["first"]
                received = len(of["latencies"])
                return {"received": received, "quiet": done, "span": span, **summary(of["latencies"])}
            await asyncio.sleep(0.05)

    async def answer(self, method) -> None:
        async def reply(data) -> str:
            return data.payload

        self.room.local_participant.register_rpc_method(method, reply)

    async def calls(self, identity, method, payload, count=None, interval=0, seconds=None) -> dict:
        times, failed = [], 0
        self.stopped = False
        end = math.inf if seconds is None else now() + seconds * 1000
        limit = math.inf if count is None else count
        while len(times) + failed < limit and not self.stopped and now() < end:
            start = now()
            try:
                await self.room.local_participant.perform_rpc(
                    destination_identity=identity, method=method, payload=payload, response_timeout=15
                )
                times.append(now() - start)
            except Exception:
                failed += 1
            if interval > 0:
                await asyncio.sleep(interval / 1000)
        return {"failed": failed, **summary(times)}

    async def receive_streams(self, topic) -> None:
        state = self.byte_streams[topic] = {"bytes": 0, "ended": 0}

        async def drain(reader) -> None:
            async for chunk in reader:
                state["bytes"] += len(chunk)
            state["ended"] += 1

        self.room.register_byte_stream_handler(topic, lambda reader, _identity: self.spawn(drain(reader)))

    async def streams(self, topic, count, seconds) -> dict:
        state = self.byte_streams[topic]
        end = now() + seconds * 1000
        while state["ended"] < count and now() < end:
            await asyncio.sleep(0.005)
        return dict(state)

    async def send_stream(self, topic, identity, size) -> None:
        writer = await self.room.local_participant.stream_bytes(
            name="bench", topic=topic, total_size=size, destination_identities=[identity]
        )
        left = size
        while left > 0:
            await writer.write(bytes(min(CHUNK, left)))
            left -= CHUNK
        await writer.aclose()

    async def disconnect(self) -> None:
        for room in [self.room, *self.idle]:
            await room.disconnect()


# Names that differ from engine.mjs: it writes them in camel case, and one of them is taken by an attribute here.
NAMES = {"receiveStreams": "receive_streams", "sendStream": "send_stream", "room": "add_room"}


async def main() -> None:
    engine = Engine()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def run(command) -> None:
        number, op = command.pop("id"), command.pop("op")
        answer = {"id": number}
        try:
            answer["result"] = await getattr(engine, NAMES.get(op, op))(**command)
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)

    while line := await reader.readline():
        engine.spawn(run(json.loads(line)))
    await engine.disconnect()


asyncio.run(main())
