/** Names that each JavaScript object inherits as members. Used as keys of maps, they must be ordinary entries. */

export const membersOfObjects = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf']

/** The map's own entries, sorted by key. Matchers of vitest ignore an entry with the key `__proto__`. */
export function entries<T>(map: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1))
}
