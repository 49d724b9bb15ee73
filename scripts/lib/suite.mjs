// Runs test programs one after another and adds up their results.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fromRoot, heading, say, seconds, spawnStep } from './steps.mjs'

const results = fromRoot('.cache/results')

/** A run of all stages. It throws nothing: an error counts as a failure, and the next stage runs. */
export class Suite {
  passed = 0
  failed = 0
  /** Texts to repeat at the end, because a failure scrolls away. */
  notes = []

  /** Work that must be done before any test can run. `false` if it failed. */
  async prepare(title, body) {
    heading(title)
    try {
      await body()
      return true
    } catch (error) {
      this.#fail(`${title}: ${error.message}`)
      return false
    }
  }

  /** `cargo test …` */
  cargo(title, args) {
    return this.#stage(title, async () => {
      const counts = { passed: 0, failed: 0, failures: [], reported: false }
      const { code } = await spawnStep('cargo', ['test', '--no-fail-fast', ...args], {
        onLine: (line) => {
          const failure = /^test (.+) \.\.\. FAILED$/.exec(line)
          if (failure !== null) counts.failures.push(failure[1])
          const match = /^test result: \S+ (\d+) passed; (\d+) failed/.exec(line)
          if (match === null) return
          counts.passed += Number(match[1])
          counts.failed += Number(match[2])
          counts.reported = true
        },
      })
      return { ...counts, code }
    })
  }

  /** `vitest run --config …`, of all its files, or with arguments that select some. */
  vitest(title, config, ...args) {
    return this.#stage(title, async () => {
      mkdirSync(results, { recursive: true })
      const file = join(results, `${config.replaceAll('/', '-')}.json`)
      rmSync(file, { force: true })
      const { code } = await spawnStep(process.execPath, [
        fromRoot('node_modules/vitest/vitest.mjs'),
        'run',
        `--config=${config}`,
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${file}`,
        ...args,
      ])
      const report = readReport(file)
      const unrun = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
      if (unrun > 0) this.#fail(`${title}: ${unrun} tests did not run`)
      return {
        passed: report?.numPassedTests ?? 0,
        failed: report?.numFailedTests ?? 0,
        failures: failuresOf(report),
        reported: report !== undefined,
        code,
      }
    })
  }

  /**
   * Reports a part that this machine cannot run. On CI that is a failure, because CI has everything that tests need.
   */
  skip(title, lacking) {
    heading(title)
    if (process.env.CI === 'true') {
      this.#fail(`${title}: cannot run without ${lacking}, and CI skips nothing`)
    } else {
      this.notes.push(`skipped: ${title} (this machine lacks ${lacking})`)
      say(this.notes.at(-1))
    }
  }

  /** Prints the summary, its counts alone on the last line, and sets the exit code. */
  finish() {
    heading('Summary')
    for (const note of this.notes) say(note)
    say(`${this.passed} passed, ${this.failed} failed`)
    process.exitCode = this.failed === 0 && this.passed > 0 ? 0 : 1
  }

  async #stage(title, body) {
    heading(title)
    const start = performance.now()
    try {
      const { passed, failed, failures, reported, code } = await body()
      this.passed += passed
      this.failed += failed
      if (failed > 0)
        this.notes.push(`failed: ${title} (${failed} tests)`, ...failures.map((failure) => `  ${failure}`))
      // Tests that did not compile, or a worker that crashed: a failure that belongs to no test.
      else if (code !== 0 || !reported || passed === 0) {
        this.#fail(`${title}: exit code ${code}, ${passed} tests passed${reported ? '' : ', no report'}`)
      }
    } catch (error) {
      this.#fail(`${title}: ${error.message}`)
    }
    say(`${title}: ${seconds(start)}`)
  }

  #fail(note) {
    this.failed += 1
    this.notes.push(`failed: ${note}`)
    say(this.notes.at(-1))
  }
}

/** The failed tests of vitest's report, and how they failed. The end of a long log then says enough. */
function failuresOf(report) {
  const files = report?.testResults ?? []
  return files.flatMap((file) =>
    file.assertionResults
      .filter((test) => test.status === 'failed')
      .map(
        (test) =>
          `${relative(fromRoot('.'), file.name)}: ${test.fullName}\n${indented(test.failureMessages.join('\n'))}`,
      ),
  )
}

/** The first lines of a text, set off from the margin. */
function indented(text, lines = 12) {
  return text
    .split('\n', lines)
    .map((line) => `      ${line}`)
    .join('\n')
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
