// Turns measurements into the table with its targets.
import { heading, say } from '../scripts/lib/steps.mjs'

const SMALL = ['64 B', '256 B', '1 KiB']
const LARGE = ['15 KiB', '200 KiB', '1 MiB']

const number = (value) => Math.round(value).toLocaleString('en-US')
const spread = ({ median, min, max }) => `${number(median)} [${number(min)}–${number(max)}]`

/** A Markdown table with aligned columns. */
export function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell ?? ''))
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)))
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  const [top, ...rest] = cells
  say([line(top), line(widths.map((width) => '-'.repeat(width))), ...rest.map(line)].join('\n'))
}

/** `wanted` is the least, or the greatest, value that a ratio should have. */
function verdict(label, ratio, wanted, atMost) {
  const met = atMost ? ratio <= wanted : ratio >= wanted
  return [
    label,
    `${ratio.toFixed(2)}×`,
    `${atMost ? 'at most' : 'at least'} ${wanted}×`,
    met ? 'met' : 'MISSED',
  ]
}

/** Results by group, case and name. */
function index(rows) {
  const found = new Map(rows.map((row) => [`${row.group}/${row.case}/${row.name}`, row]))
  return (group, size, name) => found.get(`${group}/${size}/${name}`)
}

export function rustTables(rows) {
  const get = index(rows)
  heading('Core and driver, beside the managers of the livekit-datatrack crate')
  for (const group of ['publish', 'subscribe', 'publish, E2EE', 'subscribe, E2EE']) {
    const names = [...new Set(rows.filter((row) => row.group === group).map(({ name }) => name))]
    say(`\n${group}`)
    const cell = (size, name) => {
      const row = get(group, size, name)
      return row && spread(row)
    }
    table(
      ['', ...SMALL, ...LARGE],
      names.map((name) => [name, ...[...SMALL, ...LARGE].map((size) => cell(size, name))]),
    )
  }
  say('\nA packet of 256 bytes: its header read, or written with its payload')
  const headers = ['plain', 'timestamp', 'E2EE', 'E2EE, timestamp']
  const codecs = [
    ['parse', 'clone'],
    ['parse', 'ours'],
    ['parse', 'reference'],
    ['write', 'ours'],
    ['write', 'reference'],
    ['write', 'reference, as used'],
  ]
  table(
    ['', ...headers],
    codecs.map(([group, name]) => [
      `${group}, ${name}`,
      ...headers.map((header) => spread(get(group, header, name))),
    ]),
  )
  say('\nThrough the link, 64 frames at a turn: 1,000 tracks instead of 1')
  const many = ['publish, tracks', 'subscribe, tracks'].flatMap((group) =>
    ['256 B', '1 KiB'].map((size) => [group, size]),
  )
  table(
    ['', '1 track', '1,000 tracks'],
    many.map(([group, size]) => [
      `${group}, ${size}`,
      spread(get(group, size, '1')),
      spread(get(group, size, '1000')),
    ]),
  )
  say('\nFrames of so many packets that arrive when their packets come in one burst')
  table(
    ['packets', 'ours', 'reference'],
    rows
      .filter(({ group }) => group === 'burst')
      .map(({ case: packets, frames, ours, reference }) => [
        packets,
        `${ours} of ${frames}`,
        `${reference} of ${frames}`,
      ]),
  )
  heading('Targets: core and driver')
  table(['', 'measured', 'wanted', ''], rustVerdicts(get, rows))
}

function rustVerdicts(get, rows) {
  const ratio = (group, size, one, other) => get(group, size, one).median / get(group, size, other).median
  const verdicts = []
  for (const group of ['publish', 'subscribe']) {
    for (const size of SMALL) {
      for (const ours of ['core', 'link']) {
        const label = `${group}, ${size}, ${ours}: times as fast as the reference`
        verdicts.push(verdict(label, ratio(group, size, 'reference', ours), 5, false))
      }
    }
    for (const size of LARGE) {
      const label = `${group}, ${size}, core: the time of memcpy`
      verdicts.push(verdict(label, ratio(group, size, 'core', 'memcpy'), size === '15 KiB' ? 3 : 2, true))
    }
  }
  const primitive = 'aes-128-gcm + 2 memcpy'
  for (const group of ['publish, E2EE', 'subscribe, E2EE']) {
    for (const size of LARGE) {
      const label = `${group}, ${size}, core`
      verdicts.push(
        verdict(`${label}: the time of ${primitive}`, ratio(group, size, 'core', primitive), 1.25, true),
      )
      verdicts.push(
        verdict(
          `${label}: times as fast as the reference`,
          ratio(group, size, 'reference', 'core'),
          3,
          false,
        ),
      )
    }
  }
  for (const group of ['parse', 'write']) {
    for (const header of ['plain', 'timestamp', 'E2EE', 'E2EE, timestamp']) {
      const label = `${group} a packet, ${header}: times as fast as the reference`
      // The harness clones each packet before it is parsed. That is not part of either codec's cost.
      const clone = get(group, header, 'clone')?.median ?? 0
      const [theirs, ours] = ['reference', 'ours'].map((name) => get(group, header, name).median - clone)
      verdicts.push(verdict(label, theirs / ours, 2, false))
    }
  }
  for (const group of ['publish, tracks', 'subscribe, tracks']) {
    for (const size of ['256 B', '1 KiB']) {
      verdicts.push(
        verdict(`${group}, ${size}: 1,000 instead of 1`, ratio(group, size, '1000', '1'), 1.2, true),
      )
    }
  }
  for (const { case: packets, frames, ours } of rows.filter(({ group }) => group === 'burst')) {
    verdicts.push(verdict(`a burst of ${packets} packets: frames that arrive`, ours / frames, 1, false))
  }
  return verdicts
}

export function addonTable(rows) {
  heading('JavaScript push → addon → loopback → JavaScript for await')
  const figures = ({ wall, min, max, cpu }) => [
    spread({ median: wall, min, max }),
    number(cpu),
    number(1e9 / wall),
  ]
  table(
    ['', 'ns per frame', 'CPU ns per frame', 'frames/s'],
    rows.map((row) => [label(row), ...figures(row)]),
  )
  heading('Targets: through the addon')
  const find = (group, size, name) =>
    rows.find((row) => row.group === group && row.size === size && row.name === name)
  const verdicts = []
  for (const [size, wanted] of [
    ['256 B', 1.5],
    ['15 KiB', 10],
    ['200 KiB', 15],
  ]) {
    const [ours, theirs] = [find('addon', size, 'ours'), find('addon', size, 'livekit-client')]
    verdicts.push(verdict(`${size}: times as fast as livekit-client`, theirs.wall / ours.wall, wanted, false))
    verdicts.push([`${size}: the same by CPU time`, `${(theirs.cpu / ours.cpu).toFixed(2)}×`, '', ''])
  }
  const [one, many] = [find('tracks', '256 B', 1), find('tracks', '256 B', 1_000)]
  verdicts.push(verdict('1,000 tracks instead of 1, 256 B: CPU per frame', many.cpu / one.cpu, 1.2, true))
  table(['', 'measured', 'wanted', ''], verdicts)
}

function label({ group, size, name }) {
  if (group === 'addon') return `${size}, ${name}`
  return `${size}, ${name.toLocaleString('en-US')} ${name === 1 ? 'track' : 'tracks'}`
}
