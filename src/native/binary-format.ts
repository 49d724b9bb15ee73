/** What a file is built for, from its first bytes: so that a failure can say that it is another platform's. */
import { closeSync, openSync, readSync } from 'node:fs'

/** The operating system and the CPUs that a shared library is built for, in Node's terms. */
export interface BinaryFormat {
  readonly platform: 'linux' | 'darwin' | 'win32'
  readonly archs: readonly string[]
}

/** Bytes that the headers take. */
const HEAD = 4096
/** CPUs in a fat Mach-O file at most. Apple's have two. */
const MAX_ARCHS = 8

const elfMachines: Readonly<Record<number, string>> = {
  0x03: 'ia32',
  0x28: 'arm',
  0x3e: 'x64',
  0xb7: 'arm64',
}
const peMachines: Readonly<Record<number, string>> = { 0x14c: 'ia32', 0x8664: 'x64', 0xaa64: 'arm64' }
const machCpus: Readonly<Record<number, string>> = { 0x1000007: 'x64', 0x100000c: 'arm64' }

/** What the file is built for. `undefined`: it is no shared library, or cannot be read. */
export function formatOf(file: string): BinaryFormat | undefined {
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'r')
    const head = Buffer.alloc(HEAD)
    return formatIn(head.subarray(0, readSync(descriptor, head, 0, HEAD, 0)))
  } catch {
    return undefined
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

/** The same for the first bytes of a file. */
export function formatIn(head: Buffer): BinaryFormat | undefined {
  if (head.length < 64) return undefined
  if (head.toString('latin1', 0, 4) === '\x7fELF') {
    const bigEndian = head[5] === 2
    return named('linux', elfMachines, [bigEndian ? head.readUInt16BE(18) : head.readUInt16LE(18)])
  }
  if (head.readUInt32LE(0) === 0xfeedfacf) return named('darwin', machCpus, [head.readUInt32LE(4)])
  if (head.readUInt32BE(0) === 0xcafebabe) return named('darwin', machCpus, fatCpus(head))
  if (head.toString('latin1', 0, 2) === 'MZ') {
    const at = head.readUInt32LE(0x3c)
    if (at + 6 > head.length || head.toString('latin1', at, at + 4) !== 'PE\0\0') return undefined
    return named('win32', peMachines, [head.readUInt16LE(at + 4)])
  }
  return undefined
}

function fatCpus(head: Buffer): number[] {
  const count = Math.min(head.readUInt32BE(4), MAX_ARCHS)
  return Array.from({ length: count }, (_, index) => 8 + 20 * index)
    .filter((at) => at + 4 <= head.length)
    .map((at) => head.readUInt32BE(at))
}

function named(
  platform: BinaryFormat['platform'],
  names: Readonly<Record<number, string>>,
  numbers: readonly number[],
): BinaryFormat {
  return { platform, archs: numbers.map((number) => names[number] ?? `CPU 0x${number.toString(16)}`) }
}
