"""A participant of LiveKit's Python SDK that publishes tones and hears those of others. It reads lines of JSON, `[command, argument]`, and answers
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


async def microphone(room, name):
    """Publishes a track that is silent."""
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track(name, source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    publication = await room.local_participant.publish_track(track, options)
    published[name] = {"source": source, "sid": publication.sid}
    return publication.sid


async def say(_room, name, tone, ms):
    """Plays a tone once, for at most a second."""
    source = published[name]["source"]
    samples = RATE // 1000 * ms
    await source.capture_frame(rtc.AudioFrame(sines([tone])[:samples].tobytes(), RATE, 1, samples))
    await source.wait_for_playout()


async def unpublish(room, name):
    state = published[name]
    state["stopped"] = True
    await room.local_participant.unpublish_track(state["sid"])


async def mute(_room, name, muted):
    track = published[name]["track"]
    track.mute() if muted else track.unmute()


async def hear(room, sid, tones, frames):
    """Subscribes to the track of that SID, and reads it until so many frames of 100 ms in a row have these tones, one for
    each channel. Returns how loud they are, from 0 to 1."""
    track = await subscribed(room, sid)
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=len(tones), frame_size_ms=100)
    row = 0
    level = 0.0
    async for event in stream:
        data = event.frame.data
        shares = [share(data, len(tones), channel, tone) for channel, tone in enumerate(tones)]
        row = row + 1 if min(shares) > 0.8 else 0
        level = math.sqrt(sum(sample * sample for sample in data) / len(data)) / 32_767
        if row == frames:
            break
    await stream.aclose()
    return level


async def listen(room, sid, tone, frames, frameSizeMs):
    """Reads so many frames of the track of that SID. Returns how many of them have the tone."""
    track = await subscribed(room, sid)
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=frameSizeMs)
    heard = count = 0
    async for event in stream:
        heard += share(event.frame.data, 1, 0, tone) > 0.8
        count += 1
        if count == frames:
            break
    await stream.aclose()
    return int(heard)


async def set_key(room, passphrase, index):
    room.e2ee_manager.key_provider.set_shared_key(passphrase.encode(), index)


async def silence(room, sid, frames):
    """Reads the track of that SID until so many frames of 100 ms in a row are silent."""
    track = await subscribed(room, sid)
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=100)
    row = 0
    async for event in stream:
        row = row + 1 if max(map(abs, event.frame.data)) < 100 else 0
        if row == frames:
            break
    await stream.aclose()


async def subscribed(room, sid):
    """The track of that SID, subscribed to."""
    while True:
        for participant in room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.sid == sid:
                    if publication.track is not None:
                        return publication.track
                    publication.set_subscribed(True)
        changed = asyncio.Event()
        for event in ["track_published", "track_subscribed"]:
            room.once(event, lambda *_: changed.set())
        await changed.wait()


def share(data, channels, channel, tone):
    """The share of a channel's energy that has that frequency."""
    real = imaginary = energy = 0.0
    count = len(data) // channels
    for index in range(count):
        sample = data[index * channels + channel]
        angle = 2 * math.pi * tone * index / RATE
        real += sample * math.cos(angle)
        imaginary += sample * math.sin(angle)
        energy += sample * sample
    return 0 if energy == 0 else 2 * (real * real + imaginary * imaginary) / (count * energy)


async def main():
    room = rtc.Room()
    commands = {
        "join": join,
        "publish": publish,
        "microphone": microphone,
        "say": say,
        "unpublish": unpublish,
        "mute": mute,
        "hear": hear,
        "listen": listen,
        "setKey": set_key,
        "silence": silence,
    }
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
