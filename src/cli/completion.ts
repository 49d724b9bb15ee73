/** Shell completion: the shell asks `datatrack complete` for the words that can stand at the cursor. */
import type { Command, Option } from 'commander'

/** The shells that there is a script for. */
export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** The hidden command that the scripts run. The words before the cursor follow `--`. */
export const COMPLETE_COMMAND = 'complete'

/** The text that a shell evaluates. If the command has no word to offer, the shell offers files. */
export const scripts: Readonly<Record<Shell, string>> = {
  bash: `_datatrack() {
  local IFS=$'\\n'
  COMPREPLY=($(datatrack ${COMPLETE_COMMAND} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _datatrack datatrack`,
  zsh: `#compdef datatrack
_datatrack() {
  local -a found
  found=(\${(f)"$(datatrack ${COMPLETE_COMMAND} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  (( $#found )) && compadd -a found || _files
}
compdef _datatrack datatrack`,
  fish: `complete -c datatrack -a '(datatrack ${COMPLETE_COMMAND} -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'`,
}

/** The words that can stand at the cursor. `words`: those behind `datatrack`; the last one is not complete yet. */
export function candidates(datatrack: Command, words: readonly string[]): readonly string[] {
  const before = words.slice(0, -1)
  const begun = words.at(-1) ?? ''
  let command = datatrack
  let option: Option | undefined
  for (const word of before) {
    if (option !== undefined) option = undefined
    else if (word === '--') return []
    else if (word.startsWith('-')) option = valued(command, word)
    else command = command.commands.find((each) => each.name() === word) ?? command
  }
  const all =
    option !== undefined
      ? (option.argChoices ?? [])
      : begun.startsWith('-')
        ? options(command)
        : visible(command)
  return all.filter((word) => word.startsWith(begun))
}

/** The option of that name, if a value follows it. */
function valued(command: Command, word: string): Option | undefined {
  const found = command.options.find(({ short, long }) => word === short || word === long)
  return found?.required === true || found?.optional === true ? found : undefined
}

function options(command: Command): string[] {
  return [...command.options.map(({ long, short }) => long ?? short ?? ''), '--help']
}

function visible(command: Command): string[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((each) => each.name())
}
