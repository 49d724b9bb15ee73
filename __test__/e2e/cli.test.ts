import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { inNewRoom, interrupt, runCli, startCli } from '../helpers/cli'
import type { RunningCli } from '../helpers/cli'
import { pattern, publish, flowing, Scene, sum } from '../helpers/scene'
import { withServer } from '../helpers/with-server'

const server = withServer()

const folder = mkdtempSync(join(tmpdir(), 'datatrack-'))
/**
 * Writes to a publishing command until a subscribing command has received something. The server does not announce when
 * it begins to forward.
 */
async function untilThere(
  publisher: RunningCli,
  subscriber: RunningCli,
  probe: string | Buffer,
): Promise<void> {
  while (subscriber.stdout().byteLength === 0) {
    publisher.child.stdin.write(probe)
    await delay(20)
  }
}

/** The chunks of 1,000 bytes of a stream. The last one may be shorter. */
function chunksOf(bytes: Buffer): string[] {
  const count = Math.ceil(bytes.length / 1000)
  return Array.from({ length: count }, (_, at) => bytes.toString('latin1', 1000 * at, 1000 * (at + 1)))
}

/** A command that writes a line every 20 ms and never ends. */
const ticking = ['--', process.execPath, '-e', "setInterval(() => console.log('tick'), 20)"]

describe('datatrack pub and sub', () => {
  it('with --wait-for-subscriber the whole input arrives, however late the subscriber joins', async () => {
    const env = inNewRoom(server)
    const pub = startCli(['pub', '--name', 'log', '--wait-for-subscriber'], env)
    pub.child.stdin.end('one\ntwo\nthree\n')
    await pub.wrote(/Waiting for a subscriber/)
    const sub = await runCli(['sub', '--name', 'log', '--once'], env)
    expect(sub.stdout).toBe('one\ntwo\nthree\n')
    expect(await pub.ending).toMatchObject({ code: 0 })
  })

  it('with --latch and --latest one that comes later has the last frame, and live frames after it', async () => {
    const env = inNewRoom(server)
    const pub = startCli(['pub', '--name', 'mode', '--latch', '--settle', '0'], env)
    pub.child.stdin.write('starting\ndocked\n')
    await pub.wrote(/Publishing mode/)
    const once = ['sub', '--name', 'mode', '--latest', '--json', '--count']
    let first: Record<string, unknown>
    // The line may still be on its way.
    do {
      const { stdout, code } = await runCli([...once, '1', '--quiet'], env)
      expect(code).toBe(0)
      first = JSON.parse(stdout) as Record<string, unknown>
    } while (first['text'] === 'starting')
    expect(first).toMatchObject({ track: 'mode', number: 1, text: 'docked', latched: true })
    const sub = startCli([...once, '2'], env)
    await sub.wrote(/docked/)
    pub.child.stdin.end('driving\n')
    const both = (await sub.ending).stdout.trim().split('\n')
    expect(both.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { text: 'docked', latched: true },
      { number: 2, text: 'driving' },
    ])
    expect(both[1]).not.toContain('latched')
    const late = await runCli([...once, '1', '--quiet'], env)
    expect(JSON.parse(late.stdout)).toMatchObject({ text: 'driving', latched: true })
    expect(await interrupt(pub)).toMatchObject({ code: 0 })
  })

  it('send lines from standard input to standard output, and end with the input', async () => {
    const env = inNewRoom(server)
    const sub = startCli(['sub', '--name', 'log', '--once'], env)
    const pub = startCli(['pub', '--name', 'log', '--identity', 'robot'], env)
    await untilThere(pub, sub, 'probe\n')
    pub.child.stdin.end('a line\n\nünïcode\r\nwithout a line break')
    expect(await pub.ending).toMatchObject({ code: 0, stdout: '' })
    const { code, stdout, stderr } = await sub.ending
    expect(stdout.replace(/^(probe\n)+/, '')).toBe('a line\n\nünïcode\nwithout a line break\n')
    expect(stderr).toMatch(
      /^Subscribing to log of robot\.\nlog of robot has ended\.\nReceived [\d,]+ frames, .*dropped 0\.\n$/,
    )
    expect(code).toBe(0)
    expect((await pub.ending).stderr).toMatch(
      /^Publishing log as robot\.\nPublished [\d,]+ frames, .*dropped 0\.\n$/,
    )
  })

  it('deliver the last frames before they end, however many are waiting', async () => {
    const env = inNewRoom(server)
    const sub = startCli(['sub', '--name', 'log', '--once'], env)
    const pub = startCli(['pub', '--name', 'log'], env)
    await untilThere(pub, sub, 'probe\n')
    const lines = Array.from({ length: 100 }, (_, line) => `line ${line}\n`).join('')
    pub.child.stdin.end(lines)
    expect(await pub.ending).toMatchObject({ code: 0 })
    expect((await sub.ending).stdout.replace(/^(probe\n)+/, '')).toBe(lines)
  })

  it('send chunks of bytes unchanged, encrypted with a passphrase', async () => {
    const env = inNewRoom(server)
    const file = join(folder, 'passphrase')
    writeFileSync(file, 'correct horse\n')
    const sub = startCli(['sub', '--raw', '--once', '--passphrase-file', file], env)
    const pub = startCli(['pub', '--name', 'scan', '--chunk', '1000', '--rate', '500'], {
      ...env,
      LIVEKIT_E2EE_PASSPHRASE: 'correct horse',
    })
    const probe = Buffer.alloc(1000)
    await untilThere(pub, sub, probe)
    const listed = await runCli(['ls'], env)
    expect(listed.stdout).toMatch(/scan .*yes$/m)
    const payload = Buffer.from(pattern(500_500))
    pub.child.stdin.end(payload)
    expect(await pub.ending).toMatchObject({ code: 0 })
    expect(await sub.ending).toMatchObject({ code: 0 })
    const arrived = chunksOf(sub.stdout())
    const first = arrived.findIndex((chunk) => chunk !== probe.toString('latin1'))
    expect(first).toBeGreaterThan(0)
    const sent = chunksOf(payload)
    const missing = sent.filter((chunk) => !arrived.includes(chunk))
    const rest = sent.filter((chunk) => !missing.includes(chunk))
    // The last lines say what each command has dropped. A busy server drops packets of a subscriber, too, and says so.
    const said = [(await pub.ending).stderr, (await sub.ending).stderr].join('')
    expect({ same: arrived.slice(first).join('') === rest.join(''), said }).toEqual({ same: true, said })
    expect(said.match(/dropped 0/g)).toHaveLength(2)
    expect(missing.length).toBeLessThanOrEqual(sum(Object.fromEntries(server.droppedPackets('scan'))))
  })

  it('send a file at a given rate, and print a given number of frames as JSON', async () => {
    const env = inNewRoom(server)
    const file = join(folder, 'scan.bin')
    writeFileSync(file, pattern(5_000_000))
    const args = ['--name', 'scan', '--file', file, '--chunk', '500', '--rate', '100', '--timestamp']
    const pub = startCli(['pub', ...args, '--encoding', 'custom:scan'], env)
    const { code, stdout } = await runCli(
      ['sub', '--from', '', '--count', '3', '--json', '--seconds', '0.5'],
      env,
    )
    // No participant has an empty identity, so the command receives nothing.
    expect([code, stdout]).toEqual([3, ''])
    const sub = await runCli(['sub', '--count', '3', '--json'], env)
    expect(sub.code).toBe(0)
    const frames = sub.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(frames).toHaveLength(3)
    const bytes = readFileSync(file)
    for (const frame of frames) {
      expect(frame).toMatchObject({ track: 'scan', bytes: 500, userTimestamp: expect.any(Number) })
      expect(bytes.indexOf(Buffer.from(String(frame['base64']), 'base64')) % 500).toBe(0)
    }
    const ending = await interrupt(pub)
    expect(ending.code).toBe(0)
    expect(ending.stderr).toMatch(/Published [\d,]+ frames/)
  })

  it('send a command’s output, and stop the command after a given number of frames', async () => {
    const env = inNewRoom(server)
    const pub = startCli(['pub', '--name', 'ticks', '--count', '500', ...ticking], env)
    const output = join(folder, 'ticks')
    const sub = await runCli(['sub', '--name', 'ticks', '--hex', '--count', '5', '--output', output], env)
    expect([sub.code, sub.stdout]).toEqual([0, ''])
    expect(readFileSync(output, 'utf8')).toBe('7469636b\n'.repeat(5))
    expect((await interrupt(pub)).code).toBe(0)
    const counted = await runCli(['pub', '--name', 'ticks', '--count', '2', ...ticking], env)
    expect(counted.code).toBe(0)
    expect(counted.stderr).toMatch(/Published 2 frames, 8 B/)
  })

  it('report a command that fails or does not exist', async () => {
    const env = inNewRoom(server)
    const failing = ['pub', '--name', 'x', '--', process.execPath, '-e', 'process.exit(7)']
    const ended = await runCli(failing, env)
    expect([ended.code, ended.stderr]).toEqual([
      1,
      expect.stringMatching(/datatrack: the command ended with exit code 7\n$/),
    ])
    const none = await runCli(['pub', '--name', 'x', '--quiet', '--', 'no-such-command'], env)
    expect([none.code, none.stderr]).toEqual([
      1,
      'datatrack: the command no-such-command cannot be started (ENOENT)\n',
    ])
    const noFile = await runCli(['pub', '--name', 'x', '--quiet', '--file', join(folder, 'none')], env)
    expect(noFile.code).toBe(1)
    expect(noFile.stderr).toMatch(/^datatrack: ENOENT[^\n]*\n$/)
  })

  it('skip and count lines that are no valid frames, and report them by the exit code', async () => {
    const pub = startCli(['pub', '--name', 'long'], inNewRoom(server))
    pub.child.stdin.end(`${'x'.repeat(3_000_000)}\nshort\n`)
    const { code, stderr } = await pub.ending
    expect(stderr).toMatch(/Published 1 frame, 5 B, .*dropped 1 frameTooLarge\.\n$/)
    expect(code).toBe(3)
  })

  it('wait for a participant before the first frame', async () => {
    const env = inNewRoom(server)
    const pub = startCli(['pub', '--name', 'x', '--wait-for', 'desk', ...ticking], env)
    await pub.wrote(/Waiting for desk\./)
    const sub = await runCli(['sub', '--identity', 'desk', '--count', '1'], env)
    expect([sub.code, sub.stdout]).toEqual([0, 'tick\n'])
    expect((await interrupt(pub)).code).toBe(0)
  })

  it('end when their reader ends, with Ctrl-C, and when the server removes them', async () => {
    const env = inNewRoom(server)
    const pub = startCli(['pub', '--name', 'x', ...ticking], env)
    const piped = startCli(['sub'], env)
    const interrupted = startCli(['sub', '--identity', 'desk'], env)
    await Promise.all([piped, interrupted].map((sub) => sub.wrote(/tick/)))
    piped.child.stdout.destroy()
    expect(await piped.ending).toMatchObject({ code: 0, signal: null })
    const replaced = startCli(['sub', '--identity', 'twin'], env)
    await replaced.wrote(/tick/)
    const twin = startCli(['sub', '--identity', 'twin'], env)
    const { code, stderr } = await replaced.ending
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/datatrack: the connection has ended: duplicateIdentity\n$/),
    ])
    // The second command takes over the identity before the server forwards frames to it.
    await twin.wrote(/tick/)
    for (const sub of [interrupted, twin]) {
      const ending = await interrupt(sub)
      expect([ending.code, ending.signal]).toEqual([0, null])
      expect(ending.stderr).toMatch(/Received [\d,]+ frames?, .*\.\n$/)
    }
    expect(await interrupt(pub)).toMatchObject({ code: 0, signal: null })
  })

  it('report why a track cannot be read', async () => {
    const env = inNewRoom(server)
    const pub = startCli(['pub', '--name', 'x', ...ticking], { ...env, LIVEKIT_E2EE_PASSPHRASE: 'hush-hush' })
    const sub = await runCli(['sub', '--once'], env)
    expect([sub.code, sub.stdout]).toEqual([3, ''])
    expect(sub.stderr).toMatch(/x of datatrack-pub-\w+: the track is encrypted, and this room has no keys/)
    const ending = await interrupt(pub)
    expect(ending.stderr + sub.stderr).not.toContain('hush-hush')
  })
})

describe('datatrack ls', () => {
  it('lists rooms, and the participants of one with their tracks', () =>
    Scene.with(server, async (scene) => {
      const { LIVEKIT_ROOM: _room, ...env } = inNewRoom(server)
      const alice = await scene.join('alice')
      const bob = await scene.join('bob')
      await publish(alice, bob, {
        name: 'imu\u001b[2J',
        frameEncoding: 'json',
        schema: { name: 'Imu', encoding: 'jsonschema' },
      })
      const listed = await runCli(['ls'], env)
      expect(listed.stdout).toMatch(new RegExp(`^${scene.name} +\\d+$`, 'm'))
      const { stdout, code } = await runCli(['ls', '--room', scene.name], env)
      expect(code).toBe(0)
      expect(stdout).toMatch(/^participant +track +encoding +schema +encrypted\n/)
      expect(stdout).toMatch(/^alice +imu\\x1b\[2J +json +Imu \(jsonschema\) +no$/m)
      expect(stdout).toMatch(/^bob +–$/m)
      const { stdout: lines } = await runCli(['ls', '--room', scene.name, '--json'], env)
      const objects = lines
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
      expect(objects.find(({ identity }) => identity === 'alice')).toMatchObject({
        sid: expect.stringMatching(/^PA_/),
        dataTracks: [
          { name: 'imu\u001b[2J', frameEncoding: 'json', usesE2ee: false, sid: expect.any(String) },
        ],
      })
      // With a token, the command needs no key.
      const token = await scene.token('carol')
      expect((await runCli(['ls'], { LIVEKIT_URL: server.url, LIVEKIT_TOKEN: token })).stdout).toContain(
        'alice',
      )
    }))

  it('watches a room, and prints participants and tracks that come and go', () =>
    Scene.with(server, async (scene) => {
      const args = ['ls', '--room', scene.name, '--watch']
      const watchers = [startCli(args, inNewRoom(server)), startCli([...args, '--json'], inNewRoom(server))]
      const alice = await scene.join('alice')
      const track = await alice.localParticipant.publishDataTrack({ name: 'imu' })
      await Promise.all(watchers.map((watcher) => watcher.wrote(/imu/)))
      await track.unpublish()
      await Promise.all(watchers.map((watcher) => watcher.wrote(/- alice imu|dataTrackUnpublished/)))
      await alice.disconnect()
      await Promise.all(watchers.map((watcher) => watcher.wrote(/- alice\n|participantDisconnected/)))
      const [lines, objects] = await Promise.all(watchers.map(interrupt))
      expect(lines).toMatchObject({
        code: 0,
        stdout: '+ alice\n+ alice imu\n- alice imu\n- alice\n',
        stderr: '',
      })
      const types = objects!.stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { type: string }).type)
      expect(types).toEqual([
        'participantConnected',
        'dataTrackPublished',
        'dataTrackUnpublished',
        'participantDisconnected',
      ])
    }))
})

describe('datatrack bench', () => {
  it('measures each rate and size between two processes', async () => {
    const args = ['bench', '--rate', '50,200', '--size', '16,20000', '--seconds', '1']
    const { code, stdout, stderr } = await runCli([...args, '--json'], inNewRoom(server))
    expect([code, stderr]).toEqual([0, ''])
    const objects = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number | string | null>)
    const runs = objects.filter(({ type }) => type === 'run')
    expect(runs.map(({ size, rate, pushed }) => [size, rate, pushed])).toEqual([
      [16, 50, 50],
      [16, 200, 200],
      [20_000, 50, 50],
      [20_000, 200, 200],
    ])
    for (const run of runs) {
      expect(run['received']).toBeGreaterThan(0)
      expect(run['received']).toBeLessThanOrEqual(Number(run['sent']))
      expect(run['delivered']).toBeCloseTo(Number(run['received']) / Number(run['pushed']), 6)
      expect(run['p50']).toBeGreaterThan(0)
      expect(run['max']).toBeGreaterThan(0)
    }
    expect(objects.filter(({ type }) => type === 'summary').map(({ size }) => size)).toEqual([16, 20_000])
  })

  it('prints a table, also of what it has when it is interrupted', async () => {
    const bench = startCli(['bench', '--rate', '100,200,300', '--seconds', '1'], inNewRoom(server))
    await bench.wrote(/256 B at 100\/s: /)
    const { code, signal, stdout } = await interrupt(bench)
    expect([code, signal]).toEqual([0, null])
    expect(stdout).toMatch(/^bytes +rate\/s +delivered % +p50 ms +p99 ms +max ms/m)
    expect(stdout).toMatch(/^256 +100 +\d+\.\d\d +\d/m)
    expect(stdout).not.toMatch(/^256 +300 /m)
  })
})

describe('the demo', () => {
  it('names the missing token if it has only one, and runs with two', () =>
    Scene.with(server, async (scene) => {
      const env = { LIVEKIT_URL: server.url, LIVEKIT_TOKEN: await scene.token('robot') }
      const one = await runCli(['demo'], env)
      expect([one.code, one.stderr]).toEqual([2, expect.stringMatching(/LIVEKIT_SUBSCRIBER_TOKEN/)])
      const two = { ...env, LIVEKIT_SUBSCRIBER_TOKEN: await scene.token('desk') }
      const { code, stdout } = await runCli(['demo', '--seconds', '1'], two)
      expect(code).toBe(0)
      expect(stdout).toContain('frames arrived')
    }))
})

it('frames flow between a command and a program', () =>
  Scene.with(server, async (scene) => {
    const { LIVEKIT_ROOM: _room, ...env } = inNewRoom(server)
    const alice = await scene.join('alice')
    const bob = await scene.join('bob')
    const { local, remote } = await publish(alice, bob)
    await flowing(local, remote.subscribe())
    const sub = startCli(['sub', '--room', scene.name, '--count', '1', '--json', '--name', 'track'], env)
    await sub.wrote(/Subscribing/)
    const probing = setInterval(() => local.tryPush({ payload: Buffer.from('"hello"') }), 20)
    const { code, stdout } = await sub.ending
    clearInterval(probing)
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      expect.objectContaining({ identity: 'alice', text: '"hello"' }),
    ])
  }))
