// Platform names: ours, Rust's and npm's.
import { readFileSync } from 'node:fs'
import { fromRoot } from './steps.mjs'

/** `true` on a Linux whose C library is musl. */
export function isMusl() {
  if (process.platform !== 'linux') return false
  return process.report.getReport().header.glibcVersionRuntime === undefined
}

const abis = { linux: ['gnu', 'musl'], win32: ['msvc'] }
const archs = { x86_64: 'x64', aarch64: 'arm64' }

/** All targets that are shipped, from package.json: Rust's triple, and npm's and Node's names of the platform. */
export function targets() {
  const { napi } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'))
  return napi.targets.map((triple) => {
    const [cpu, , system, abi] = triple.split('-')
    const platform = { windows: 'win32', darwin: 'darwin', linux: 'linux' }[system]
    const arch = archs[cpu]
    return { triple, platform, arch, abi, name: [platform, arch, abi].filter(Boolean).join('-') }
  })
}

/** The name that {@link targets} has for this machine, for example `linux-x64-gnu`. */
export function hostName() {
  const abi = abis[process.platform]?.at(isMusl() ? 1 : 0)
  const platform = process.platform
  return [platform, process.arch, abi].filter(Boolean).join('-')
}
