/** Faults that a test can cause on purpose. The names are livekit-client's. */
import * as check from '../base/arguments'
import type { SimulateScenarioMessage } from '../signal/messages'

const scenarios = {
  'signal-reconnect': { lose: 'signal' },
  'resume-reconnect': { lose: 'signal', failNext: true },
  'full-reconnect': { lose: 'session' },
  'disconnect-signal-on-resume': { ask: { case: 'disconnectSignalOnResume', value: true }, lose: 'signal' },
  'disconnect-signal-on-resume-no-messages': {
    ask: { case: 'disconnectSignalOnResumeNoMessages', value: true },
    lose: 'signal',
  },
  'node-failure': { ask: { case: 'nodeFailure', value: true } },
  'server-leave': { ask: { case: 'serverLeave', value: true } },
  /** For 3 s, as livekit-client asks for it. */
  speaker: { ask: { case: 'speakerUpdate', value: 3 } },
  migration: { ask: { case: 'migration', value: true } },
  'leave-full-reconnect': { ask: { case: 'leaveRequestFullReconnect', value: true } },
  'force-tcp': { ask: { case: 'switchCandidateProtocol', value: 1 }, lose: 'session' },
  'force-tls': { ask: { case: 'switchCandidateProtocol', value: 2 }, lose: 'session' },
} as const satisfies Record<string, ScenarioSteps>

/** The scenarios of `room.simulateScenario()`. */
export type SimulationScenario = keyof typeof scenarios

/** @internal What a scenario consists of, in this order. */
export interface ScenarioSteps {
  /** The server is asked for it. */
  readonly ask?: SimulateScenarioMessage
  /** The next attempt to reconnect fails. */
  readonly failNext?: boolean
  /** The signalling connection is lost, or the whole session. */
  readonly lose?: 'signal' | 'session'
}

/** @internal Checks the name. */
export function scenarioSteps(scenario: SimulationScenario): ScenarioSteps {
  const names = Object.keys(scenarios) as [SimulationScenario, ...SimulationScenario[]]
  check.string('scenario', scenario)
  return scenarios[check.oneOf('scenario', scenario, names[0], names)]
}
