"""Shell completion for `sessions`, and for `python -m starter`.

Typer completes; its scripts are for a program of one word. Ours hook into the completion of `python` and pass on only
what follows `-m starter`.
"""

import os
from pathlib import Path

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]  # re-exported

from starter.program import COMMAND, PACKAGE

VARIABLE = "_SESSIONS_COMPLETE" if PACKAGE else "_STARTER_COMPLETE"
"""What tells typer to complete instead of run."""

_BASH = """\
_starter_completion() {
    [[ ${COMP_WORDS[1]} == -m && ${COMP_WORDS[2]} == starter && $COMP_CWORD -gt 2 ]] || return
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]:2}" COMP_CWORD=$((COMP_CWORD - 2)) \\
        _STARTER_COMPLETE=complete_bash "${COMP_WORDS[0]}" -m starter 2>/dev/null))
}
complete -o bashdefault -o default -F _starter_completion python python3
"""

_ZSH = """\
_starter_completion() {
    if [[ $words[2] == -m && $words[3] == starter && $CURRENT -gt 3 ]]; then
        eval "$(_TYPER_COMPLETE_ARGS="${words[3,$CURRENT]}" _STARTER_COMPLETE=complete_zsh \\
            $words[1] -m starter 2>/dev/null)"
    else
        _python "$@"
    fi
}
autoload -Uz compinit _python
(( $+functions[compdef] )) || compinit
compdef _starter_completion python python3
"""

_FISH = """\
function _starter_completion
    set -l typed (commandline -cp | string replace -r '^\\S+ -m ' '')
    env _TYPER_COMPLETE_ARGS="$typed" _STARTER_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
        (commandline -op)[1] -m starter 2>/dev/null
end
for program in python python3
    complete --command $program --no-files --arguments '(_starter_completion)' \\
        --condition "string match -qr -- '^\\S+ -m starter ' (commandline -cp)"
end
"""

# The script of each shell, the file it goes to, and the file of the shell that then has to read it.
_SHELLS = {
    "bash": (_BASH, ".bash_completions/{}.sh", ".bashrc"),
    "zsh": (_ZSH, ".zfunc/{}.zsh", ".zshrc"),
    "fish": (_FISH, ".config/fish/conf.d/{}.fish", None),
}


completion_init()  # typer does so itself only where it offers its own scripts


def show_completion(wanted: bool) -> None:  # noqa: FBT001 (typer passes the option's value)
    """Print the script of the user's shell."""
    if wanted:
        typer.echo(_script(_shell()), nl=False)
        raise typer.Exit


def install_completion(wanted: bool) -> None:  # noqa: FBT001 (typer passes the option's value)
    """Write the script of the user's shell to where the shell reads it."""
    if not wanted:
        return
    shell = _shell()
    _, place, startup = _SHELLS[shell]
    target = Path.home() / place.format("sessions" if PACKAGE else "starter")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_script(shell))
    if startup:
        _add_line(Path.home() / startup, f"source '{target}'")
    typer.echo(f"Written to {target}; a new shell completes `{COMMAND}`.")
    raise typer.Exit


def _script(shell: str) -> str:
    if PACKAGE:
        return get_completion_script(prog_name=COMMAND, complete_var=VARIABLE, shell=shell) + "\n"
    return _SHELLS[shell][0]


def _shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        raise typer.BadParameter(f"completion is for {', '.join(_SHELLS)}; SHELL names {name or 'none'}")
    return name


def _add_line(file: Path, line: str) -> None:
    text = file.read_text() if file.exists() else ""
    if line not in text.splitlines():
        file.write_text(f"{text.rstrip()}\n{line}\n".lstrip())
