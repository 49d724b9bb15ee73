/** Builds the server and the link before the first file asks for them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { buildServer } from '../helpers/livekit-server'

export async function setup(): Promise<void> {
  await buildServer()
  const child = spawn(process.execPath, ['scripts/link.mjs'], { stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`building the link ended with ${String(code)}`)
}
