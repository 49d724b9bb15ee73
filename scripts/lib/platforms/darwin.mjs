// Addons for macOS: linked here, and not run.
import { StepError, run } from '../steps.mjs'
import { NM } from './toolchain.mjs'

/** cargo's variables for an addon for macOS: the oldest version that Node.js 20 runs on. */
export const darwinEnvironment = () => ({ MACOSX_DEPLOYMENT_TARGET: '11.0' })

/**
 * The linker leaves what it does not find to the program that loads the addon. That may be Node's functions only:
 * anything else is missing on a Mac, too, or is in a library of Apple's that the addon does not name.
 */
export async function checkLinked(addon) {
  const symbols = async (kind) => (await run(NM, ['-m', kind, addon], { capture: true })).output
  const left = [...(await symbols('--undefined-only')).matchAll(/ external (\S+) \(dynamically looked up\)/g)]
  const missing = left.map(([, name]) => name).filter((name) => !/^_(napi|node_api)_/.test(name))
  if (missing.length > 0) throw new StepError(`the addon was linked without ${missing.join(', ')}`)
  if (!/ external _napi_register_module_v1$/m.test(await symbols('--defined-only')))
    throw new StepError('the addon does not export what Node.js looks for')
}
