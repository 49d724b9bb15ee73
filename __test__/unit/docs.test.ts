/** What the documentation says is what the code does. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkConnectOptions } from '../../src/connection/connect-options'
import { checkLimits } from '../../src/data-stream/limits'
import { checkPublishOptions } from '../../src/data-track/publish-options'
import { checkPipelineOptions, checkSubscribeOptions } from '../../src/data-track/subscribe-options'
import { ExternalE2EEKeyProvider } from '../../src/e2ee/key-provider'
import { errorTable } from '../../src/base/errors'
import { RoomEvent } from '../../src/room/events'
import { RpcError, rpcErrors } from '../../src/rpc/rpc-error'
import type { RpcErrorName } from '../../src/rpc/rpc-error'
import { MAX_ROUND_TRIP_LATENCY, RESPONSE_TIMEOUT } from '../../src/rpc/timeouts'

const pages = [
  ...readdirSync('.').filter((file) => file.endsWith('.md')),
  ...readdirSync('docs').map((file) => join('docs', file)),
].sort()

const read = (file: string): string => readFileSync(file, 'utf8')

/** The part of a page under that heading, of whatever level. */
function section(file: string, heading: string): string {
  const lines = read(file).split('\n')
  const start = lines.findIndex((line) => line.replace(/^#+ /, '') === heading && line.startsWith('#'))
  expect(start, `${file} has no heading "${heading}"`).toBeGreaterThanOrEqual(0)
  const end = lines.findIndex((line, index) => index > start && /^#{1,2} /.test(line))
  return lines.slice(start + 1, end < 0 ? undefined : end).join('\n')
}

/** The cells of all rows of the tables in a text, without the heads. */
function rows(text: string): string[][] {
  const lines = text.split('\n')
  return lines
    .filter((line, index) => {
      const isHead = /^\| ---/.test(lines[index + 1] ?? '')
      return line.startsWith('| ') && !line.startsWith('| ---') && !isHead
    })
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
}

const code = (cell: string | undefined): string | undefined => /^`([^`]+)`/.exec(cell ?? '')?.[1]

describe('errors.md', () => {
  const page = read('docs/errors.md')
  const names = [...new Set(errorTable().map(({ name }) => name))]

  test.each(names)('%s: code, reasons, messages and advice equal those of the table in the code', (name) => {
    const text = section('docs/errors.md', name)
    const table = errorTable().filter((row) => row.name === name)
    expect(text).toContain(`\`code\`: \`${table[0]!.code}\``)
    expect(rows(text)).toEqual(table.map(({ reason, message, doc }) => [`\`${reason}\``, message, doc]))
  })

  test('it has no other class or code', () => {
    const classes = [...page.matchAll(/^## (\w+)$/gm)].map(([, name]) => name)
    expect(classes).toEqual([...names, 'RpcError'])
    const codes = new Set([...page.matchAll(/ERR_DATATRACK_\w+/g)].map(([found]) => found))
    expect(codes).toEqual(new Set(errorTable().map((row) => row.code)))
  })

  test('RpcError: names, codes, messages and advice equal those in the code', () => {
    const expected = Object.entries(RpcError.ErrorCode).map(([name, number]) => {
      const { message, doc } = rpcErrors[name as RpcErrorName]
      return [`\`${name}\``, String(number), message, doc]
    })
    expect(rows(section('docs/errors.md', 'RpcError')).sort()).toEqual(expected.sort())
  })
})

/** The properties of an exported interface, those that it extends in the same file included. */
function properties(file: string, name: string): string[] {
  const source = read(file)
  const [, parents = '', body = ''] =
    new RegExp(`export interface ${name}(?:<[^{]*>)?(?: extends ([^{]+?))? \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(
      source,
    ) ?? []
  const own = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)].map(([, property = '']) => property)
  expect(own.length, `${file} has no interface ${name}`).toBeGreaterThan(0)
  const inherited = parents.split(',').map((parent) => parent.trim())
  return [
    ...inherited
      .filter((parent) => source.includes(`interface ${parent} {`))
      .flatMap((parent) => properties(file, parent)),
    ...own,
  ]
}

describe('options of publishDataTrack', () => {
  test.each(properties('src/data-track/publish-options.ts', 'DataTrackPublishOptions'))(
    'a wrong value of %s is refused',
    (option) => {
      const options = { name: 'x', [option]: Symbol('wrong') as never }
      expect(() => checkPublishOptions(options, false)).toThrow(`options.${option}`)
    },
  )
})

describe('options in api.md', () => {
  const published = checkPublishOptions({ name: 'x' }, false).native
  const { native: subscribed, ...reading } = checkSubscribeOptions(undefined)
  const connecting = checkConnectOptions({})
  /** The section, the interfaces whose options it has, and what an absent option becomes: by its name, or that and `Ms`. */
  const tables: [string, [string, string][], Record<string, unknown>][] = [
    [
      'LocalParticipant',
      [['src/data-track/publish-options.ts', 'DataTrackPublishOptions']],
      { ...published, whenFull: published.refuseWhenFull ? 'refuse' : 'dropOldest', name: undefined },
    ],
    [
      'RemoteDataTrack',
      [
        ['src/data-track/subscribe-options.ts', 'DecodingSubscribeOptions'],
        ['src/data-track/subscribe-options.ts', 'RemoteDataTrackPipelineOptions'],
      ],
      {
        ...subscribed,
        ...reading,
        onDecodeError: reading.skipUndecodable ? 'skip' : 'throw',
        targetFps: undefined,
        ...checkPipelineOptions({}),
      },
    ],
    [
      'Connecting to a server',
      [['src/connection/connect-options.ts', 'ConnectOptions']],
      { ...connecting, connectTimeout: connecting.timeoutMs, peerConnections: connecting.mode },
    ],
    [
      'ExternalE2EEKeyProvider',
      [['src/e2ee/key-provider.ts', 'KeyProviderOptions']],
      { ...new ExternalE2EEKeyProvider().getOptions() },
    ],
  ]

  test.each(tables)('%s: each option has a row with its default', (heading, interfaces, absent) => {
    const written = Object.fromEntries(
      rows(section('docs/api.md', heading))
        .filter((row) => row.length === 4)
        .flatMap((row) => [...row[0]!.matchAll(/`([^`]+)`/g)].map(([, option]) => [option, row[3]])),
    )
    for (const option of interfaces.flatMap(([file, name]) => properties(file, name))) {
      expect(Object.keys(written), 'docs/api.md, ' + heading).toContain(option)
      const value = absent[option] ?? absent[`${option}Ms`]
      if (!['number', 'string', 'boolean'].includes(typeof value)) continue
      const text = String(value).replace(/^-/, '−')
      expect(written[option]?.replaceAll(',', '').replaceAll('`', ''), option).toBe(text)
    }
  })

  test('the options for a key of each participant have rows', () => {
    const { ratchetWindowSize } = new ExternalE2EEKeyProvider({ sharedKey: false }).getOptions()
    const row = rows(section('docs/api.md', 'ExternalE2EEKeyProvider')).find(
      ([option]) => code(option) === 'ratchetWindowSize',
    )
    expect(row?.[1]).toContain(`${ratchetWindowSize} with \`sharedKey: false\``)
  })

  test('the options of calls have rows in rpc.md', () => {
    const written = Object.fromEntries(
      rows(section('docs/rpc.md', 'performRpc'))
        .filter((row) => row.length === 4)
        .map((row) => [code(row[0]), row[3]]),
    )
    expect(written['responseTimeout']?.replaceAll(',', '')).toBe(String(RESPONSE_TIMEOUT))
    expect(written['maxRoundTripLatency']?.replaceAll(',', '')).toBe(String(MAX_ROUND_TRIP_LATENCY))
  })

  test('the reasons for drops equal those of the types', () => {
    const files = ['src/data-track/stats.ts', 'src/data-packet/receiver.ts', 'src/data-stream/incoming.ts']
    const sources = files.map(read).join('')
    const types = [...sources.matchAll(/^export type \w+DropReason =\s([\s\S]*?)\n\n/gm)]
    const expected = types.map(([, union = '']) =>
      [...union.matchAll(/'(\w+)'/g)].map(([, reason]) => reason),
    )
    const written = rows(section('docs/api.md', 'Counters'))
      .filter(([where]) => where!.includes('.dropped`'))
      .map(([, reasons]) => [...reasons!.matchAll(/`(\w+)`/g)].map(([, reason]) => reason))
    // The types come in the order: out, packets, frames, streams, data packets, data streams.
    expect(written).toEqual([0, 2, 3, 1, 4, 5].map((index) => expected[index]))
  })

  test('all room events are listed, by both names', () => {
    const written = rows(section('docs/api.md', 'Room'))
      .filter((row) => row.length === 4)
      .map((row) => [code(row[0]), code(row[1])])
    expect(written).toEqual(Object.entries(RoomEvent))
  })
})

describe('counters and events are in each place that must list them', () => {
  /** The keys that Rust puts into an object of that type. */
  function written(rust: string, type: string): string[] {
    const [, body = ''] =
      new RegExp(`impl IntoJs for ${type} \\{([\\s\\S]*?)^\\}`, 'm').exec(read(rust)) ?? []
    return [...body.matchAll(/c"(\w+)"/g)].map(([, key = '']) => key)
  }
  const contract = 'src/native/native.ts'
  const rust = 'crates/node/src/convert/stats.rs'

  test.each([
    ['ConnectionStats', ['ConnectionCounters', 'NativeConnectionStats']],
    ['ChannelStats', ['NativeChannelStats']],
    ['PeerStats', ['NativePeerStats']],
    ['SctpStats', ['NativeSctpStats']],
    ['SendStats', ['NativeSendStats']],
    ['PacketStats', ['NativePacketStats']],
    ['FrameStats', ['NativeFrameStats']],
    ['StreamStats', ['NativeStreamStats']],
  ])('%s of the binding has the keys of the native contract', (type, interfaces) => {
    const declared = interfaces.flatMap((name) => properties(contract, name))
    expect(written(rust, type).sort()).toEqual([...new Set(declared)].sort())
  })

  /** The fields that a Rust function reads from its argument. */
  function fieldsOf(name: string): string[] {
    const source = read('crates/node/src/convert/options.rs')
    const [body = ''] = new RegExp(`pub\\(crate\\) fn ${name}\\([\\s\\S]*?^\\}`, 'm').exec(source) ?? []
    const [metadata = ''] = /^impl Metadata \{[\s\S]*?^\}/m.exec(source) ?? []
    const text = body.includes('Metadata::read') ? metadata + body : body
    return [...text.matchAll(/\.field\(c"(\w+)"\)/g)].map(([, field = '']) => field)
  }

  test.each([
    ['connection_options', 'NativeConnectionOptions'],
    ['publish_options', 'NativePublishOptions'],
    ['subscribe_options', 'NativeSubscribeOptions'],
    ['pipeline_options', 'NativePipelineOptions'],
    ['session_options', 'NativeSessionOptions'],
    ['network_options', 'NativeNetworkOptions'],
    ['track_info', 'NativeTrackInfo'],
  ])('%s of the binding reads the fields of %s', (name, type) => {
    expect(fieldsOf(name).sort()).toEqual(properties(contract, type).sort())
  })

  test('each counter of a connection has a row in api.md', () => {
    const table = section('docs/api.md', 'Room statistics')
    const figures = [
      ...properties(contract, 'ConnectionCounters'),
      ...properties('src/connection/stats.ts', 'ConnectionStats'),
    ]
    for (const figure of figures) expect(table, figure).toContain(`\`connection.${figure}\``)
    const parts = ['MessageChannelStats', 'SctpStats']
    for (const figure of parts.flatMap((name) => properties('src/connection/stats.ts', name))) {
      expect(table, figure).toContain(`\`${figure}\``)
    }
  })

  test('each room event has a listener type', () => {
    const listeners = properties('src/room/events.ts', 'RoomEvents')
    expect(listeners.sort()).toEqual(Object.values(RoomEvent).sort())
  })
})

/** The value of a constant in a source of ours, in ms if it is a duration. */
function constant(file: string, name: string): number {
  const found = new RegExp(`const ${name}(?:: [^=]+)? = ([^;\\n]+)`).exec(read(file))?.[1]
  expect(found, `${file} has no constant ${name}`).toBeDefined()
  const plain = found!
    .replaceAll('_', '')
    .replace(/^Duration::from(secs|millis)\((\d+)\)$/, (_, unit: string, count: string) =>
      unit === 'secs' ? `${count} * 1000` : count,
    )
  const [, left = '', operator, right = '', third = '1'] =
    /^(\d+)(?: (\*|<<) (\d+)(?: \* (\d+))?)?$/.exec(plain) ?? []
  expect(left, `${name} = ${plain} is not understood here`).not.toBe('')
  if (operator === '<<') return Number(left) * 2 ** Number(right)
  return operator === '*' ? Number(left) * Number(right) * Number(third) : Number(left)
}

describe('data-streams.md', () => {
  test('the limits equal those in the code', () => {
    const written = rows(section('docs/data-streams.md', 'Limits'))
    const limits = Object.fromEntries(
      written.map((row) => [code(row[0]), Number(row[3]?.replaceAll(',', ''))]),
    )
    expect(limits).toEqual(checkLimits(undefined))
  })
})

describe('ARCHITECTURE.md', () => {
  const bounds = rows(section('ARCHITECTURE.md', 'Bounds'))

  test.each(bounds)('the bound %s equals the code: %s', (_, value, where) => {
    const [, file = '', name = ''] = /`([^`]+)` `([^`]+)`/.exec(where) ?? []
    expect(constant(file, name)).toBe(Number(value.replaceAll(',', '')))
  })

  test('it has a table of bounds', () => {
    expect(bounds.length).toBeGreaterThan(20)
  })

  /** A source in Rust has its tests at its end. */
  const testsIn = (file: string): string => {
    const text = read(file)
    return file.endsWith('.test.ts') || !text.includes('\nmod tests {')
      ? text
      : text.slice(text.indexOf('\nmod tests {'))
  }

  test.each(bounds)('%s: a test file fills the bound, and names it', (_, _value, where, by) => {
    const [, source = '', name = ''] = /`([^`]+)` `([^`]+)`/.exec(where) ?? []
    const option = /option `(?:\w+\.)?(\w+)`/.exec(where)?.[1]
    const [, file = ''] = /^`([^`]+)`$/.exec(by) ?? []
    expect(existsSync(file), `${name} is filled by ${by}`).toBe(true)
    expect(file).toMatch(/\.test\.ts$|\.rs$/)
    const tests = testsIn(file)
    expect(tests, `${file} has no test`).toMatch(/#\[(?:tokio::)?test\b|\b(?:it|test)\(/)
    if (file === source)
      expect(tests.length, `${file} has no tests at its end`).toBeLessThan(read(file).length)
    const names = [name, ...(option === undefined ? [] : [option])]
    expect(
      names.some((one) => new RegExp(`\\b${one}\\b`).test(tests)),
      `${file} names ${names.join(' or ')}`,
    ).toBe(true)
  })

  test('its map lists the folders of src from the highest floor to the lowest, like the layer check', async () => {
    const { floors } = (await import(resolve('.dependency-cruiser.mjs'))) as { floors: string[][] }
    const map = section('ARCHITECTURE.md', 'What is where')
    const [, source = ''] = /^src\/.*\n([\s\S]*?)^crates\//m.exec(map) ?? []
    const named = [...source.matchAll(/^ {2}([a-z0-9-]+)\//gm)].map(([, folder = '']) => folder)
    expect(readdirSync('src').sort()).toEqual([...named].sort())
    const floorOf = (folder: string): number => floors.findIndex((names) => names.includes(folder))
    expect(named.map(floorOf)).toEqual(named.map(floorOf).sort((one, other) => other - one))
    expect(floors.flat().sort()).toEqual([...named].sort())
  })

  test('its map names each crate, and each folder that it names exists', () => {
    const map = section('ARCHITECTURE.md', 'What is where')
    for (const entry of readdirSync('crates')) expect(map).toContain(`${entry}/`)
    for (const [, folder = ''] of map.matchAll(/^(\S+)\//gm)) expect(existsSync(folder), folder).toBe(true)
  })
})

describe('wire.md', () => {
  test('the tests that it names exist', () => {
    const sources = readdirSync('crates/datatrack', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.rs'))
      .map((file) => read(join('crates/datatrack', file)))
      .join('\n')
    const named = [...read('docs/wire.md').matchAll(/`([a-z0-9]+(?:_[a-z0-9]+){3,})`/g)].map(
      ([, name]) => name,
    )
    expect(named.length).toBeGreaterThan(20)
    for (const name of named) expect(sources, name).toContain(`fn ${name}(`)
  })
})

describe('links', () => {
  /** As GitHub makes them. */
  const anchors = (file: string): string[] =>
    [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    )

  test.each(pages)('of %s lead to existing files and headings', (page) => {
    const text = read(page).replace(/^```[\s\S]*?^```$/gm, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : resolve(dirname(page), path)
      expect(existsSync(file), `${page}: ${target}`).toBe(true)
      if (anchor !== undefined) expect(anchors(file), `${page}: ${target}`).toContain(anchor)
    }
  })
})

describe('language', () => {
  test.each(pages)('%s: lines have at most 120 characters, outside of tables', (page) => {
    const long = read(page)
      .split('\n')
      .flatMap((line, index) => (line.length > 120 && !/^\s*\|/.test(line) ? [`${page}:${index + 1}`] : []))
    expect(long).toEqual([])
  })

  /** Folders of sources whose comments and texts name their subjects, as all pages do. */
  const folders = ['src', ...readdirSync('crates').map((crate) => join('crates', crate, 'src'))]
  const sources = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
  )

  test.each([...pages, 'index.ts', ...sources.filter((file) => /\.(ts|rs)$/.test(file))])(
    '%s names a person or a program: no "somebody", "nobody", "whoever", "whomever"',
    (file) => {
      const words = /\b(?:some|no)body\b|\bwho(?:m)?ever\b/i
      const found = read(file)
        .split('\n')
        .flatMap((line, index) => (words.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : []))
      expect(found).toEqual([])
    },
  )
})
