"""A participant of LiveKit's Python SDK for the reliable side of a room: calls, data streams and data packets.

`reliable-peer.ts` says what is asked of it, and what it does by itself. Standard input has lines of JSON: first url, token and
passphrase (or null), then commands; each gets a line of JSON on standard output. The end of standard input ends the program.
"""

import asyncio
import hashlib
import json
import os
import sys
import tempfile

from livekit import rtc

PIECE = 100_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Participant:
    def __init__(self) -> None:
        self.room = rtc.Room()
        self.tasks: set[asyncio.Task] = set()

    async def join(self, url: str, token: str, passphrase: str | None) -> None:
        options = rtc.RoomOptions()
        if passphrase is not None:
            keys = rtc.KeyProviderOptions(shared_key=passphrase.encode())
            encryption = rtc.E2EEOptions(key_provider_options=keys)
            # Its older releases know it by another name.
            setattr(options, "encryption" if hasattr(options, "encryption") else "e2ee", encryption)
        self.room.register_byte_stream_handler("echo", self.later(self.echo_bytes))
        self.room.register_text_stream_handler("echo", self.later(self.echo_text))
        self.room.register_byte_stream_handler("digest", self.later(self.digest_bytes))
        self.room.register_text_stream_handler("digest", self.later(self.digest_text))
        self.room.on("data_received", self.echo_packet)
        await self.room.connect(url, token, options)
        self.local = self.room.local_participant
        for name in ("echo", "make", "fail", "break", "hang"):
            self.local.register_rpc_method(name, getattr(self, f"rpc_{name}"))

    def start(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def later(self, handler):
        return lambda reader, _identity: self.start(handler(reader))

    async def rpc_echo(self, data: rtc.RpcInvocationData) -> str:
        return data.payload

    async def rpc_make(self, data: rtc.RpcInvocationData) -> str:
        return "x" * int(data.payload)

    async def rpc_fail(self, data: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(code=42, message="büsy", data=data.caller_identity)

    async def rpc_break(self, data: rtc.RpcInvocationData) -> str:
        raise ValueError("secret")

    async def rpc_hang(self, data: rtc.RpcInvocationData) -> str:
        await asyncio.sleep(3600)
        return ""

    async def echo_bytes(self, reader: rtc.ByteStreamReader) -> None:
        content = b"".join([piece async for piece in reader])
        given = reader.info.attributes or {}
        attributes = {**given, "sha256": sha256(content), "size": str(reader.info.size)}
        if given["how"] == "file":
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, reader.info.name)
                with open(path, "wb") as file:
                    file.write(content)
                await self.local.send_file(path, topic="echoed", attributes=attributes)
        else:
            await self.write(content, "echoed", reader.info.name, attributes)

    async def write(self, content: bytes, topic: str, name: str, attributes: dict[str, str]) -> None:
        writer = await self.local.stream_bytes(name, total_size=len(content), topic=topic, attributes=attributes)
        for start in range(0, len(content), PIECE):
            await writer.write(content[start : start + PIECE])
        await writer.aclose()

    async def echo_text(self, reader: rtc.TextStreamReader) -> None:
        text = await reader.read_all()
        attributes = {**(reader.info.attributes or {}), "sha256": sha256(text.encode()), "size": str(reader.info.size)}
        await self.local.send_text(text, topic="echoed", attributes=attributes)

    async def digest_bytes(self, reader: rtc.ByteStreamReader) -> None:
        digest = hashlib.sha256()
        async for piece in reader:
            digest.update(piece)
        await self.local.send_text("", topic="digested", attributes={"sha256": digest.hexdigest()})

    async def digest_text(self, reader: rtc.TextStreamReader) -> None:
        digest = hashlib.sha256()
        async for piece in reader:
            digest.update(piece.encode())
        await self.local.send_text("", topic="digested", attributes={"sha256": digest.hexdigest()})

    def echo_packet(self, packet: rtc.DataPacket) -> None:
        if packet.topic != "echo":
            return
        reliable = packet.kind == rtc.DataPacketKind.KIND_RELIABLE
        topic = f"echoed {'reliable' if reliable else 'lossy'} {sha256(packet.data)}"
        self.start(self.local.publish_data(packet.data, reliable=reliable, topic=topic))

    async def call(self, to: str, method: str, payload: str, timeout: float) -> dict:
        try:
            answer = await self.local.perform_rpc(
                destination_identity=to, method=method, payload=payload, response_timeout=timeout
            )
            return {"answer": answer}
        except rtc.RpcError as error:
            return {"code": error.code, "message": error.message, "data": error.data}

    async def calls(self, to: str, payloads: list[str], timeout: float) -> list[dict]:
        return await asyncio.gather(*(self.call(to, "echo", payload, timeout) for payload in payloads))

    async def binary(self, size: int) -> dict:
        content = os.urandom(size)
        attributes = {"sha256": sha256(content)}
        await self.write(content, "made", "made.bin", attributes)
        return attributes

    async def text(self, size: int) -> dict:
        text = ("ä三😀" * (size // 9 + 1)).encode()[:size].decode(errors="ignore")
        text += "." * (size - len(text.encode()))
        attributes = {"sha256": sha256(text.encode())}
        await self.local.send_text(text, topic="made", attributes=attributes)
        return attributes

    async def packet(self, size: int, reliable: bool) -> dict:
        content = os.urandom(size)
        digest = sha256(content)
        await self.local.publish_data(content, reliable=reliable, topic=f"made {digest}")
        return {"sha256": digest}


async def main() -> None:
    read = lambda: asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    participant = Participant()
    await participant.join(**json.loads(await read()))
    print(json.dumps("connected"), flush=True)
    while line := await read():
        command, argument = json.loads(line)
        try:
            result = {"result": await getattr(participant, command)(**argument)}
        except Exception as error:
            result = {"error": repr(error)}
        print(json.dumps(result), flush=True)
    await participant.room.disconnect()


asyncio.run(main())
