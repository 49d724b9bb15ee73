/** An example of the documentation. */
export interface Example {
  readonly name: string
  /** The text of an ES module. */
  readonly text: string
  /** What the comments behind `console.log(…)` promise that the example prints. */
  readonly promised: readonly string[]
}

/** All examples of the README and of the other pages. */
export function allExamples(): Example[]

/** The examples of a page, in their order. */
export function examplesOf(page: string): Example[]
