# shellcheck shell=bash
# Flags of the three scripts: `--name value` and `--name=value` alike. Source it, then call
#   read_flags "data-dir output-dir ..." "$@"
# which sets FLAG[data-dir] and so on, and exits with 2 on a flag that is not in the list.

declare -A FLAG

read_flags() {
  local known=" $1 " name value
  local list=" --${1// / --}"
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit 0
        ;;
      --*=*)
        name=${1%%=*}
        value=${1#*=}
        shift
        ;;
      --*)
        name=$1
        shift
        if [ $# -gt 0 ] && [[ $1 != --* ]]; then
          value=$1
          shift
        elif [[ $name =~ ^--use[-_]mup$ ]]; then # the one switch: it may stand alone
          value=true
        else
          usage_error "$name needs a value"
        fi
        ;;
      *) usage_error "unexpected argument: $1" ;;
    esac
    name=${name#--}
    name=${name//_/-}
    case $known in
      *" $name "*) FLAG[$name]=$value ;;
      *) usage_error "unknown flag --$name; known:$list" ;;
    esac
  done
}

require_flags() {
  local name
  for name in "$@"; do
    if [ -z "${FLAG[$name]:-}" ]; then usage_error "--$name is required"; fi
  done
}

usage_error() {
  echo "$(basename "$0"): $1" >&2
  exit 2
}

# The command of this checkout's environment if there is one, else the one on PATH.
datascaler() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  if [ -x "$here/.venv/bin/datascaler" ]; then
    "$here/.venv/bin/datascaler" "$@"
  else
    command datascaler "$@"
  fi
}

# Prints `--name=value` lines for those of the named flags that were given.
given() {
  local name
  for name in "$@"; do
    if [ -n "${FLAG[$name]:-}" ]; then printf -- '--%s=%s\n' "$name" "${FLAG[$name]}"; fi
  done
}
