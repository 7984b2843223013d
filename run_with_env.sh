#!/usr/bin/env bash
# Runs a command with the keys of .cloudkeys/api_keys.env in its environment:
#
#     ./run_with_env.sh dqn-trader --mode single
#     ./run_with_env.sh mpirun -n 6 dqn-trader --mode parallel
#     mpirun -n 6 ./run_with_env.sh dqn-trader --mode parallel
#
# The file is searched next to this script, then in the current folder. It is parsed, never executed, by the rules of the
# dotenvy crate (0.15), with which the program reads the same file: variables that are already set take precedence; quotes
# are removed; ' #' starts a comment; \ and $NAME are expanded except between single quotes. No value is printed. Without
# the file the command runs with the environment as it is; a program that lacks a key says so.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
names=()
values=()

die() { # one line, though every rank of an MPI job comes by here
  [ "${OMPI_COMM_WORLD_RANK:-0}" != 0 ] || printf 'error: %s\n' "$*" >&2
  exit 2
}

# Sets `found` to the value of $NAME: from the environment, else from an earlier line, else empty.
look_up() {
  local i
  found=
  [ -n "$1" ] || return 0
  found=$(printenv -- "$1") && return
  for i in "${!names[@]}"; do
    [ "${names[i]}" != "$1" ] || found=${values[i]}
  done
}

# Sets `parsed` to the value of the text after NAME=. Fails like dotenvy: an unknown escape, an open quote or ${, or
# anything but a comment after a space.
parse_value() {
  local text=$1 state=plain quote='' name='' i c found
  parsed=
  for ((i = 0; i < ${#text}; i++)); do
    c=${text:i:1}
    case $state in
    end) # after a space outside quotes, only a comment may come
      case $c in ' ' | $'\t') ;; '#') break ;; *) return 1 ;; esac ;;
    escape)
      case $c in [\\\'\"\$\ ]) parsed+=$c ;; n) parsed+=$'\n' ;; *) return 1 ;; esac
      state=plain ;;
    single)
      if [ "$c" = "'" ]; then state=plain; else parsed+=$c; fi ;;
    dollar) # $NAME
      if [[ $c = [[:alnum:]] ]]; then
        name+=$c
      elif [[ $c = '{' && -z $name ]]; then
        state=brace
      else
        look_up "$name"
        parsed+=$found name=''
        if [ "$c" != '$' ]; then parsed+=$c state=plain; fi
      fi ;;
    brace) # ${NAME}
      if [ "$c" = '}' ]; then
        look_up "$name"
        parsed+=$found name='' state=plain
      else
        name+=$c
      fi ;;
    plain)
      case $c in
      '$') state=dollar ;;
      \\) state=escape ;;
      '"') if [ -n "$quote" ]; then quote=''; else quote=$c; fi ;;
      "'") if [ -n "$quote" ]; then parsed+=$c; else state=single; fi ;;
      ' ' | $'\t') if [ -n "$quote" ]; then parsed+=$c; else state=end; fi ;;
      *) parsed+=$c ;;
      esac ;;
    esac
  done
  [[ -z $quote && $state != single && $state != brace ]] || return 1
  look_up "$name"
  parsed+=$found
}

# Scans a line of the file, continuing the state of the previous line. Sets `state`: plain if the line is complete, comment
# if it ends at the character `cut`, otherwise the construct that is still open, so that the next line belongs to it. Does
# not evaluate values.
scan_line() {
  local text=$1 i c
  for ((i = 0; i < ${#text}; i++)); do
    c=${text:i:1}
    case $state$c in
    space'#') state=comment cut=$i && return ;;
    space\\ | plain\\) state=escape ;;
    space\' | plain\') state=single ;;
    space\" | plain\") state=double ;;
    plain[[:blank:]]) state=space ;;
    space* | plain* | escape*) state=plain ;;
    single\\) state=open_single_escape ;;
    double\\) state=open_double_escape ;;
    single\' | double\") state=plain ;;
    open_single_escape*) state=single ;;
    open_double_escape*) state=double ;;
    esac
  done
}

load() { # FILE
  local file=$1 text='' line eol=$'\n' number=0 start=1 state=plain cut name parsed
  local assignment='^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*=[[:space:]]*(.*)$'
  while [ -n "$eol" ]; do
    IFS= read -r line || eol=''
    number=$((number + 1))
    [ "$number" -gt 1 ] || line=${line#$'\xef\xbb\xbf'}
    [ -n "$text" ] || start=$number
    if [[ -z $text && $line =~ ^[[:space:]]*(#|$) ]]; then continue; fi
    scan_line "$line$eol"
    case $state in
    plain) text+=$line ;;
    comment) text+=${line:0:cut} ;;
    *) text+=$line$'\n' && continue ;;
    esac
    text=${text%"${text##*[![:space:]]}"}
    [[ $text =~ $assignment ]] || die "$file, line $start: not of the form NAME=value"
    name=${BASH_REMATCH[2]} text=${BASH_REMATCH[3]}
    [[ $text != '#'* ]] || text=''
    parse_value "$text" ||
      die "$file, line $start: put a value with spaces or backslashes between single quotes (NAME='value')"
    names+=("$name") values+=("$parsed")
    text='' state=plain
  done <"$file"
  [ $state = plain ] || die "$file, line $start: a quote is not closed"
}

[ $# -gt 0 ] || die "no command given; usage: ./run_with_env.sh dqn-trader --mode single"
file=
for folder in "$here" "$PWD"; do
  [ ! -f "$folder/.cloudkeys/api_keys.env" ] || { file="$folder/.cloudkeys/api_keys.env" && break; }
done
if [ -n "$file" ]; then
  [ -r "$file" ] || die "$file cannot be read; check its permissions"
  load "$file"
fi
for i in "${!names[@]}"; do
  printenv -- "${names[i]}" >/dev/null || export "${names[i]}=${values[i]}"
done

# Finds the program without installation, as the command itself or as mpirun's; in a bundle it is here.
PATH="$PATH:$here/target/release:$here"
command -v "$1" >/dev/null || die "$1 was not found; build dqn-trader with ./scripts/setup.sh"
exec "$@"
