/**
 * A Node that answers as Electron does when an addon wants to lend memory to JavaScript. Electron keeps V8's memory in a
 * cage, so an `ArrayBuffer` cannot lie outside of it.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'

/** The functions that lend memory. */
const LENDING = ['napi_create_external_arraybuffer', 'napi_create_external_buffer']

/** Machine code, by the ELF file's number of the CPU: `return napi_no_external_buffers_allowed`, which is 22. */
const REFUSAL: Readonly<Record<number, string>> = {
  62: 'b816000000c3', // x64: mov eax, 22; ret
  183: 'c0028052c0035fd6', // arm64: mov w0, 22; ret
}

/** The type of the section that has the symbols for addons. */
const DYNSYM = 11

/** Copies a Node for Linux to a file. The copy refuses external buffers. */
export function forbidExternalBuffers(node: string, copy: string): void {
  const elf = readFileSync(node)
  const long = (at: number): number => Number(elf.readBigUInt64LE(at))
  const section = (index: number) => {
    const at = long(0x28) + index * elf.readUInt16LE(0x3a)
    const [address, offset, size] = [long(at + 16), long(at + 24), long(at + 32)]
    return { type: elf.readUInt32LE(at + 4), address, offset, size, link: elf.readUInt32LE(at + 40) }
  }
  const sections = Array.from({ length: elf.readUInt16LE(0x3c) }, (_, index) => section(index))
  const symbols = sections.find(({ type }) => type === DYNSYM)
  const refusal = REFUSAL[elf.readUInt16LE(0x12)]
  if (symbols === undefined || refusal === undefined) throw new Error(`${node} is no Node for Linux`)
  const names = section(symbols.link).offset
  const patched = new Set<string>()
  for (let at = symbols.offset; at < symbols.offset + symbols.size; at += 24) {
    const name = names + elf.readUInt32LE(at)
    const found = LENDING.find((each) => elf.toString('latin1', name, name + each.length + 1) === `${each}\0`)
    if (found === undefined) continue
    const { address, offset } = section(elf.readUInt16LE(at + 6))
    elf.write(refusal, long(at + 8) - address + offset, 'hex')
    patched.add(found)
  }
  if (patched.size !== LENDING.length) throw new Error(`${node} has only ${[...patched].join()}`)
  writeFileSync(copy, elf)
  chmodSync(copy, 0o755)
}
