// A participant of `@livekit/rtc-node`, as `reliable.mjs` has it. The argument is the folder in which the SDK is installed.
// It is told and answers as reliable.py, but on the file descriptor 3: the SDK logs to standard output.
import { mkdtempSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { participant } from './reliable.mjs'

const load = createRequire(join(resolve(process.argv[2]), 'package.json'))
const rtc = load('@livekit/rtc-node')

const sdk = {
  RpcError: rtc.RpcError,
  isReliable: (kind) => kind === rtc.DataPacketKind.KIND_RELIABLE,
  room: async () => new rtc.Room(),
  async connect(room, { url, token, passphrase }, methods) {
    const options = { autoSubscribe: false, dynacast: false }
    if (passphrase !== null) {
      const sharedKey = new TextEncoder().encode(passphrase)
      const keyProviderOptions = { ...rtc.defaultKeyProviderOptions, sharedKey }
      options.encryption = { keyProviderOptions, encryptionType: rtc.EncryptionType.GCM }
    }
    await room.connect(url, token, options)
    methods((method, handler) => room.localParticipant.registerRpcMethod(method, handler))
  },
  async sendFile(local, content, { name, ...options }) {
    const folder = mkdtempSync(join(tmpdir(), 'rtc-node-'))
    try {
      const path = join(folder, name)
      writeFileSync(path, content)
      await local.sendFile(path, { name, ...options })
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
  leave: (room) => room.disconnect(),
}

const say = (value) => writeSync(3, `${JSON.stringify(value)}\n`)

let peer
for await (const line of createInterface(process.stdin)) {
  if (peer === undefined) {
    peer = await participant(sdk, JSON.parse(line))
    say('connected')
    continue
  }
  const [command, argument] = JSON.parse(line)
  try {
    say({ result: await peer[command](argument) })
  } catch (error) {
    say({ error: String(error) })
  }
}
await peer?.leave()
await rtc.dispose()
process.exit()
