// Writes what a module exports to the file descriptor 3: the numbers of its enums, and the members of its classes.
import { EventEmitter } from 'node:events'
import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { ReadableStream } from 'node:stream/web'

const module = createRequire(import.meta.url)(process.argv[2])

const platform = new Set([Function.prototype, EventEmitter, Error, ReadableStream])

/** Methods and accessors, those of the platform's classes left out; and the static ones. */
function membersOf(type) {
  const names = new Set()
  for (let at = type; !platform.has(at); at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at.prototype)) names.add(name)
    for (const name of Object.getOwnPropertyNames(at)) names.add(`static ${name}`)
  }
  return [...names]
}

const shape = {}
for (const [name, value] of Object.entries(module)) {
  if (name === '__esModule' || name === 'default') continue
  if (typeof value !== 'function') shape[name] = { numbers: value }
  else if (/^class\b/.test(Function.prototype.toString.call(value)))
    shape[name] = { members: membersOf(value) }
  else shape[name] = {}
}
writeSync(3, JSON.stringify(shape))
process.exit()
