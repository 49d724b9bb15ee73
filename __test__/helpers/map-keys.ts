/** Keys of maps that every object has as members. */

export const membersOfObjects = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf']

/** A map's own entries by key: matchers do not look at one of the key `__proto__`. */
export function entries<T>(map: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1))
}
