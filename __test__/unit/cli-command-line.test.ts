import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli'
import { runHere } from '../helpers/cli-here'

/** Those that connect to a server. */
const commands = ['demo', 'pub', 'sub', 'send', 'receive', 'rpc call', 'rpc serve', 'ls', 'bench', 'doctor']
const others = ['token create']

test('each command has a help text with examples', async () => {
  const overview = await runHere(['--help'])
  expect(overview.code).toBe(0)
  const all = [...commands, ...others]
  for (const command of all) expect(overview.stdout).toContain(`  ${command.split(' ')[0]} `)
  for (const command of all) {
    const { code, stdout, stderr } = await runHere([...command.split(' '), '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Examples:\n  ')
    expect(stdout).toContain(others.includes(command) ? 'LIVEKIT_API_KEY' : 'LIVEKIT_URL')
  }
})

test.each([...commands, ...others])('docs/cli.md lists exactly the options of %s', async (command) => {
  const page = readFileSync('docs/cli.md', 'utf8')
  const { stdout } = await runHere([...command.split(' '), '--help'])
  const [options = ''] = stdout.split('\nExamples:')
  const there = new Set([...options.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option]) => option))
  there.delete('--help')
  const section = (title: string): Set<string | undefined> => {
    const text = page.split('\n## ').find((part) => part.startsWith(`${title}\n`)) ?? ''
    return new Set([...text.matchAll(/`(--[a-z-]+)/g)].map(([, option]) => option))
  }
  const [common, own] = [section('The server'), section(`datatrack ${command}`)]
  expect([...there].filter((option) => !common.has(option) && !own.has(option))).toEqual([])
  expect([...own].filter((option) => !there.has(option) && !common.has(option))).toEqual([])
})

const server = ['--url', 'ws://127.0.0.1:1', '--api-key', 'key', '--api-secret', 'hush-hush']
const missing = join(mkdtempSync(join(tmpdir(), 'datatrack-')), 'none')

const wrong: readonly [string, readonly string[], RegExp][] = [
  ['an unknown option', ['sub', '--nmae', 'x'], /unknown option '--nmae'/],
  ['an unknown command', ['plub'], /unknown command 'plub' \(Did you mean pub\?\)/],
  ['a missing option', ['pub'], /required option '-n, --name <name>' not specified/],
  ['a missing value', ['sub', '--count'], /argument missing/],
  ['a number that is none', ['sub', '--count', 'many'], /a whole number from 1/],
  [
    'a number that is not whole',
    ['pub', '--name', 'x', '--chunk', '1.5'],
    /a whole number from 1 to 2000000 \(bytes\)/,
  ],
  ['a number out of range', ['demo', '--loss', '2'], /a number from 0 to 1/],
  ['a list with a hole', ['bench', '--rate', '1,,2'], /a whole number from 1 to 100000/],
  ['a choice that is none', ['sub', '--ice-transports', 'sctp'], /Allowed choices are all, udp, tcp/],
  ['no server', ['ls'], /No server is named/],
  ['no room', ['sub', ...server], /No room is named/],
  ['half a key', ['ls', '--url', 'ws://127.0.0.1:1', '--api-key', 'key'], /no secret/],
  ['two formats', ['sub', ...server, '--hex', '--json'], /one of --raw, --hex and --json/],
  [
    'two sources',
    ['pub', ...server, '--name', 'x', '--file', 'y', '--', 'z'],
    /one of --message, --file and a command/,
  ],
  ['a message in chunks', ['pub', ...server, '--name', 'x', '-m', 'y', '--chunk', '5'], /one frame/],
  [
    'a sound as frames',
    ['pub', ...server, '--name', 'x', '--audio', 'x.wav', '--count', '1'],
    /--audio <file>' cannot be used with option '-c, --count <number>'/,
  ],
  [
    'a sound and a command',
    ['pub', ...server, '--name', 'x', '--audio', 'x.wav', '--', 'ls'],
    /--audio or a command/,
  ],
  [
    'a sound as text',
    ['sub', ...server, '--audio', 'x.wav', '--json'],
    /--audio <file>' cannot be used with option '--json'/,
  ],
  ['a form of no sound', ['sub', ...server, '--stereo'], /--sample-rate and --stereo go with --audio/],
  ['names without lines', ['sub', ...server, '--raw', '--verbose'], /--verbose does not go with it/],
  [
    'an answer too many',
    ['rpc', 'serve', 'x', ...server, '--echo', '--reply', 'y'],
    /one of --reply, --echo/,
  ],
  ['no answer', ['rpc', 'serve', 'x', ...server], /one of --reply, --echo/],
  ['a call of no participant', ['rpc', 'call', 'x', ...server], /'--to <identity>' not specified/],
  ['nothing to send', ['send', ...server], /--message or --file/],
  ['two things to send', ['send', ...server, '-m', 'x', '-f', 'y'], /--message or --file/],
  ['waiting for no participant', ['send', ...server, '-m', 'x', '--wait'], /--wait goes with --to/],
  ['a shell that is none', ['completion', 'cmd'], /Allowed choices are bash, zsh, fish/],
  ['two ways of cutting', ['pub', ...server, '--name', 'x', '--lines', '--chunk', '5'], /--lines or --chunk/],
  ['an encoding that LiveKit does not have', ['pub', '--name', 'x', '--encoding', 'xml'], /ros1, cdr/],
  ['a schema of unknown language', ['pub', ...server, '--name', 'x', '--schema', 'S'], /--schema-encoding/],
  ['a file without a passphrase', ['sub', ...server, '--room', 'x', '--passphrase-file', missing], /ENOENT/],
  ['too many runs', ['bench', '--rate', Array(101).fill(1).join(), ...server], /101 runs/],
  [
    'a demo with one token',
    ['demo', '--url', 'ws://127.0.0.1:1', '--token', 'hush-hush'],
    /needs two participants/,
  ],
]

test.each(wrong)('%s is reported in one line with exit code 2', async (_what, args, message) => {
  const { code, stdout, stderr } = await runHere(args)
  expect(stderr).toMatch(message)
  expect(stderr).toMatch(/^datatrack: [^\n]+\n$/)
  expect(stderr).not.toContain('hush-hush')
  expect([code, stdout]).toEqual([2, ''])
})

test('the installed program reports a wrong command line in the same way', async () => {
  expect(await runCli(['sub', '--nmae', 'x'])).toMatchObject({
    code: 2,
    stdout: '',
    stderr: "datatrack: unknown option '--nmae' (Did you mean --name?)\n",
  })
})

test('an unreachable server is reported in one line with exit code 1', async () => {
  const { code, stderr } = await runCli(['sub', ...server, '--room', 'x'])
  expect(code).toBe(1)
  expect(stderr).toBe('datatrack: the server cannot be reached: ECONNREFUSED\n')
})

test('the doctor checks only this machine if no server is given', async () => {
  const { code, stdout } = await runCli(['doctor'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ok {6}binary +version \d/)
})
