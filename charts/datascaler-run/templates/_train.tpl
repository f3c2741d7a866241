{{/* Elastic training: a PyTorchJob, or the same from an Indexed Job and a headless Service. Takes {root, run}. */}}

{{- define "datascaler-run.pytorchjob" -}}
{{- $run := .run -}}
{{- $min := int (include "datascaler-run.minWorkers" .) -}}
{{- $max := int (include "datascaler-run.maxWorkers" .) -}}
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata:
  {{- include "datascaler-run.metadata" . | nindent 2 }}
spec:
  # Becomes PET_NPROC_PER_NODE. A string, by the API; "auto" would count CPUs where there is no GPU.
  nprocPerNode: {{ include "datascaler-run.processes" . | quote }}
  elasticPolicy:
    rdzvBackend: c10d
    # Without an id of their own, all runs have the same.
    rdzvId: {{ include "datascaler-run.fullname" . | quote }}
    minReplicas: {{ $min }}
    maxReplicas: {{ $max }}
    # torchrun's default is 0: the first lost worker would end the run.
    maxRestarts: {{ int64 $run.train.maxRestarts }}
    rdzvConf:
      - key: join_timeout
        value: {{ int64 $run.train.joinTimeoutSeconds | quote }}
      - key: last_call_timeout
        value: {{ int64 $run.train.lastCallTimeoutSeconds | quote }}
  runPolicy:
    # The run has succeeded when any worker has; without this the pods of the others would stay.
    cleanPodPolicy: Running
    suspend: {{ $run.suspend }}
    {{- if ne (toString $run.ttlSecondsAfterFinished) "never" }}
    ttlSecondsAfterFinished: {{ int64 $run.ttlSecondsAfterFinished }}
    {{- end }}
    # The operator adds up the restarts of all pods, and losing worker 0 restarts every one.
    backoffLimit: {{ mul (ternary $run.backoffLimit 10 (hasKey $run "backoffLimit") | int64) $max }}
    {{- if hasKey $run "activeDeadlineSeconds" }}
    activeDeadlineSeconds: {{ int64 $run.activeDeadlineSeconds }}
    {{- end }}
    # Heeded where the operator schedules gangs: start with the least that can train.
    schedulingPolicy:
      minAvailable: {{ $min }}
      {{- if and $run.queue.name (eq $run.queue.system "volcano") }}
      queue: {{ $run.queue.name | quote }}
      {{- end }}
      {{- with $run.priorityClassName }}
      priorityClass: {{ . | quote }}
      {{- end }}
  pytorchReplicaSpecs:
    # No Master: the init container that the operator gives to its workers is refused by Pod Security `restricted`.
    Worker:
      replicas: {{ int64 $run.train.workers }}
      # When worker 0 is lost, the others end with an error and must be started again.
      restartPolicy: OnFailure
      template:
        {{- include "datascaler-run.podTemplate" . | nindent 8 }}
{{- end -}}

{{- define "datascaler-run.elastic-job" -}}
{{- $run := .run -}}
{{- $workers := int64 $run.train.workers -}}
apiVersion: v1
kind: Service
metadata:
  # The same as the host name of worker 0, by which that pod finds out that it keeps the rendezvous.
  name: "{{ include "datascaler-run.fullname" . }}-0"
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "datascaler-run.labels" . | nindent 4 }}
spec:
  # Only a name for the address of worker 0.
  clusterIP: None
  # The others look for worker 0 from their first second on.
  publishNotReadyAddresses: true
  selector:
    batch.kubernetes.io/job-name: {{ include "datascaler-run.fullname" . | quote }}
    batch.kubernetes.io/job-completion-index: "0"
  ports:
    - name: rendezvous
      port: {{ include "datascaler-run.rendezvousPort" . }}
---
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "datascaler-run.metadata" . | nindent 2 }}
spec:
  completionMode: Indexed
  # Kept equal, so that both may be changed together while the run goes on.
  completions: {{ $workers }}
  parallelism: {{ $workers }}
  # Each worker has its own retries, because losing worker 0 ends every one; a worker that has spent them ends the run.
  backoffLimitPerIndex: {{ ternary $run.backoffLimit 10 (hasKey $run "backoffLimit") | int64 }}
  maxFailedIndexes: 0
  {{- if semverCompare ">=1.31-0" .root.Capabilities.KubeVersion.Version }}
  # Rank 0 publishes the last checkpoint before any worker ends, so one that succeeded speaks for all.
  successPolicy:
    rules:
      - succeededCount: 1
  {{- end }}
  {{- include "datascaler-run.jobCommon" . | nindent 2 }}
  {{- include "datascaler-run.podFailurePolicy" . | nindent 2 }}
  template:
    {{- include "datascaler-run.podTemplate" . | nindent 4 }}
{{- end -}}

{{- define "datascaler-run.rendezvousPort" -}}29400{{- end -}}

{{/* What the operator sets in the pods of a PyTorchJob; torchrun reads PET_<OPTION> as its option. */}}
{{- define "datascaler-run.rendezvousEnv" -}}
{{- $train := .run.train -}}
- name: PET_NNODES
  value: "{{ include "datascaler-run.minWorkers" . }}:{{ include "datascaler-run.maxWorkers" . }}"
- name: PET_NPROC_PER_NODE
  value: {{ include "datascaler-run.processes" . | quote }}
- name: PET_RDZV_BACKEND
  value: c10d
- name: PET_RDZV_ENDPOINT
  value: "{{ include "datascaler-run.fullname" . }}-0:{{ include "datascaler-run.rendezvousPort" . }}"
# Without an id of their own, all runs have the same.
- name: PET_RDZV_ID
  value: {{ include "datascaler-run.fullname" . | quote }}
- name: PET_RDZV_CONF
  value: join_timeout={{ int64 $train.joinTimeoutSeconds }},last_call_timeout={{ int64 $train.lastCallTimeoutSeconds }}
# torchrun's default is 0: the first lost worker would end the run.
- name: PET_MAX_RESTARTS
  value: {{ int64 $train.maxRestarts | quote }}
{{- end -}}
