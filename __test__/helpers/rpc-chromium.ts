/** livekit-client in headless Chromium as the other end of calls. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { ARGUMENTS } from '../interop/peers/chromium'
import type { PeerCall, PeerOutcome, RpcPeerOptions } from './rpc-python'

const PAGE = `<!doctype html><title>calls</title><link rel="icon" href="data:,">
<script src="/livekit-client.umd.js"></script><script src="/rpc-page.js"></script>`

/** What the page has. */
interface Page {
  join(options: unknown): Promise<void>
  call(call: unknown): Promise<PeerOutcome>
  leave(): Promise<void>
}

/** Runs `use` while the browser is in the room. `version`: the package in node_modules. */
export async function withChromiumRpc(
  { version = 'livekit-client', ...options }: RpcPeerOptions,
  use: (call: PeerCall) => Promise<void>,
): Promise<void> {
  const pages = createServer(({ url = '/' }, response) => {
    const folder = url === '/rpc-page.js' ? '__test__/interop/peers' : `node_modules/${version}/dist`
    response.writeHead(200, { 'content-type': url === '/' ? 'text/html' : 'text/javascript' })
    response.end(url === '/' ? PAGE : readFileSync(join(folder, url)))
  })
  pages.listen(0, '127.0.0.1')
  await once(pages, 'listening')
  const executablePath = process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium'
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS })
  try {
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(`In the page: ${error.stack ?? error.message}`))
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`)
    await page.evaluate((given) => (globalThis as unknown as Page).join(given), options)
    await use((call) => page.evaluate((given) => (globalThis as unknown as Page).call(given), call))
    await page.evaluate(() => (globalThis as unknown as Page).leave())
  } finally {
    await browser.close()
    pages.close()
  }
}
