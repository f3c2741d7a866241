# What the scripts that make images share: where images are kept, which engine builds them, how their builds reach a package index.
# shellcheck shell=sh

# shellcheck disable=SC2034 # for those who read this file
image_cache=${XDG_CACHE_HOME:-$HOME/.cache}/datascaler/images

say() { echo "$(basename "$0"): $*" >&2; }

# A daemon that answers, else buildah, which needs none.
image_engine() {
  if docker info >/dev/null 2>&1; then echo docker; else echo buildah; fi
}

# Programs of Debian's packages of the same name.
need_programs() {
  missing=
  for program in "$@"; do
    command -v "$program" >/dev/null || missing="$missing $program"
  done
  test -n "$missing" || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "these programs are missing:$missing"
    return 1
  fi
  say "installing$missing"
  # shellcheck disable=SC2086 # several words
  { apt-get update && apt-get install --yes --no-install-recommends $missing; } >&2
}

# One word for the contents of files and folders, whatever Python left in them, and for words.
digest_of() { # PATH-OR-WORD...
  for input in "$@"; do
    if [ -e "$input" ]; then
      find "$input" -name __pycache__ -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    else
      echo "$input"
    fi
  done | sha256sum | cut -c1-16
}

# pip_conf and ca_bundle in FOLDER, from pip's own configuration here, for builds to mount.
write_pip_secrets() { # FOLDER
  python=.venv/bin/python
  "$python" -m pip --version >/dev/null 2>&1 || python=python3
  # Sorted, variables first, which win over files; an index that only uv knows is the last resort.
  settings=$({
    "$python" -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.\([a-z-]*\)='\(..*\)'$/\1 = \2/p"
    echo "${UV_DEFAULT_INDEX:-$UV_INDEX_URL}" | sed -n 's/^..*/index-url = &/p'
  } | awk '!seen[$1]++')
  bundle=$(printf '%s\n' "$settings" | sed -n 's/^cert = //p')
  bundle=${bundle:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
  {
    echo "[global]"
    # A list is one setting, with \n between its words.
    printf '%s\n' "$settings" | grep -E '^(index-url|extra-index-url|trusted-host|proxy|default-timeout|retries) ' |
      sed 's/\\n/ /g' || true
    if [ -r "$bundle" ]; then echo "cert = /run/secrets/ca_bundle"; fi
  } >"$1/pip_conf"
  if [ -r "$bundle" ]; then cat "$bundle"; fi >"$1/ca_bundle"
}
