{{- define "datascaler.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "datascaler.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "datascaler.selectorLabels" -}}
app.kubernetes.io/name: {{ include "datascaler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "datascaler.ownLabels" -}}
helm.sh/chart: {{ include "datascaler.chart" . }}
{{ include "datascaler.selectorLabels" . }}
app.kubernetes.io/part-of: datascaler
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "datascaler.labels" -}}
{{- include "datascaler.yaml" (merge (fromYaml (include "datascaler.ownLabels" .)) .Values.commonLabels) -}}
{{- end -}}

{{/* Takes {root, image}. */}}
{{- define "datascaler.launcherImage" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Values of datascaler-run: what follows from this chart's own values, and `defaults` over it. */}}
{{- define "datascaler.defaults" -}}
{{- $launcher := dict "image" .Values.launcherImage "serviceAccountName" .Values.launcherServiceAccount.name -}}
{{- $own := dict "serviceAccountName" .Values.workerServiceAccount.name "launcher" $launcher -}}
{{- if .Values.storage.secretName -}}
{{- $_ := set $own "storage" (dict "secretName" .Values.storage.secretName) -}}
{{- end -}}
{{- if .Values.storage.env -}}
{{- $_ := set $own "env" .Values.storage.env -}}
{{- end -}}
{{- if .Values.localQueue.create -}}
{{- $_ := set $own "queue" (dict "system" "kueue" "name" .Values.localQueue.name) -}}
{{- end -}}
{{- include "datascaler.yaml" (mergeOverwrite (deepCopy $own) (deepCopy .Values.defaults)) -}}
{{- end -}}

{{/* A credential as text would stay in the release and in the ConfigMap. (Google's variable is the path of a file.) */}}
{{- define "datascaler.check" -}}
{{- /* Of what it can't write, toYaml makes nothing, without a word. */ -}}
{{- if not (toYaml .Values) -}}
{{- fail "a text among the values holds a character that YAML does not have" -}}
{{- end -}}
{{- range $where, $env := dict "storage.env" .Values.storage.env "defaults.env" (.Values.defaults.env | default dict) -}}
{{- range $variable, $value := $env -}}
{{- if and (kindIs "string" $value) (ne $variable "GOOGLE_APPLICATION_CREDENTIALS") (regexMatch "(SECRET|PASSWORD|PASSWD|(^|_)PASS|TOKEN|ACCESS_KEY|ACCESS_KEY_ID|API_KEY|ACCOUNT_KEY|PRIVATE_KEY|CONNECTION_STRING|CREDENTIALS?)$" (upper $variable)) -}}
{{- fail (printf "%s.%s would put a credential into a ConfigMap; put it into a Secret and name that in storage.secretName" $where $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.localQueue.create (not .Values.localQueue.clusterQueue) -}}
{{- fail "localQueue.clusterQueue is empty; name the ClusterQueue that the queue draws on" -}}
{{- end -}}
{{- end -}}

{{/* A value as YAML. YAML breaks lines at three letters that helm indents nothing behind, and where a text ends in a line
break, templates may trim it: what has such is written in full. Takes the value. */}}
{{- define "datascaler.yaml" -}}
{{- $text := toYaml . -}}
{{- if regexMatch "[\u0085\u2028\u2029]|[|][0-9+]*\n" $text -}}
{{- include "datascaler.fullYaml" . -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* A value as YAML with every text on one line, and keys of any length. Takes the value. */}}
{{- define "datascaler.fullYaml" -}}
{{- if and (kindIs "map" .) . -}}
{{- range $key, $value := . }}
? {{ include "datascaler.fullYaml" $key }}
:{{ include "datascaler.fullYaml" $value | nindent 2 }}
{{- end -}}
{{- else if and (kindIs "slice" .) . -}}
{{- range . }}
-{{ include "datascaler.fullYaml" . | nindent 2 }}
{{- end -}}
{{- else -}}
{{- toJson . | replace "\u0085" "\\u0085" -}}
{{- end -}}
{{- end -}}
