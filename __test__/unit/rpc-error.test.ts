import fc from 'fast-check'
import { RpcError as PeerRpcError } from 'livekit-client'
import { describe, expect, it } from 'vitest'
import { DataTrackError, RpcError } from '../../index'
import { rpcErrors, truncateBytes } from '../../src/rpc/rpc-error'

describe('RpcError', () => {
  it('has livekit-client’s codes, names, messages and limits', () => {
    expect(RpcError.ErrorCode).toEqual(PeerRpcError.ErrorCode)
    expect([RpcError.MAX_MESSAGE_BYTES, RpcError.MAX_DATA_BYTES]).toEqual([
      PeerRpcError.MAX_MESSAGE_BYTES,
      PeerRpcError.MAX_DATA_BYTES,
    ])
    const messages: unknown = (PeerRpcError as unknown as { ErrorMessage: unknown }).ErrorMessage
    expect(
      Object.fromEntries(Object.entries(rpcErrors).map(([name, { message }]) => [name, message])),
    ).toEqual(messages)
  })

  it('has code, message, data and cause', () => {
    const cause = new Error('cause')
    const error = new RpcError(42, 'busy', 'until noon', { cause })
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: 'RpcError', code: 42, message: 'busy', data: 'until noon', cause })
    expect(error.timeout).toBeUndefined()
    expect('cause' in new RpcError(42, 'busy')).toBe(false)
    expect(new RpcError(42, 'busy', '').data).toBeUndefined()
    expect(error.stack).toContain('RpcError: busy')
  })

  it('truncates message and data between characters', () => {
    const error = new RpcError(1, 'ä'.repeat(200), `x${'🦀'.repeat(5000)}`)
    expect(error.message).toBe('ä'.repeat(128))
    expect(error.data).toBe(`x${'🦀'.repeat(3839)}`)
  })

  it('is recognized by instanceof, also across copies of the package', () => {
    class Mine extends RpcError {}
    const foreign = Object.assign(new Error('x'), { [Symbol.for('node-datatrack.rpc-error')]: true })
    expect(foreign instanceof RpcError).toBe(true)
    expect(new Mine(1, 'x') instanceof RpcError).toBe(true)
    expect([new Mine(1, 'x') instanceof Mine, new RpcError(1, 'x') instanceof Mine]).toEqual([true, false])
    for (const other of [new Error('x'), null, undefined, 'x', {}])
      expect(other instanceof RpcError).toBe(false)
    expect(new RpcError(1, 'x') instanceof DataTrackError).toBe(false)
  })

  it('truncates any text to the longest prefix of whole characters that fits, as livekit-client does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.nat(80), (text, max) => {
        const cut = truncateBytes(text, max)
        expect(text.startsWith(cut)).toBe(true)
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max)
        expect(cut).not.toContain('\ufffd')
        const [next = ''] = text.slice(cut.length)
        if (next !== '') expect(Buffer.byteLength(cut + next)).toBeGreaterThan(max)
      }),
    )
  })
})
