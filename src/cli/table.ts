/** Tables with aligned columns, and blocks of lines that are redrawn in place on a terminal. */

/** One row. The caller formats the numbers, because the precision differs between columns. */
export type Row = readonly string[]

/** The table as lines. The first column is aligned to the left, the others to the right. */
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

/** Width if the output is not a terminal, or if the terminal does not tell its width. */
const COLUMNS = 80
/** Columns are not shortened below this width. */
const NARROWEST = 8

/** The table as lines that fit into the width of standard output. The widest columns are shortened, as `abc…`. */
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

/** The number with `digits` decimals. A dash for `undefined`. */
export function decimals(value: number | undefined, digits: number): string {
  return value === undefined ? '–' : value.toFixed(digits)
}
