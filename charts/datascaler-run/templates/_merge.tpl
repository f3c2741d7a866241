{{/* Merging in place. Sprig's mergeOverwrite can't set false, 0 or an empty list over something. */}}

{{/* Maps merge, anything else is replaced, null removes. An overlay is replaced whole: its nulls are for the pod.
Takes {into, from}. */}}
{{- define "datascaler-run.merge" -}}
{{- $into := .into -}}
{{- range $key, $value := .from -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $into $key -}}
{{- else if and (kindIs "map" $value) (ne $key "podOverlay") -}}
{{- if not (kindIs "map" (get $into $key)) -}}{{- $_ := set $into $key dict -}}{{- end -}}
{{- include "datascaler-run.merge" (dict "into" (get $into $key) "from" $value) -}}
{{- else -}}
{{- $_ := set $into $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The same with Kubernetes' keys for lists, as `kubectl patch --type=strategic` has them. Takes {into, from}. */}}
{{- define "datascaler-run.strategicMerge" -}}
{{- $into := .into -}}
{{- $listKeys := dict "containers" "name" "initContainers" "name" "volumes" "name" "env" "name" "imagePullSecrets" "name" "volumeMounts" "mountPath" "volumeDevices" "devicePath" "ports" "containerPort" "hostAliases" "ip" "topologySpreadConstraints" "topologyKey" -}}
{{- range $key, $value := .from -}}
{{- $old := get $into $key -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $into $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- include "datascaler-run.strategicMerge" (dict "into" $old "from" $value) -}}
{{- else if and (kindIs "slice" $value) (kindIs "slice" $old) (hasKey $listKeys $key) -}}
{{- $listKey := get $listKeys $key -}}
{{- $items := $old -}}
{{- range $new := $value -}}
{{- $met := false -}}
{{- range $item := $items -}}
{{- if eq (get $item $listKey | toString) (get $new $listKey | toString) -}}
{{- include "datascaler-run.strategicMerge" (dict "into" $item "from" $new) -}}
{{- $met = true -}}
{{- end -}}
{{- end -}}
{{- if not $met -}}{{- $items = append $items (deepCopy $new) -}}{{- end -}}
{{- end -}}
{{- $_ := set $into $key $items -}}
{{- else -}}
{{- $_ := set $into $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
