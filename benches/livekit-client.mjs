// livekit-client's packetizer, packets and depacketizer. Its bundle does not export them, but its package contains the
// sources. They are compiled, unchanged, for a current engine, and placed where their imports resolve.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { fromRoot } from '../scripts/lib/steps.mjs'

const require = createRequire(import.meta.url)
const source = fromRoot('node_modules/livekit-client/src')
const target = fromRoot('node_modules/.cache/livekit-client-bench')
/** The largest packet that livekit-client sends. */
const MTU = 16_000

export const { version } = JSON.parse(
  readFileSync(fromRoot('node_modules/livekit-client/package.json'), 'utf8'),
)

function compile() {
  rmSync(target, { recursive: true, force: true })
  for (const file of readdirSync(source, { recursive: true })) {
    if (!file.endsWith('.ts') || /\.(test|d)\.ts$/.test(file)) continue
    const { outputText } = ts.transpileModule(readFileSync(join(source, file), 'utf8'), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.CommonJS,
        esModuleInterop: true,
      },
    })
    const path = join(target, file.replace(/\.ts$/, '.js'))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, outputText)
  }
  writeFileSync(join(target, 'package.json'), '{ "type": "commonjs" }')
}

/**
 * Loads livekit-client's parts. The result of `pipeline(payload)` takes a payload through all of them and returns what
 * arrives.
 */
export function loadLivekitClient() {
  compile()
  const load = (file) => require(join(target, file))
  load('logger').setLogLevel('silent')
  const { default: Packetizer } = load('room/data-track/packetizer')
  const { default: Depacketizer } = load('room/data-track/depacketizer')
  const { DataTrackPacket } = load('room/data-track/packet/index')
  const { DataTrackFrameInternal } = load('room/data-track/frame')
  const { DataTrackHandle } = load('room/data-track/handle')
  return function pipeline() {
    const packetizer = new Packetizer(DataTrackHandle.fromNumber(1), MTU)
    const depacketizer = new Depacketizer()
    return (payload) => {
      let received
      for (const packet of packetizer.packetize(DataTrackFrameInternal.from({ payload }))) {
        const [parsed] = DataTrackPacket.fromBinary(packet.toBinary())
        const frame = depacketizer.push(parsed)
        if (frame) received = DataTrackFrameInternal.lossyIntoFrame(frame)
      }
      return received
    }
  }
}
