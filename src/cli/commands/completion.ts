/** The command line of `datatrack completion`, and of the hidden command that the shells' scripts run. */
import type { Command } from 'commander'
import { loadCommander } from '../../base/lazy'
import { candidates, COMPLETE_COMMAND, scripts, shells } from '../completion'
import type { Shell } from '../completion'
import { say } from '../output'

/** Adds both commands. */
export function addCompletion(datatrack: Command): void {
  const { Argument } = loadCommander()
  datatrack
    .command('completion')
    .summary('print a script with which a shell completes commands and options')
    .description(
      'Prints a script for a shell. It lets the shell complete commands, options and their values.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => say(scripts[shell]))
  datatrack
    .command(COMPLETE_COMMAND, { hidden: true })
    .argument('[words...]')
    .action((words: string[]) => {
      for (const word of candidates(datatrack, words)) say(word)
    })
}

const EXAMPLES = `
Examples:
  source <(datatrack completion bash)    in ~/.bashrc
  source <(datatrack completion zsh)     in ~/.zshrc
  datatrack completion fish > ~/.config/fish/completions/datatrack.fish`
