// Commands arrive as lines of JSON on standard input. Results leave on standard output. The process ends when its input
// ends.
import { createInterface } from 'node:readline'
import { Engine } from './engine.mjs'

/** CLOCK_MONOTONIC, which all processes of the machine share. */
const clock = {
  now: () => Number(process.hrtime.bigint()) / 1e6,
  pause: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
}

const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

/** Serves until the input ends. `handle` takes a command and returns its result. */
export function serve(handle, end) {
  createInterface(process.stdin)
    .on('line', async (line) => {
      const { id, ...command } = JSON.parse(line)
      try {
        write({ id, result: (await handle(command)) ?? null })
      } catch (error) {
        write({ id, error: `${error.name}: ${error.message}` })
      }
    })
    .on('close', async () => {
      await end()
      process.exit(0)
    })
}

/** Serves a library in this process. */
export function serveAdapter(adapter) {
  const engine = new Engine({ ...clock, ...adapter })
  serve(
    (command) => engine.handle(command),
    () => adapter.disconnect(),
  )
}
