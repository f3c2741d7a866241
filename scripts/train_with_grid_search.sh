#!/usr/bin/env bash
# Train CLIP on a pool restricted to a subset, once for every point of a grid of learning rates.
set -euo pipefail
# shellcheck source=scripts/flags.sh
. "$(dirname "$0")/flags.sh"

usage() {
  cat <<'TEXT'
train_with_grid_search.sh --nproc-per-node=N --data-dir=DIR --output-dir=DIR --scale=SCALE [...]

  --nproc-per-node      processes (GPUs) on this node
  --data-dir            folder or URL of the pool's tar shards
  --output-dir          folder or URL for models and logs
  --width-mult          width of the model (default 1.0)
  --min-width-mult      muP's base width
  --scale               small or medium: DataComp's recipe
  --train-num-samples   samples seen during training: 128_000_000, 128M
  --use-mup             true or false
  --subset-file         subset to train on (also --subset-file-path; default: the whole pool)
  --method              CLIP or DFN: how the subset was chosen
  --fraction            fraction of the pool that the subset keeps
  --model-arch          architecture (default ViT-B-32)

  --lrs, --weight-decays, --warmups   the grid: a,b,c (default: the recipe's lr x 1/4, 1/2, 1, 2, 4)
  --batch-size, --device-batch-size, --num-workers, --num-checkpoints, --seed, --precision, --plan
                                      go to `datascaler sweep` as they are

On several nodes start it on each, with torchrun's variables: PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR, ...
TEXT
}

flags="nproc-per-node data-dir output-dir width-mult min-width-mult scale train-num-samples use-mup subset-file"
flags+=" subset-file-path method fraction model-arch lrs weight-decays warmups batch-size device-batch-size"
flags+=" num-workers num-checkpoints seed precision plan"
read_flags "$flags" "$@"
require_flags data-dir output-dir scale
if [ "${FLAG[subset-file]:-None}" = None ]; then unset 'FLAG[subset-file]'; fi
if [ "${FLAG[subset-file-path]:-None}" = None ]; then unset 'FLAG[subset-file-path]'; fi
if [ -z "${FLAG[model-arch]:-}" ]; then FLAG["model-arch"]=ViT-B-32; fi

# shellcheck disable=SC2086  # a list of names
mapfile -t sweep_flags < <(given $flags)
datascaler sweep "${sweep_flags[@]}"
