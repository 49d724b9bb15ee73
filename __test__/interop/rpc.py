"""A participant of LiveKit's Python SDK that answers calls and makes those that standard input asks for.

The first line of standard input is JSON: url, token, passphrase (or null). Each further line is JSON, {"to", "method", "payload",
"timeout"}: a call; standard output gets {"answer"} or {"code", "message", "data"}. The end of standard input ends the program.
"""

import asyncio
import json
import sys

from livekit import rtc


async def main() -> None:
    read = lambda: asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    given = json.loads(await read())
    options = rtc.RoomOptions()
    if given["passphrase"] is not None:
        keys = rtc.KeyProviderOptions(shared_key=given["passphrase"].encode())
        options.encryption = rtc.E2EEOptions(key_provider_options=keys)
    room = rtc.Room()
    await room.connect(given["url"], given["token"], options)
    local = room.local_participant

    @local.register_rpc_method("echo")
    async def echo(data: rtc.RpcInvocationData) -> str:
        return data.payload

    @local.register_rpc_method("make")
    async def make(data: rtc.RpcInvocationData) -> str:
        return "x" * int(data.payload)

    @local.register_rpc_method("fail")
    async def fail(data: rtc.RpcInvocationData) -> str:
        raise rtc.RpcError(code=42, message="büsy", data=data.caller_identity)

    @local.register_rpc_method("break")
    async def broken(data: rtc.RpcInvocationData) -> str:
        raise ValueError("secret")

    @local.register_rpc_method("hang")
    async def hang(data: rtc.RpcInvocationData) -> str:
        await asyncio.sleep(3600)
        return ""

    print(json.dumps("connected"), flush=True)
    while line := await read():
        call = json.loads(line)
        try:
            result = {
                "answer": await local.perform_rpc(
                    destination_identity=call["to"],
                    method=call["method"],
                    payload=call["payload"],
                    response_timeout=call["timeout"],
                )
            }
        except rtc.RpcError as error:
            result = {"code": error.code, "message": error.message, "data": error.data}
        print(json.dumps(result), flush=True)
    await room.disconnect()


asyncio.run(main())
