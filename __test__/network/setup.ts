/** Builds the server and the bad network before the first file asks for them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { buildServer } from '../helpers/livekit-server'

export async function setup(): Promise<void> {
  await buildServer()
  const child = spawn(process.execPath, ['scripts/bad-network.mjs'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`building the bad network ended with ${String(code)}`)
}
