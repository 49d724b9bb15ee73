// What the bytes of the addon are for, by the map that the linker lld wrote of it.

/** What is no code is one of these. Sections that are not listed are counted with the constants. */
const KINDS = {
  '.text': 'code',
  '.eh_frame': 'unwinding',
  '.eh_frame_hdr': 'unwinding',
  '.gcc_except_table': 'unwinding',
}

/** Sections that take no bytes of the stripped file. */
const NOT_IN_THE_FILE = /^\.(bss|tbss|debug_\w+|symtab|strtab|comment|relro_padding)$/

/** What belongs to no crate by name. */
const LINKER = '(the linker: relocations, shared strings)'
const RUST = '(Rust: constants, unwinding)'

/**
 * The bytes for each crate and kind: `{ name, code, constants, unwinding, total }`, the largest first. A generic
 * function counts to the crate that wrote it, whichever crate uses it. `map`: the text that lld writes with `-Map`.
 * Throws if the text is something else.
 */
export function sizesOf(map) {
  if (!/^ +VMA +LMA +Size +Align +Out +In +Symbol$/m.test(map)) {
    throw new Error('this is no map of the linker lld, which Rust 1.90 and later link with on Linux, x64')
  }
  const rows = new Map()
  let section = ''
  for (const line of map.split('\n')) {
    const [, size, align, name] = /^ *[\da-f]+ +[\da-f]+ +([\da-f]+) +(\d+) (.*)$/.exec(line) ?? []
    if (align === undefined) continue
    if (!name.startsWith(' ')) section = name
    // What the output section is made of. Symbols, which are indented twice as far, repeat that.
    const [, object, part] = /^ {8}(\S.*):\((.*)\)$/.exec(name) ?? []
    if (part === undefined || NOT_IN_THE_FILE.test(section)) continue
    const who = ownerOf(object, part)
    const row = rows.get(who) ?? { name: who, code: 0, constants: 0, unwinding: 0, total: 0 }
    row[KINDS[section] ?? 'constants'] += Number.parseInt(size, 16)
    row.total += Number.parseInt(size, 16)
    rows.set(who, row)
  }
  return [...rows.values()].sort((a, b) => b.total - a.total)
}

/** Whose bytes the section `part` of an object file is. */
function ownerOf(object, part) {
  if (object === '<internal>') return LINKER
  const [, library, member] = /lib(\w+)-[\da-f]+\.rlib\((.*)\)$/.exec(object) ?? []
  if (library !== undefined && !member.endsWith('.rcgu.o')) return `${library} (C)`
  return crateOf(part) ?? (library === undefined ? RUST : library)
}

/** The crate in the name of a section. `undefined`: it has none. */
export function crateOf(section) {
  // Names of the newer kind: `C`, the hash of the crate, and its name with the length before it.
  const [, length, newer] = /_R.*?C(?:s[\dA-Za-z]*_)?(\d+)_?(.*)/.exec(section) ?? []
  const [, first, older] = /_ZN(\d+)(.*)/.exec(section) ?? []
  if (older === undefined) return newer?.slice(0, Number(length))
  const identifier = older.slice(0, Number(first))
  if (!identifier.startsWith('_$LT$')) return identifier
  // `<type as trait>`: the first path in it.
  const readable = identifier.replaceAll(/\$[A-Za-z\d]+\$/g, ' ')
  return /(?:^| )([a-z_]\w*)\.\./.exec(readable)?.[1] ?? 'core'
}
