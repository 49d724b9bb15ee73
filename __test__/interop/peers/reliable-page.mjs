// What a browser's page runs: livekit-client, of whichever version, as `reliable.mjs` has it.
import { participant } from '/reliable.mjs'

/* global LivekitClient, RTCDataChannel, Worker */

LivekitClient.setLogLevel('silent')

// What has gone to a reliable channel, each message once: a resumed connection gets the last ones again.
const sent = new WeakSet()
let sends = 0
const { send } = RTCDataChannel.prototype
RTCDataChannel.prototype.send = function (message) {
  send.call(this, message)
  if (this.label !== '_reliable' || sent.has(message)) return
  sent.add(message)
  sends++
}

const keyProvider = new LivekitClient.ExternalE2EEKeyProvider()
let worker
let joined

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
    joined = room
    methods((method, handler) => room.registerRpcMethod(method, handler))
    await room.connect(url, token)
  },
  async leave(room) {
    await room.disconnect()
    worker?.terminate()
  },
}

// Packets that have their number, were not sent, and do not wait for it, either: where the SDK shows its numbers and what it keeps,
// which those of today do not. A rebuilt connection begins anew with them, so that nothing is lost by this.
function lost() {
  const { reliableDataSequence, reliableMessageBuffer } = joined.engine
  if (reliableDataSequence === undefined) return 0
  const waiting = reliableMessageBuffer.getAll().filter(({ data }) => !sent.has(data))
  return Math.max(0, reliableDataSequence - 1 - sends - waiting.length)
}

globalThis.join = async (given) => {
  const resume = () => joined.simulateScenario('signal-reconnect')
  globalThis.peer = { ...(await participant(sdk, given)), lost, resume }
}
