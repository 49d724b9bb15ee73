"""A participant of LiveKit's Python SDK that hears tones: what agent.mjs does, in Python."""

import asyncio
import json
import sys
import time

from livekit import rtc

RATE = 48_000
LOUD = 1000
# Seconds between two subscriptions.
PAUSE = 0.5


class Hearer:
    def __init__(self) -> None:
        self.room = rtc.Room()
        self.publications = []
        self.published = asyncio.Event()
        self.subscribed = asyncio.Queue()
        self.unsubscribed = asyncio.Queue()
        self.tasks = set()
        self.room.on("track_published", self.on_published)
        self.room.on("track_subscribed", lambda track, *_: self.subscribed.put_nowait(track))
        self.room.on("track_unsubscribed", lambda *_: self.unsubscribed.put_nowait(None))

    def on_published(self, publication, _participant) -> None:
        self.publications.append(publication)
        self.published.set()

    async def there(self, count) -> None:
        while len(self.publications) < count:
            self.published.clear()
            await self.published.wait()

    def read(self, track) -> asyncio.Future:
        """Reads a track to its end. The result is done with the first frame that is not silent."""
        heard = asyncio.get_running_loop().create_future()

        async def run() -> None:
            stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
            async for event in stream:
                if not heard.done() and max(event.frame.data) > LOUD:
                    heard.set_result(None)
            await stream.aclose()

        task = asyncio.create_task(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return heard

    async def join(self, url, token):
        await self.room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
        for participant in self.room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication not in self.publications:
                    self.on_published(publication, participant)

    async def onsets(self, rounds):
        await self.there(1)
        times = []
        for _ in range(rounds):
            begun = time.monotonic()
            self.publications[0].set_subscribed(True)
            await self.read(await self.subscribed.get())
            times.append(1000 * (time.monotonic() - begun))
            self.publications[0].set_subscribed(False)
            await self.unsubscribed.get()
            # livekit-server makes changes wait that follow each other within 150 ms.
            await asyncio.sleep(PAUSE)
        return times

    async def hear(self, count):
        await self.there(count)
        for publication in self.publications:
            publication.set_subscribed(True)
        await asyncio.gather(*[self.read(await self.subscribed.get()) for _ in range(count)])


async def main():
    hearer = Hearer()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, argument = json.loads(line)
        try:
            answer = {"result": await getattr(hearer, command)(**argument)}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    await hearer.room.disconnect()


asyncio.run(main())
