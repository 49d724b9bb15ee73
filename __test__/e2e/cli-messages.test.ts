/** Texts, files, calls and tokens of the command line, through a real server. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { inNewRoom, interrupt, runCli, startCli } from '../helpers/cli'
import { pattern } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

it('a token of `token create` lets its participant into its room', async () => {
  const env = inNewRoom(server)
  const { stdout } = await runCli(['token', 'create', '--identity', 'desk'], env)
  const sub = startCli(['sub', '--once', '-v'], { LIVEKIT_URL: server.url, LIVEKIT_TOKEN: stdout.trim() })
  const pub = runCli(['pub', '--name', 'log', '-m', 'two\nlines', '--wait-for-subscriber'], env)
  expect(await sub.ending).toMatchObject({ code: 0, stdout: 'log two\nlines\n' })
  expect(await pub).toMatchObject({ code: 0, stdout: '' })
  expect((await pub).stderr).toContain('Published 1 frame,')
})

it('`send` brings texts and files to `receive`, which keeps files within its folder', async () => {
  const env = inNewRoom(server)
  const folder = mkdtempSync(join(tmpdir(), 'datatrack-received-'))
  const file = join(mkdtempSync(join(tmpdir(), 'datatrack-sent-')), 'map.bin')
  writeFileSync(file, pattern(300_000))
  const to = ['--topic', 'maps', '--to', 'desk', '--wait', '--identity', 'robot']
  const receiving = [
    'receive',
    '--topic',
    'maps',
    '--identity',
    'desk',
    '--output-dir',
    folder,
    '--count',
    '2',
  ]
  const desk = startCli([...receiving, '--json'], env)
  await desk.wrote(/Receiving as desk/)
  const text = await runCli(['send', ...to, '-m', 'a text\nof two lines', '--json'], env)
  const bytes = await runCli(['send', ...to, '--file', file], env)
  expect(text).toMatchObject({ code: 0, stderr: '' })
  expect(bytes).toMatchObject({ code: 0, stdout: '', stderr: 'Sent 300,000 bytes.\n' })
  const { code, stdout } = await desk.ending
  const [first, second] = stdout
    .split('\n')
    .slice(0, 2)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const { id } = JSON.parse(text.stdout) as { id: string }
  expect(first).toMatchObject({
    type: 'text',
    identity: 'robot',
    id,
    topic: 'maps',
    text: 'a text\nof two lines',
  })
  const path = join(folder, 'map.bin')
  expect(second).toMatchObject({ type: 'file', identity: 'robot', name: 'map.bin', bytes: 300_000, path })
  expect(readFileSync(path).equals(readFileSync(file))).toBe(true)
  expect(code).toBe(0)
})

it('`receive` takes no files without a folder, and none that is too long', async () => {
  const env = inNewRoom(server)
  const folder = mkdtempSync(join(tmpdir(), 'datatrack-received-'))
  const file = join(mkdtempSync(join(tmpdir(), 'datatrack-sent-')), 'long.bin')
  writeFileSync(file, Buffer.alloc(100_001))
  const none = startCli(['receive', '--identity', 'none'], env)
  const small = startCli(['receive', '--identity', 'small', '-d', folder, '--max-size', '100000'], env)
  await runCli(['send', '--to', 'none', '--to', 'small', '--wait', '--file', file], env)
  await none.wrote(/long\.bin of \S+ was not received: give --output-dir/)
  await small.wrote(/long\.bin of \S+ was not received: it has more than 100000 bytes/)
  expect(await interrupt(none)).toMatchObject({ code: 0, stdout: '' })
  expect(await interrupt(small)).toMatchObject({ code: 0, stdout: '' })
  expect(readdirSync(folder)).toEqual([])
  expect(existsSync('long.bin')).toBe(false)
})

it('`rpc call` gets what the command of `rpc serve` writes', async () => {
  const env = inNewRoom(server)
  const upper = "process.stdin.on('data', (text) => process.stdout.write(String(text).toUpperCase()))"
  const serving = ['rpc', 'serve', 'upper', '--identity', 'robot', '--count', '2', '--json']
  const robot = startCli([...serving, '--', process.execPath, '-e', upper], env)
  await robot.wrote(/Serving upper as robot/)
  const call = ['rpc', 'call', 'upper', 'grüße', '--to', 'robot', '--identity', 'desk']
  expect(await runCli(call, env)).toMatchObject({ code: 0, stdout: 'GRÜSSE\n', stderr: '' })
  const { stdout } = await runCli([...call, '--json'], env)
  const { ms, ...answer } = JSON.parse(stdout) as Record<string, unknown>
  expect(answer).toEqual({ method: 'upper', to: 'robot', response: 'GRÜSSE' })
  expect(ms).toBeTypeOf('number')
  const line = JSON.stringify({ method: 'upper', caller: 'desk', payload: 'grüße' })
  expect(await robot.ending).toMatchObject({ code: 0, stdout: `${line}\n${line}\n` })
})

it('a long answer arrives before `rpc serve --count` ends', async () => {
  const env = inNewRoom(server)
  // A text that cannot be compressed to fit into one packet.
  const long = "process.stdout.write(require('node:crypto').randomBytes(300_000).toString('base64'))"
  const serving = ['rpc', 'serve', 'long', '--identity', 'robot', '--count', '1']
  const robot = startCli([...serving, '--', process.execPath, '-e', long], env)
  await robot.wrote(/Serving long as robot/)
  const { code, stdout } = await runCli(['rpc', 'call', 'long', '--to', 'robot'], env)
  expect([code, stdout.length]).toEqual([0, 400_001])
  expect(await robot.ending).toMatchObject({ code: 0 })
})

it('`rpc call` tells errors: of the command, of the method, of a participant that is not there', async () => {
  const env = inNewRoom(server)
  const robot = startCli(
    ['rpc', 'serve', 'fail', '--identity', 'robot', '--', process.execPath, '-e', 'process.exit(7)'],
    env,
  )
  await robot.wrote(/Serving fail as robot/)
  expect(await runCli(['rpc', 'call', 'fail', '--to', 'robot'], env)).toMatchObject({
    ...{ code: 3, stdout: '', stderr: 'datatrack: robot: exit code 7 (code 7)\n' },
  })
  const { stdout, code } = await runCli(['rpc', 'call', 'none', '--to', 'robot', '--json'], env)
  expect(JSON.parse(stdout)).toEqual({
    ...{ method: 'none', to: 'robot', error: { code: 1400, message: 'Method not supported at destination' } },
  })
  expect(code).toBe(3)
  expect(await runCli(['rpc', 'call', 'x', '--to', 'absent'], env)).toMatchObject({ code: 3 })
  expect(await interrupt(robot)).toMatchObject({ code: 0 })
})

it('the objects of `--json` have the fields of docs/cli.md', async () => {
  const env = inNewRoom(server)
  const robot = startCli(
    ['pub', '--name', 'pose', '--identity', 'robot', '--timestamp', '--rate', '50', '--encoding', 'json'],
    env,
  )
  await robot.wrote(/Publishing pose/)
  const fields = (text: string): string[] => Object.keys(JSON.parse(text) as object)
  const rooms = await runCli(['ls', '--json'], { ...env, LIVEKIT_ROOM: '' })
  expect(rooms.stdout.trim().split('\n').map(fields)).toContainEqual(['name', 'sid', 'numParticipants'])
  const { stdout } = await runCli(['ls', '--json'], env)
  expect(fields(stdout)).toEqual(['identity', 'sid', 'name', 'dataTracks'])
  const { dataTracks } = JSON.parse(stdout) as { dataTracks: object[] }
  expect(dataTracks.map(Object.keys)).toEqual([['sid', 'name', 'usesE2ee', 'frameEncoding']])
  const sub = startCli(['sub', '--json', '--count', '1'], env)
  while (sub.stdout().byteLength === 0) {
    robot.child.stdin.write('{"x":1}\n')
    await delay(20)
  }
  expect(fields((await sub.ending).stdout)).toEqual([
    ...['track', 'identity', 'number', 'bytes', 'userTimestamp', 'latency', 'value'],
  ])
  robot.child.stdin.end()
  expect(await robot.ending).toMatchObject({ code: 0 })
})
