#!/bin/sh -e
# Make a cluster ready for `datascaler submit`: the training operator, a namespace, its S3 credentials, charts/datascaler. May be run again.
usage() {
  cat <<'USAGE'
Usage: scripts/cluster_install.sh --namespace NS [options]

  --namespace NS            Made if absent, and labelled so that it enforces Pod Security `restricted`.
  --context NAME            Of the kubeconfig ($KUBECONFIG, else ~/.kube/config). Default: the current one.
  --values FILE             Values of charts/datascaler; may be given several times.
  --s3-secret NAME          Make this Secret from the AWS_* variables of the environment, and give it to every run.
  --operator-manifests DIR  Kustomization of the training operator. Default: k8s/training-operator (needs git).
  --operator-image IMAGE    In place of the one that the manifests name.
  --no-operator             The operator is there, or is not wanted: training then runs as Indexed Jobs.

Needs kubectl 1.31 or newer and the rights of a cluster's administrator; with --no-operator those of a namespace's, if NS exists.
USAGE
}
say() { echo "cluster_install: $*" >&2; }
wrong() {
  say "$1; see --help"
  exit 2
}

namespace='' context='' secret='' image='' manifests='' values='' with_operator=yes
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --no-operator)
      with_operator=no
      shift
      continue
      ;;
    --*=*)
      flag=${1%%=*} value=${1#*=}
      shift
      ;;
    *)
      [ $# -ge 2 ] || wrong "$1 is no flag, or has no value"
      flag=$1 value=$2
      shift 2
      ;;
  esac
  case $flag in
    --namespace) namespace=$value ;;
    --context) context=$value ;;
    --s3-secret) secret=$value ;;
    --operator-manifests) manifests=$value ;;
    --operator-image) image=$value ;;
    --values)
      # Paths are those of the caller; one a line.
      case $value in /*) ;; *) value=$PWD/$value ;; esac
      [ -r "$value" ] || wrong "--values $value can't be read"
      values="$values$value
"
      ;;
    *) wrong "unknown flag $flag" ;;
  esac
done
[ -n "$namespace" ] || wrong "--namespace is required"
case $manifests in '' | /* | *://*) ;; *) manifests=$PWD/$manifests ;; esac
cd "$(dirname "$0")/.."
helm=$(scripts/get_helm)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Our own name as owner of fields: what somebody else has set is not taken over, but is an error that says so.
kube() { kubectl ${context:+--context "$context"} "$@"; }
apply() { kube apply --server-side --field-manager datascaler "$@" >&2; }
helm() { "$helm" ${context:+--kube-context "$context"} --namespace "$namespace" "$@"; }

install_operator() {
  say "the training operator, from ${manifests:-k8s/training-operator}"
  kubectl kustomize "${manifests:-k8s/training-operator}" >"$work/operator.yaml"
  {
    echo 'resources: [operator.yaml]'
    if [ -n "$image" ]; then
      echo "images: [{name: ghcr.io/kubeflow/training-v1/training-operator, newName: ${image%:*}, newTag: ${image##*:}}]"
    fi
  } >"$work/kustomization.yaml"
  apply -k "$work" ||
    { say "if somebody else installed it here, leave it to them: --no-operator"; return 1; }
  kube wait --for condition=Established --timeout 2m crd/pytorchjobs.kubeflow.org >&2
  home=$(kube get deployments --all-namespaces --selector control-plane=kubeflow-training-operator \
    --output 'jsonpath={.items[0].metadata.namespace}')
  # A first start waits for the certificate that it has just put into this Secret. The kubelet looks for changed Secrets
  # once a minute or two, and for changed pods at once.
  kube --namespace "$home" wait --for 'jsonpath={.data.tls\.crt}' --timeout 5m secret/training-operator-webhook-cert >&2
  kube --namespace "$home" annotate pods --selector control-plane=kubeflow-training-operator --overwrite \
    "datascaler/looked-at=$(date +%s)" >&2 || : # none yet: it will find the certificate
  kube --namespace "$home" rollout status deployment/training-operator --timeout 10m >&2
}

# Nobody can submit before the operator's webhook has its certificate. Ask it about a job that is not made.
wait_for_webhook() {
  helm template webhook-check charts/datascaler-run --set kind=train --set 'command={datascaler,train}' >"$work/job.yaml"
  tries=60
  while kube create --dry-run=server --filename "$work/job.yaml" 2>&1 | tee "$work/answer" | grep -q 'calling webhook'; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
      say "the operator's webhook does not answer: $(cat "$work/answer")"
      return 1
    fi
    sleep 2
  done
  say "the operator's webhook answers"
}

make_namespace() {
  kube get namespace "$namespace" >/dev/null 2>&1 || kube create namespace "$namespace" >&2
  # Without --overwrite: another level that somebody chose is an error.
  kube label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >&2
}

require_credentials() {
  if [ -z "$AWS_ACCESS_KEY_ID" ] || [ -z "$AWS_SECRET_ACCESS_KEY" ]; then
    wrong "--s3-secret needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
  fi
}

# By standard input, since arguments can be seen by every user of this machine.
make_secret() {
  env | grep -E '^AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|ENDPOINT_URL|ENDPOINT_URL_S3|REGION|DEFAULT_REGION)=' |
    kube --namespace "$namespace" create secret generic "$secret" --from-env-file /dev/stdin --dry-run=client --output yaml |
    apply --filename -
}

set --
while read -r file; do
  [ -z "$file" ] || set -- "$@" --values "$file"
done <<FILES
$values
FILES
[ -z "$secret" ] || set -- "$@" --set "storage.secretName=$secret"
# What would be refused last is refused before anything is made.
command -v kubectl >/dev/null || wrong "kubectl is not on PATH"
if [ -n "$secret" ]; then require_credentials; fi
helm template datascaler charts/datascaler "$@" >"$work/chart.yaml"

make_namespace
if [ -n "$secret" ]; then make_secret; fi
if [ "$with_operator" = yes ]; then
  install_operator
  wait_for_webhook
fi
helm upgrade --install datascaler charts/datascaler "$@" >&2

cat <<NEXT
Namespace $namespace is ready. Next:
  datascaler doctor --namespace $namespace
  datascaler submit score --namespace $namespace --data-dir s3://... --output-dir s3://... --method clip
NEXT
