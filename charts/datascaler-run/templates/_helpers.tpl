{{/* Names and labels. */}}

{{- define "datascaler-run.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "datascaler-run.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The run's name, else the release's. Takes {root, run}, as everything below. */}}
{{- define "datascaler-run.fullname" -}}
{{- .run.name | default .root.Release.Name -}}
{{- end -}}

{{- define "datascaler-run.selectorLabels" -}}
app.kubernetes.io/name: {{ include "datascaler-run.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .run.kind | quote }}
app.kubernetes.io/part-of: datascaler
datascaler/run: {{ include "datascaler-run.fullname" . | quote }}
{{- end -}}

{{- define "datascaler-run.labels" -}}
helm.sh/chart: {{ include "datascaler-run.chart" .root }}
{{ include "datascaler-run.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "datascaler-run.image" -}}
{{- $image := .run.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The operator insists on a container called `pytorch`. */}}
{{- define "datascaler-run.container" -}}
{{- if eq (include "datascaler-run.object" .) "pytorchjob" }}pytorch{{ else }}datascaler{{ end -}}
{{- end -}}

{{/* Which template renders the run: indexed (score, eval), single (subset, report,
pipeline), pytorchjob or elastic-job (train). */}}
{{- define "datascaler-run.object" -}}
{{- if has .run.kind (list "score" "eval") -}}indexed
{{- else if ne .run.kind "train" -}}single
{{- else if eq .run.train.backend "pytorchjob" -}}pytorchjob
{{- else -}}elastic-job
{{- end -}}
{{- end -}}

{{- define "datascaler-run.gpus" -}}
{{- if hasKey .run.gpu "count" -}}{{ int .run.gpu.count }}
{{- else if has .run.kind (list "score" "train" "eval") -}}1
{{- else -}}0
{{- end -}}
{{- end -}}

{{/* What the command says after a flag: `--count 8`, `--count=8`. Flags and numbers are read as the command line reads them:
`--nproc_per_node 1_6`, `--count 1K`. Takes {command, flag}. */}}
{{- define "datascaler-run.flag" -}}
{{- $found := "" -}}
{{- $next := false -}}
{{- range .command -}}
{{- $word := splitn "=" 2 . -}}
{{- $is := eq ($word._0 | replace "_" "-") $.flag -}}
{{- if $next -}}{{- $found = . -}}{{- $next = false -}}
{{- else if and $is (contains "=" .) -}}{{- $found = $word._1 -}}
{{- else if $is -}}{{- $next = true -}}
{{- end -}}
{{- end -}}
{{- $found = $found | replace "_" "" -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?[KMBTkmbt]$" $found -}}
{{- $last := sub (len $found) 1 | int -}}
{{- $scales := dict "K" 1000 "M" 1000000 "B" 1000000000 "T" 1000000000000 -}}
{{- mulf (substr 0 $last $found) (get $scales (substr $last -1 $found | upper)) | int64 -}}
{{- else -}}
{{- $found -}}
{{- end -}}
{{- end -}}

{{/* Indexes that the command's --indexes names, such as 3,17,20-22: how many there are, and the greatest. Empty if the text
is no such list. Takes the text. */}}
{{- define "datascaler-run.indexes" -}}
{{- if regexMatch "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$" . -}}
{{- $number := 0 -}}
{{- $greatest := 0 -}}
{{- range splitList "," . -}}
{{- $ends := splitList "-" . -}}
{{- $from := first $ends | int64 -}}
{{- $to := last $ends | int64 -}}
{{- $number = add $number (max 0 (add1 (sub $to $from))) -}}
{{- $greatest = max $greatest $to $from -}}
{{- end -}}
{{- dict "number" $number "greatest" $greatest | toJson -}}
{{- end -}}
{{- end -}}

{{/* Processes per pod: the command's own word, else one for each GPU. */}}
{{- define "datascaler-run.processes" -}}
{{- $said := include "datascaler-run.flag" (dict "command" .run.command "flag" "--nproc-per-node") -}}
{{- if $said }}{{ int $said }}{{ else }}{{ max 1 (int (include "datascaler-run.gpus" .)) }}{{ end -}}
{{- end -}}

{{- define "datascaler-run.minWorkers" -}}
{{- int .run.train.minWorkers | default (int .run.train.workers) -}}
{{- end -}}

{{- define "datascaler-run.maxWorkers" -}}
{{- int .run.train.maxWorkers | default (int .run.train.workers) -}}
{{- end -}}

{{/* A value as YAML. YAML breaks lines at three letters that helm indents nothing behind, and where a text ends in a line
break, templates may trim it: what has such is written in full. Takes the value. */}}
{{- define "datascaler-run.yaml" -}}
{{- $text := toYaml . -}}
{{- if regexMatch "[\u0085\u2028\u2029]|[|][0-9+]*\n" $text -}}
{{- include "datascaler-run.fullYaml" . -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* A value as YAML with every text on one line, and keys of any length. Takes the value. */}}
{{- define "datascaler-run.fullYaml" -}}
{{- if and (kindIs "map" .) . -}}
{{- range $key, $value := . }}
? {{ include "datascaler-run.fullYaml" $key }}
:{{ include "datascaler-run.fullYaml" $value | nindent 2 }}
{{- end -}}
{{- else if and (kindIs "slice" .) . -}}
{{- range . }}
-{{ include "datascaler-run.fullYaml" . | nindent 2 }}
{{- end -}}
{{- else -}}
{{- toJson . | replace "\u0085" "\\u0085" -}}
{{- end -}}
{{- end -}}
