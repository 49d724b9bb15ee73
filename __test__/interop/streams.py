"""A participant of LiveKit's Python SDK that sends each data stream of the topic `echo` back on the topic `echoed`.

The attribute `sha256` of what it sends back says what it has received. The attribute `how` of a byte stream says how it is
sent back: `stream` (piece by piece) or `file`. Standard input has a line of JSON: url, token, passphrase (or null). The
end of standard input ends the program.
"""

import asyncio
import hashlib
import json
import os
import sys
import tempfile

from livekit import rtc


async def main() -> None:
    given = json.loads(sys.stdin.readline())
    encryption = None
    if given["passphrase"] is not None:
        keys = rtc.KeyProviderOptions(shared_key=given["passphrase"].encode())
        encryption = rtc.E2EEOptions(key_provider_options=keys)
    room = rtc.Room()
    tasks = []

    def attributes(content: bytes, info) -> dict[str, str]:
        return {**(info.attributes or {}), "sha256": hashlib.sha256(content).hexdigest(), "size": str(info.size)}

    async def echo_bytes(reader: rtc.ByteStreamReader) -> None:
        pieces = [piece async for piece in reader]
        content = b"".join(pieces)
        answer = attributes(content, reader.info)
        if answer["how"] == "file":
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, reader.info.name)
                with open(path, "wb") as file:
                    file.write(content)
                await room.local_participant.send_file(path, topic="echoed", attributes=answer)
            return
        writer = await room.local_participant.stream_bytes(
            reader.info.name, total_size=len(content), topic="echoed", attributes=answer
        )
        for start in range(0, len(content), 100_000):
            await writer.write(content[start : start + 100_000])
        await writer.aclose()

    async def echo_text(reader: rtc.TextStreamReader) -> None:
        text = await reader.read_all()
        answer = attributes(text.encode(), reader.info)
        await room.local_participant.send_text(text, topic="echoed", attributes=answer)

    room.register_byte_stream_handler("echo", lambda reader, _: tasks.append(asyncio.create_task(echo_bytes(reader))))
    room.register_text_stream_handler("echo", lambda reader, _: tasks.append(asyncio.create_task(echo_text(reader))))
    await room.connect(given["url"], given["token"], rtc.RoomOptions(encryption=encryption))
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        await task
    await room.disconnect()


asyncio.run(main())
