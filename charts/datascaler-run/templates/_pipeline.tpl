{{/* The driver of a pipeline: a small pod that submits the steps as runs of their own. What `launcher` says takes the
place of what the workers' keys say, which are for the steps. Changes .run in place. */}}
{{- define "datascaler-run.driver" -}}
{{- $run := .run -}}
{{- range $key, $value := $run.launcher -}}
{{- $_ := set $run $key $value -}}
{{- end -}}
{{- /* It speaks to Kubernetes, which the workers don't. */ -}}
{{- $_ := set $run "automountServiceAccountToken" true -}}
{{- $_ := set $run.gpu "count" 0 -}}
{{- $_ := set $run "shmSize" "0" -}}
{{- $_ := set $run "affinity" dict -}}
{{- $_ := set $run "topologySpreadConstraints" list -}}
{{- range list "priorityClassName" "schedulerName" "runtimeClassName" -}}
{{- $_ := set $run . "" -}}
{{- end -}}
{{- /* In the queue of its own steps it could wait for the room that it holds. */ -}}
{{- $_ := set $run "queue" (dict "system" "kueue" "name" "" "priorityClass" "") -}}
{{- if not (hasKey $run "backoffLimit") -}}{{- $_ := set $run "backoffLimit" 10 -}}{{- end -}}
{{- end -}}
