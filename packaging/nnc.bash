# bash completion for nnc: commands and options as the command itself lists them.
_nnc() {
    local cur=${COMP_WORDS[COMP_CWORD]} words
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        words=$(nnc --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    elif [[ $cur == -* ]]; then
        words=$(nnc "${COMP_WORDS[1]}" --help 2>/dev/null | sed -n 's/^ *\(--*[A-Za-z-]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$words --help" -- "$cur")
    fi
}
complete -o bashdefault -o default -F _nnc nnc
