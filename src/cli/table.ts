/** Tables for people: aligned columns, redrawn in place on a terminal. */

/** One row; numbers are written by the caller, so that each column chooses its precision. */
export type Row = readonly string[]

/** Lays rows out under their headings: the first column to the left, the others to the right. */
export function layOut(headings: Row, rows: readonly Row[]): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: Row): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        const last = column === row.length - 1
        if (column === 0) return cell.padEnd(width)
        return last ? cell : cell.padStart(width)
      })
      .join('  ')
      .trimEnd()
  return [line(headings), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)]
}

/** Columns of a terminal that does not say how many it has, and of what is no terminal. */
const COLUMNS = 80
/** A column is not shortened below that. */
const NARROWEST = 8

/** The same within the width of standard output: the widest columns are shortened, as `abc…`. */
export function layOutWithin(
  headings: Row,
  rows: readonly Row[],
  columns = process.stdout.columns || COLUMNS,
): string[] {
  const widths = headings.map((_, column) =>
    Math.max(...[headings, ...rows].map((row) => row[column]?.length ?? 0)),
  )
  const between = 2 * (widths.length - 1)
  for (let excess = widths.reduce((sum, width) => sum + width, between) - columns; excess > 0; excess--) {
    const widest = Math.max(...widths)
    if (widest <= NARROWEST) break
    widths[widths.indexOf(widest)] = widest - 1
  }
  const shorten = (row: Row): Row => row.map((cell, column) => shortened(cell, widths[column] ?? 0))
  return layOut(shorten(headings), rows.map(shorten))
}

function shortened(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

/** Redraws a block of lines in place. */
export class LiveBlock {
  readonly #out: NodeJS.WriteStream
  #height = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  draw(lines: readonly string[]): void {
    // A line wider than the terminal would wrap, and the next redraw would start in the wrong place.
    const width = this.#out.columns > 0 ? this.#out.columns - 1 : 119
    const up = this.#height > 0 ? `\u001b[${this.#height}A` : ''
    const text = lines.map((line) => `\u001b[2K${line.slice(0, width)}\n`).join('')
    this.#out.write(up + text)
    this.#height = lines.length
  }
}

/** A number with so many decimals, or a dash. */
export function decimals(value: number | undefined, digits: number): string {
  return value === undefined ? '–' : value.toFixed(digits)
}
