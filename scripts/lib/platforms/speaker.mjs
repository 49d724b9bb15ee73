// A participant that publishes a tone, for the platforms to hear. It is one of rtc-node, on this machine.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { peers, places } from '../../../benches/e2e/peers.mjs'
import { fromRoot, StepError } from '../steps.mjs'

/** The frequency of the tone, in Hz. */
export const TONE = 440

/** Publishes a tone into the token's room. Returns a function that ends the participant. */
export async function startSpeaker(url, token) {
  await peers['rtc-node'].install()
  const args = [fromRoot('__test__/interop/peers/audio-rtc-node.mjs'), join(places.packages, '..')]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit', 'pipe'] })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const answers = createInterface(child.stdio[3])[Symbol.asyncIterator]()
  for (const command of [
    ['join', { url, token, passphrase: null }],
    ['publish', { name: 'tone', tones: [TONE] }],
  ]) {
    child.stdin.write(`${JSON.stringify(command)}\n`)
    const { value, done } = await answers.next()
    const error = done ? 'it has ended' : JSON.parse(value).error
    if (error !== undefined) throw new StepError(`rtc-node does not publish a tone: ${error}`)
  }
  return async () => {
    const closed = once(child, 'close')
    kill()
    await closed
    process.off('exit', kill)
  }
}
