#!/usr/bin/env bash
# Evaluate trained models on DataComp's evaluation sets.
set -euo pipefail
# shellcheck source=scripts/flags.sh
. "$(dirname "$0")/flags.sh"

usage() {
  cat <<'TEXT'
run_eval.sh --train-dir=DIR --data-dir=DIR [--task-dir=DIR] [...]

  --train-dir        folder or URL with the runs of training
  --task-dir         folder with the task list (tasklist.yml; default: DataComp's tasks)
  --data-dir         folder or URL of the evaluation sets

  Which runs (all that fit are evaluated, the one of the best train loss is marked):
  --width-mult --min-width-mult --use-mup --scale --fraction --method --model-arch

  --tasks, --output-dir, --batch-size, --num-workers go to `datascaler eval` as they are.
TEXT
}

flags="train-dir task-dir data-dir width-mult min-width-mult use-mup scale fraction method model-arch"
flags+=" tasks output-dir batch-size num-workers"
read_flags "$flags" "$@"
require_flags train-dir data-dir

# shellcheck disable=SC2086  # a list of names
mapfile -t eval_flags < <(given $flags)
datascaler eval "${eval_flags[@]}"
