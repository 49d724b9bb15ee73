// Linux's figures about processes.
import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ, which is the same on all platforms that Node.js runs on. */
const TICKS = 100

const read = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'utf8')

/** The fields of /proc/<pid>/stat after the name. The name may contain spaces. */
const stat = (pid) => {
  const text = read(pid, 'stat')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** All present descendants of a process. */
export function descendants(root) {
  const children = new Map()
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const parent = attempt(() => Number(stat(pid)[1]))
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(pid)])
  }
  const found = []
  for (const queue = [root]; queue.length > 0;) {
    const next = children.get(queue.pop()) ?? []
    found.push(...next)
    queue.push(...next)
  }
  return found
}

/** CPU seconds that each of the processes has used, in all threads. */
export function cpuTimes(pids) {
  const times = new Map()
  for (const pid of pids) {
    const fields = attempt(() => stat(pid))
    if (fields !== undefined) times.set(pid, (Number(fields[11]) + Number(fields[12])) / TICKS)
  }
  return times
}

/** CPU seconds between two measurements. The CPU time of a process that ended in between is not known. */
export function cpuBetween(before, after) {
  let seconds = 0
  for (const [pid, time] of after) seconds += time - (before.get(pid) ?? 0)
  return seconds
}

/** Bytes of memory: resident, the highest resident value, and the proportional share of memory shared by processes. */
export function memory(pids) {
  const kib = (pid, file, name) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(read(pid, file))?.[1])
  return {
    resident: sum(pids, (pid) => kib(pid, 'status', 'VmRSS')),
    peak: sum(pids, (pid) => kib(pid, 'status', 'VmHWM')),
    shared: sum(pids, (pid) => kib(pid, 'smaps_rollup', 'Pss')),
  }
}

/** Threads of the processes. */
export const threads = (pids) => sum(pids, (pid) => readdirSync(`/proc/${pid}/task`).length)

const sum = (pids, value) => pids.reduce((total, pid) => total + (attempt(() => value(pid)) || 0), 0)

/** `undefined` when the process has just ended. */
function attempt(body) {
  try {
    return body()
  } catch {
    return undefined
  }
}
