/** livekit-client in headless Chromium as a peer. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { ChromiumPage } from './chromium-page'
import { RemotePeer } from './peer'

export class ChromiumPeer extends RemotePeer {
  readonly kind = 'chromium'
  readonly #page: ChromiumPage

  private constructor(page: ChromiumPage) {
    super()
    this.#page = page
  }

  static async start(): Promise<ChromiumPeer> {
    return new ChromiumPeer(await ChromiumPage.open('/page', 'peer', serve))
  }

  protected call(command: string, argument: unknown): Promise<any> {
    return this.#page.call(command, argument)
  }

  close(): Promise<void> {
    return this.#page.close()
  }
}

/** The page's programs, and livekit-client's files. */
function serve(path: string): string | undefined {
  if (path === '/page' || path === '/pattern') {
    const source = readFileSync(join('__test__/interop/peers', `${path}.ts`), 'utf8')
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
    return ts.transpileModule(source, { compilerOptions }).outputText
  }
  if (path === '/livekit-client.umd.js' || path === '/livekit-client.e2ee.worker.mjs') {
    return readFileSync(join('node_modules/livekit-client/dist', path), 'utf8')
  }
  return undefined
}
