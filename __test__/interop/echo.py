"""A participant of LiveKit's Python SDK that sends back each frame of the track `ping` in a track `pong`.

Standard input has a line of JSON: url, token, passphrase (or null). The end of standard input ends the program.
"""

import asyncio
import json
import sys

from livekit import rtc


async def main() -> None:
    given = json.loads(sys.stdin.readline())
    encryption = None
    if given["passphrase"] is not None:
        keys = rtc.KeyProviderOptions(shared_key=given["passphrase"].encode())
        encryption = rtc.E2EEOptions(key_provider_options=keys)
    room = rtc.Room()
    echoes = []

    async def echo(track: rtc.RemoteDataTrack) -> None:
        async for frame in track.subscribe():
            pong.try_push(frame)

    @room.on("data_track_published")
    def published(track: rtc.RemoteDataTrack) -> None:
        echoes.append(asyncio.create_task(echo(track)))

    await room.connect(given["url"], given["token"], rtc.RoomOptions(encryption=encryption))
    pong = await room.local_participant.publish_data_track(name="pong")
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await room.disconnect()


asyncio.run(main())
