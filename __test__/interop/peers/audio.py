"""A participant of LiveKit's Python SDK that publishes tones. It reads lines of JSON, `[command, argument]`, and answers
each with a line."""

import array
import asyncio
import json
import math
import sys

from livekit import rtc

RATE = 48_000
published = {}


def sines(tones):
    """A second of sines, one for each channel. Their frequencies are whole, so it can be repeated."""
    second = array.array("h")
    for index in range(RATE):
        for tone in tones:
            second.append(int(12_000 * math.sin(2 * math.pi * tone * index / RATE)))
    return second


async def play(source, second, channels, state):
    """Feeds a source with a second of sound, again and again, until it is stopped."""
    samples = RATE // 50
    at = 0
    while not state["stopped"]:
        data = second[at * channels : (at + samples) * channels]
        at = (at + samples) % RATE
        await source.capture_frame(rtc.AudioFrame(data.tobytes(), RATE, channels, samples))


async def join(room, url, token, passphrase):
    options = rtc.RoomOptions(auto_subscribe=False)
    if passphrase is not None:
        keys = rtc.KeyProviderOptions(shared_key=passphrase.encode())
        options.encryption = rtc.E2EEOptions(key_provider_options=keys)
    await room.connect(url, token, options)


async def publish(room, name, tones):
    second = sines(tones)
    source = rtc.AudioSource(RATE, len(tones))
    track = rtc.LocalAudioTrack.create_audio_track(name, source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await room.local_participant.publish_track(track, options)
    state = {"stopped": False, "track": track, "sid": publication.sid}
    state["task"] = asyncio.create_task(play(source, second, len(tones), state))
    published[name] = state
    return publication.sid


async def unpublish(room, name):
    state = published[name]
    state["stopped"] = True
    await room.local_participant.unpublish_track(state["sid"])


async def mute(_room, name, muted):
    track = published[name]["track"]
    track.mute() if muted else track.unmute()


async def main():
    room = rtc.Room()
    commands = {"join": join, "publish": publish, "unpublish": unpublish, "mute": mute}
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, argument = json.loads(line)
        try:
            answer = {"result": await commands[command](room, **argument)}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    for state in published.values():
        state["stopped"] = True
    await room.disconnect()


asyncio.run(main())
