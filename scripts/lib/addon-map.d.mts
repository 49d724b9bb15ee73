export interface Row {
  name: string
  code: number
  constants: number
  unwinding: number
  total: number
}

export function sizesOf(map: string): Row[]
export function crateOf(section: string): string | undefined
