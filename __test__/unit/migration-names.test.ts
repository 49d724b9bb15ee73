/** docs/migration-names.md has every name of livekit-client's declarations, and says what is here. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Loopback, Room, RoomEvent } from '../../index'

const page = readFileSync('docs/migration-names.md', 'utf8')
const [, same = '', other = '', media = ''] = page.split(/^## .*$/m)

const namesIn = (text: string): string[] => [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name!)

/** Rows of a table, by the class in their first column. */
function rows(table: string, where: string): string[][] {
  return table
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(' | '))
    .filter(([first = '']) => namesIn(first).includes(where))
}

/** What the page has of a class. */
function named(where: string): Set<string> {
  const own = [...rows(same, where), ...rows(other, where)].flatMap(([, names = '']) => namesIn(names))
  return new Set([...own, ...namesIn(media)])
}

const declarations = (file: string): string =>
  readFileSync(`node_modules/livekit-client/dist/src/room/${file}.d.ts`, 'utf8')

/** The public members in a declaration of a class, without those that are marked as internal. */
function membersOf(file: string, type: string): string[] {
  const text = declarations(file)
  const [body = ''] = text.slice(text.search(new RegExp(`class ${type}\\b`))).split(/^}/m)
  const members = new Set<string>()
  let internal = false
  for (const line of body.split('\n').slice(1)) {
    if (line.includes('@internal')) internal = true
    const [, modifiers = '', name] =
      /^ {4}((?:(?:static|readonly|get|set|async|abstract|protected|private) )*)(\w+)[(<?:]/.exec(line) ?? []
    if (name === undefined) continue
    if (!internal && name !== 'constructor' && !/private|protected|static/.test(modifiers)) members.add(name)
    internal = false
  }
  return [...members]
}

const classes = [
  ['Room', 'Room'],
  ['participant/Participant', 'Participant'],
  ['participant/LocalParticipant', 'LocalParticipant'],
  ['participant/RemoteParticipant', 'RemoteParticipant'],
  ['data-track/LocalDataTrack', 'LocalDataTrack'],
  ['data-track/RemoteDataTrack', 'RemoteDataTrack'],
] as const

describe('each public name of livekit-client has a row', () => {
  it.each(classes)('%s', (file, type) => {
    const members = membersOf(file, type)
    const known = named(type)
    expect(members.length, `declarations of ${type}`).toBeGreaterThan(4)
    expect(members.filter((name) => !known.has(name))).toEqual([])
  })

  it('RoomEvent', () => {
    const [, body = ''] = /enum RoomEvent \{([\s\S]*?)^\}/m.exec(declarations('events')) ?? []
    const events = [...body.matchAll(/^ {4}(\w+) = "(\w+)"/gm)]
    expect(events.length).toBeGreaterThan(40)
    const known = named('RoomEvent')
    expect(events.map(([, name]) => name!).filter((name) => !known.has(name))).toEqual([])
    const ours: Readonly<Record<string, string>> = RoomEvent
    for (const [, name = '', value] of events) {
      if (name in ours) expect([name, ours[name]]).toEqual([name, value])
    }
  })
})

describe('what the page calls equal exists in this package', () => {
  it('members of rooms, participants and tracks', async () => {
    await using sfu = new Loopback()
    const alice = sfu.join('alice')
    const track = await alice.localParticipant.publishDataTrack({ name: 'track' })
    const bob = sfu.join('bob')
    const remote = await bob.remoteParticipants.get('alice')!.dataTracks.getDeferred('track')
    const objects: Record<string, object[]> = {
      Room: [alice],
      Participant: [alice.localParticipant, bob.remoteParticipants.get('alice')!],
      LocalParticipant: [alice.localParticipant],
      RemoteParticipant: [bob.remoteParticipants.get('alice')!],
      LocalDataTrack: [track],
      RemoteDataTrack: [remote],
    }
    for (const [where, all] of Object.entries(objects)) {
      const names = rows(same, where).flatMap(([, cell = '']) => namesIn(cell))
      expect(names.length, where).toBeGreaterThan(0)
      for (const object of all)
        expect(
          names.filter((name) => !(name in object)),
          where,
        ).toEqual([])
    }
  })

  it('events', () => {
    const names = rows(same, 'RoomEvent').flatMap(([, cell = '']) => namesIn(cell))
    expect(names.filter((name) => !(name in RoomEvent))).toEqual([])
  })

  it('what the page calls different or missing does not exist', () => {
    const room = new Room()
    const lost = ['getSid', 'options', 'isE2EEEnabled', 'hasE2EESetup', 'setE2EEEnabled']
    expect(lost.filter((name) => name in room)).toEqual([])
    const gone = ['DCBufferStatusChanged', 'ParticipantEncryptionStatusChanged', 'MetricsReceived']
    expect(gone.filter((name) => name in RoomEvent)).toEqual([])
  })
})
