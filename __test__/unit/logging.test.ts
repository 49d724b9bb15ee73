/** The log: its levels, and the application's logger. */
import { expect, it } from 'vitest'
import { RemoteDataTrackManager, setLogger, setLogLevel, SignalDispatcher } from '../../index'
import { thrown } from '../helpers/rooms'

it('records from the set level upwards go to the logger that was set', () => {
  const lines: string[] = []
  const line = (level: string) => (fields: { target: string }, message: string) =>
    void lines.push(`${level} ${fields.target.length > 0} ${message.length > 0}`)
  const [trace, debugLine, info, warn, error] = ['trace', 'debug', 'info', 'warn', 'error'].map(line)
  setLogger({ trace: trace!, debug: debugLine!, info: info!, warn: warn!, error: error! })
  const remote = new RemoteDataTrackManager()
  const dispatcher = new SignalDispatcher({ remote })
  const malformed = () =>
    dispatcher.dispatch({ message: { case: 'dataTrackSubscriberHandles', value: null } })
  try {
    malformed()
    expect(lines).toEqual(['warn true true'])
    setLogLevel('error')
    malformed()
    setLogLevel('silent')
    malformed()
    expect(lines).toHaveLength(1)
    expect(thrown(() => setLogLevel('loud' as 'warn')).code).toBe('ERR_OUT_OF_RANGE')
    expect(thrown(() => setLogger({} as never)).message).toContain('logger.trace')
  } finally {
    remote.close()
    setLogger(undefined)
    setLogLevel('warn')
  }
})
