#!/usr/bin/env bash
# Score a pool, and keep its best fraction.
set -euo pipefail
# shellcheck source=scripts/flags.sh
. "$(dirname "$0")/flags.sh"

usage() {
  cat <<'TEXT'
generate_pools.sh --data-dir=DIR --output-dir=DIR --scale=SCALE --method=METHOD --fraction=FRACTION

  --data-dir     folder or URL of the pool's tar shards
  --output-dir   folder or URL for scores and subset
  --scale        small or medium: the pool's scale (scoring does not depend on it)
  --method       CLIP, DFN or TMARS (any case)
  --fraction     fraction of data to keep; below 1.0 the uids of the best are written to
                 OUTPUT_DIR/subsets/METHOD-fFRACTION.pkl (and .npy, .plan and .json, its recipe)

  --model, --pretrained, --arch, --batch-size, --num-workers and, for TMARS, --detector, --max-masked-area, --boxes and
  --plain go to `datascaler score` as they are.
TEXT
}

SCORE_FLAGS="model pretrained arch batch-size num-workers detector max-masked-area boxes plain"
read_flags "data-dir output-dir scale method fraction $SCORE_FLAGS" "$@"
require_flags data-dir output-dir scale method fraction
case ${FLAG[scale]} in
  small | medium) ;;
  *) usage_error "--scale must be small or medium, got ${FLAG[scale]}" ;;
esac
case ${FLAG[method],,} in
  clip | dfn | tmars) ;;
  *) usage_error "--method must be CLIP, DFN or TMARS, got ${FLAG[method]}" ;;
esac
if ! awk -v f="${FLAG[fraction]}" 'BEGIN { exit !(f ~ /^([0-9]+[.]?[0-9]*|[.][0-9]+)$/ && f > 0 && f <= 1) }'; then
  usage_error "--fraction must be above 0 and at most 1, got ${FLAG[fraction]}"
fi

# shellcheck disable=SC2086 # a list of names
mapfile -t score_flags < <(given data-dir output-dir method $SCORE_FLAGS)
datascaler score "${score_flags[@]}"
if awk -v f="${FLAG[fraction]}" 'BEGIN { exit !(f < 1) }'; then
  mapfile -t subset_flags < <(given output-dir method fraction)
  datascaler subset "${subset_flags[@]}" --formats=pkl,npy
fi
