// What a browser's page runs: livekit-client, of whichever version, as `reliable.mjs` has it.
import { participant } from '/reliable.mjs'

/* global LivekitClient, Worker */

LivekitClient.setLogLevel('silent')

const keyProvider = new LivekitClient.ExternalE2EEKeyProvider()
let worker

const sdk = {
  RpcError: LivekitClient.RpcError,
  isReliable: (kind) => kind === LivekitClient.DataPacket_Kind.RELIABLE,
  async room({ passphrase }) {
    if (passphrase === null) return new LivekitClient.Room()
    worker = new Worker('/livekit-client.e2ee.worker.mjs', { type: 'module' })
    const room = new LivekitClient.Room({ encryption: { keyProvider, worker } })
    await keyProvider.setKey(passphrase)
    await room.setE2EEEnabled(true)
    return room
  },
  async connect(room, { url, token }, methods) {
    methods((method, handler) => room.registerRpcMethod(method, handler))
    await room.connect(url, token)
  },
  async leave(room) {
    await room.disconnect()
    worker?.terminate()
  },
}

globalThis.join = async (given) => {
  globalThis.peer = await participant(sdk, given)
}
