{{/* Jobs: what they have in common, and the kinds score, eval (indexed), subset, report, pipeline (single). Takes {root, run}. */}}

{{- define "datascaler-run.metadata" -}}
{{- $run := .run -}}
{{- $labels := dict -}}
{{- if $run.queue.name -}}
{{- if eq $run.queue.system "kueue" -}}
{{- $_ := set $labels "kueue.x-k8s.io/queue-name" $run.queue.name -}}
{{- with $run.queue.priorityClass -}}{{- $_ := set $labels "kueue.x-k8s.io/priority-class" . -}}{{- end -}}
{{- else if eq $run.queue.system "kai" -}}
{{- $_ := set $labels "kai.scheduler/queue" $run.queue.name -}}
{{- end -}}
{{- end -}}
name: {{ include "datascaler-run.fullname" . | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- /* The chart's own come first: others must not take the labels by which runs are found. */}}
  {{- include "datascaler-run.yaml" (merge (fromYaml (include "datascaler-run.labels" .)) $labels $run.labels) | nindent 2 }}
{{- with $run.annotations }}
annotations:
  {{- include "datascaler-run.yaml" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "datascaler-run.jobCommon" -}}
suspend: {{ .run.suspend }}
{{- if hasKey .run "activeDeadlineSeconds" }}
activeDeadlineSeconds: {{ int64 .run.activeDeadlineSeconds }}
{{- end }}
{{- if ne (toString .run.ttlSecondsAfterFinished) "never" }}
# Deletes the pods too, and with them what `kubectl logs` shows.
ttlSecondsAfterFinished: {{ int64 .run.ttlSecondsAfterFinished }}
{{- end }}
# One pod per index at a time: a new one only when the old one is gone.
podReplacementPolicy: Failed
{{- end -}}

{{- define "datascaler-run.podFailurePolicy" -}}
podFailurePolicy:
  # The first rule that fits counts.
  rules:
    # Eviction, preemption, a drained or lost node: nobody's fault, so it costs no retry.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    {{- if eq (include "datascaler-run.object" .) "indexed" }}
    # Wrong usage (2) or configuration (78): wrong in every pod, and at every retry.
    - action: FailJob
      onExitCodes:
        containerName: {{ include "datascaler-run.container" . }}
        operator: In
        values: [2, 78]
    # Bad input in some shards (65), or runs that can't be evaluated (104), the others are done: a retry would meet them
    # again.
    - action: FailIndex
      onExitCodes:
        containerName: {{ include "datascaler-run.container" . }}
        operator: In
        values: [65, 104]
    {{- else if eq .run.kind "pipeline" }}
    # Wrong usage (2) or configuration (78), or a step that failed (100), was cancelled (103) or failed partly (104): a
    # retry would meet it again.
    - action: FailJob
      onExitCodes:
        containerName: {{ include "datascaler-run.container" . }}
        operator: In
        values: [2, 78, 100, 103, 104]
    {{- else }}
    # Wrong usage (2) or configuration (78), bad input (65), or a loss that is not finite (79): a retry would meet it again.
    - action: FailJob
      onExitCodes:
        containerName: {{ include "datascaler-run.container" . }}
        operator: In
        values: [2, 65, 78, 79]
    {{- end }}
{{- end -}}

{{- define "datascaler-run.indexed" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "datascaler-run.metadata" . | nindent 2 }}
spec:
  # The index of a pod is its part of the work: JOB_COMPLETION_INDEX is the command's --index.
  completionMode: Indexed
  completions: {{ int64 .run.completions }}
  parallelism: {{ ternary .run.parallelism .run.completions (hasKey .run "parallelism") | int64 }}
  # One bad shard spends its own retries, not those of the others.
  backoffLimitPerIndex: {{ int64 .run.backoffLimitPerIndex }}
  {{- if hasKey .run "maxFailedIndexes" }}
  maxFailedIndexes: {{ int64 .run.maxFailedIndexes }}
  {{- end }}
  {{- include "datascaler-run.jobCommon" . | nindent 2 }}
  {{- include "datascaler-run.podFailurePolicy" . | nindent 2 }}
  template:
    {{- include "datascaler-run.podTemplate" . | nindent 4 }}
{{- end -}}

{{- define "datascaler-run.single" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "datascaler-run.metadata" . | nindent 2 }}
spec:
  completions: 1
  parallelism: 1
  backoffLimit: {{ ternary .run.backoffLimit 3 (hasKey .run "backoffLimit") | int64 }}
  {{- include "datascaler-run.jobCommon" . | nindent 2 }}
  {{- include "datascaler-run.podFailurePolicy" . | nindent 2 }}
  template:
    {{- include "datascaler-run.podTemplate" . | nindent 4 }}
{{- end -}}
