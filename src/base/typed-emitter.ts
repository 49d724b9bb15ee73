/** Node's `EventEmitter`, typed by a map from event to listener. */
import { EventEmitter } from 'node:events'

/** Listeners by the name of their event. */
// `any`: a listener's parameters are what the map says; there is no narrower type that all functions satisfy.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type EventMap<Events> = { [Name in keyof Events]: (...args: any[]) => void }

/** `EventEmitter` with the events and their listeners known to the type checker. */
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

/** Extend this; it is Node's own class, so `events.once(room, …)` and the like work. */
export const TypedEmitter = EventEmitter as unknown as new <
  Events extends EventMap<Events>,
>() => TypedEmitter<Events>
