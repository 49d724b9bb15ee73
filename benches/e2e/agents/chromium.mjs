// Passes commands to the page in Chromium. The browser is a child of this process and ends with it.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { chromium } from 'playwright-core'
import { serve } from './stdio.mjs'

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
FLAGS.push('--disable-background-networking', '--disable-component-update', '--disable-sync')

const file = (path) => readFileSync(new URL(path, import.meta.url))
const script = 'text/javascript'
const served = {
  '/': ['text/html', '<!doctype html><script type="module" src="/page.mjs"></script>'],
  '/page.mjs': [script, file('page.mjs')],
  '/engine.mjs': [script, file('engine.mjs')],
  '/livekit-client.mjs': [script, file('../../../node_modules/livekit-client/dist/livekit-client.esm.mjs')],
}

const server = createServer((request, response) => {
  const [type, body] = served[request.url] ?? []
  // Isolated pages have a clock with a resolution of 5 µs; for other pages it is 100 µs.
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
  response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp')
  response.writeHead(type === undefined ? 404 : 200, { 'Content-Type': type ?? 'text/plain' }).end(body)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
  headless: true,
  args: FLAGS,
})
const page = await browser.newPage()
await page.goto(`http://127.0.0.1:${server.address().port}/`)
await page.waitForFunction(() => globalThis.bench !== undefined)

serve(
  (command) => page.evaluate((given) => globalThis.bench.handle(given), command),
  () => browser.close(),
)
