#!/bin/sh -e
# From nothing to a cluster on a laptop with Docker: kind, the images, an S3 server, what cluster_install.sh installs. May be run again.
# With TORCH_INDEX (an index of CPU builds of torch) the worker image has no CUDA libraries.
cd "$(dirname "$0")/.."
for program in docker kind kubectl; do
  command -v "$program" >/dev/null || { echo "kind_up: $program is not on PATH" >&2; exit 1; }
done
context=kind-datascaler

kind get clusters 2>/dev/null | grep -qx datascaler || kind create cluster --config k8s/kind.yaml --wait 5m
archives=$(scripts/build_images launcher worker)
echo "$archives" | while read -r archive; do kind load image-archive --name datascaler "$archive"; done

kubectl --context "$context" apply --server-side --filename k8s/s3.yaml
kubectl --context "$context" --namespace storage rollout status deployment/s3 --timeout 5m
AWS_ENDPOINT_URL=http://s3.storage:8333 AWS_ACCESS_KEY_ID=datascaler AWS_SECRET_ACCESS_KEY=datascaler AWS_REGION=us-east-1 \
  scripts/cluster_install.sh --context "$context" --namespace datascaler --s3-secret s3-credentials \
  --values k8s/kind-values.yaml >/dev/null

cat <<'NEXT'
The cluster is up. What to try, in the environment of `make setup` (. .venv/bin/activate):

export AWS_ENDPOINT_URL=http://127.0.0.1:8333 AWS_ACCESS_KEY_ID=datascaler AWS_SECRET_ACCESS_KEY=datascaler
# A pool of which 60% is wrong in known ways, a filter, evaluation sets: some minutes on this machine.
datascaler demo --output-dir s3://datascaler/demo
# The same pool through the cluster. Close the laptop when it has printed its handle.
datascaler submit pipeline --context kind-datascaler --namespace datascaler --name first \
  --data-dir s3://datascaler/demo/pool --output-dir s3://datascaler/first --method dfn --fraction 0.4 --scale debug \
  --score "--count 2 --pretrained s3://datascaler/demo/runs/demo/none-f1.0/ViT-Micro-12-48-w1.0-b1.0-sp/lr0.003-wd0.2-wu20-n24000-s0" \
  --train "--model-arch ViT-Micro-12-48 --train-num-samples 19200 --batch-size 96 --lr 3e-3 --warmup 20 --num-workers 0" \
  --eval "--task-dir s3://datascaler/demo/tasks" --eval-data-dir s3://datascaler/demo/evalsets
datascaler status --context kind-datascaler datascaler/first

scripts/kind_down.sh deletes it all.
NEXT
