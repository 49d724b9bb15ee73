/** Node's `EventEmitter`, typed by a map from event to listener. */
import { EventEmitter } from 'node:events'

/** The listeners of each event, by the event's name. */
// `any`: a listener's parameters are what the map says; there is no narrower type that all functions satisfy.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type EventMap<Events> = { [Name in keyof Events]: (...args: any[]) => void }

/** `EventEmitter` whose events and listeners the type checker knows. */
export interface TypedEmitter<Events extends EventMap<Events>> {
  on<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  once<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  off<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  addListener<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  removeListener<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  prependListener<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  prependOnceListener<Name extends keyof Events>(event: Name, listener: Events[Name]): this
  removeAllListeners(event?: keyof Events): this
  emit<Name extends keyof Events>(event: Name, ...args: Parameters<Events[Name]>): boolean
  listenerCount(event: keyof Events): number
  listeners<Name extends keyof Events>(event: Name): Events[Name][]
  rawListeners<Name extends keyof Events>(event: Name): Events[Name][]
  eventNames(): (keyof Events & (string | symbol))[]
  setMaxListeners(max: number): this
  getMaxListeners(): number
}

/**
 * The base class to extend. At run time it is Node's `EventEmitter`, so `events.once(room, …)` and the like work.
 *
 * @class
 */
export const TypedEmitter = EventEmitter as unknown as new <
  Events extends EventMap<Events>,
>() => TypedEmitter<Events>
