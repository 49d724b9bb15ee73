import { AccessToken, TokenVerifier } from 'livekit-server-sdk'
import { expect, test } from 'vitest'
import { accessToken } from '../../src/cli/access-token'
import { readClaims } from '../helpers/claims'

const key = { apiKey: 'key', apiSecret: 'a secret of at least 32 characters, as the server wants' }
const said = {
  identity: 'robot-7 “ö”',
  name: 'Robot 7',
  metadata: '{"line":2}',
  attributes: { model: 'x' },
}
const grant = { roomJoin: true, room: 'lab', canPublishData: true, canSubscribe: true, canPublish: false }

test('a token says the same as one of livekit-server-sdk', async () => {
  const theirs = new AccessToken(key.apiKey, key.apiSecret, { ...said, ttl: 3600 })
  theirs.addGrant(grant)
  const reference = readClaims(await theirs.toJwt())
  const ours = readClaims(accessToken(key, { ...said, grant, lifetime: 3600 }))
  const { exp, nbf, ...rest } = ours.claims
  const { exp: theirEnd, nbf: theirBegin, ...wanted } = reference.claims
  expect(rest).toEqual(wanted)
  expect(Number(exp) - Number(nbf)).toBe(3600)
  expect(Number(theirEnd) - Number(theirBegin)).toBe(3600)
  expect(ours.header).toMatchObject(reference.header)
})

test('livekit-server-sdk accepts the signature, and refuses it with another secret', async () => {
  const token = accessToken(key, { identity: 'robot', grant, lifetime: 60 })
  const claims = await new TokenVerifier(key.apiKey, key.apiSecret).verify(token)
  expect(claims.video).toEqual(grant)
  await expect(new TokenVerifier(key.apiKey, 'another secret').verify(token)).rejects.toThrow('signature')
})

test('a token for requests names no identity', () => {
  const { claims } = readClaims(accessToken(key, { grant: { roomList: true }, lifetime: 60 }))
  expect(Object.keys(claims).sort()).toEqual(['exp', 'iss', 'nbf', 'video'])
})
