{{/* What a schema can't say, because it takes two values together. Each message names the run, the value and the remedy. */}}
{{- define "datascaler-run.check" -}}
{{- $run := .run -}}
{{- $name := include "datascaler-run.fullname" . -}}
{{- /* Of what it can't write, toYaml makes nothing, without a word. */ -}}
{{- if not (toYaml $run) -}}
{{- fail (printf "run %s: a text among the values holds a character that YAML does not have" $name) -}}
{{- end -}}
{{- /* Helm takes a null as "not said", and what is not said as 0, false or nothing. */ -}}
{{- range list "ttlSecondsAfterFinished" "completions" "backoffLimitPerIndex" "terminationGracePeriodSeconds" "suspend" "automountServiceAccountToken" "readOnlyRootFilesystem" "shmSize" "scratchSize" "tolerations" "env" "envFrom" "podLabels" "podAnnotations" "labels" -}}
{{- if not (hasKey $run .) -}}
{{- fail (printf "run %s: %s is null; leave it out for the chart's default%s" $name . (ternary ", or say never" "" (eq . "ttlSecondsAfterFinished"))) -}}
{{- end -}}
{{- end -}}
{{- range $group, $keys := dict "image" (list "repository" "pullPolicy") "resources" (list "cpu" "memory") "gpu" (list "resource" "tolerations") "queue" (list "system" "name" "priorityClass") "storage" (list "secretName") "train" (list "backend" "workers" "minWorkers" "maxWorkers" "maxRestarts" "joinTimeoutSeconds" "lastCallTimeoutSeconds") -}}
{{- range $keys -}}
{{- if not (hasKey (get $run $group | default dict) .) -}}
{{- fail (printf "run %s: %s.%s is null; leave it out for the chart's default" $name $group .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $object := include "datascaler-run.object" . -}}
{{- $gpus := int (include "datascaler-run.gpus" .) -}}
{{- if not $run.command -}}
{{- fail (printf "run %s: command is empty; give it as a list, [datascaler, %s, ...]" $name $run.kind) -}}
{{- end -}}

{{- /* Names: the longest pod or Service name must be a DNS label, which the API server only finds out later. */ -}}
{{- $last := 0 -}}
{{- $between := "-" -}}
{{- if eq $object "indexed" -}}{{- $last = sub (int $run.completions) 1 -}}{{- end -}}
{{- if eq $run.kind "train" -}}{{- $last = sub (int (include "datascaler-run.maxWorkers" .)) 1 -}}{{- end -}}
{{- if eq $object "pytorchjob" -}}{{- $between = "-worker-" -}}{{- end -}}
{{- $most := int (sub 63 (add (len $between) (len (toString $last)))) -}}
{{- if gt (len $name) $most -}}
{{- fail (printf "run %s: name has %d characters; its last pod is called %s%s%d, so at most %d are possible" $name (len $name) "NAME" $between $last $most) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "run %s: name must begin with a letter, and hold lower-case letters, digits and dashes only" $name) -}}
{{- end -}}

{{- /* Another count than that of the pods would leave work undone, or do it twice, without a word. */ -}}
{{- $count := include "datascaler-run.flag" (dict "command" $run.command "flag" "--count") | default "1" -}}
{{- $index := include "datascaler-run.flag" (dict "command" $run.command "flag" "--index") -}}
{{- $indexes := include "datascaler-run.flag" (dict "command" $run.command "flag" "--indexes") -}}
{{- if eq $object "indexed" -}}
{{- if and $index (ne (int $run.completions) 1) -}}
{{- fail (printf "run %s: the command says --index %s, so completions must be 1, not %d" $name $index (int $run.completions)) -}}
{{- else if $indexes -}}
{{- $listed := include "datascaler-run.indexes" $indexes | default "{}" | fromJson -}}
{{- if not $listed -}}
{{- fail (printf "run %s: the command says --indexes %s, which is no list of numbers and ranges; write 3,17,20-22" $name $indexes) -}}
{{- else if ge (int $listed.greatest) (int $count) -}}
{{- fail (printf "run %s: the command says --indexes %s, but with --count %s the last index is %d" $name $indexes $count (sub (int $count) 1)) -}}
{{- else if and (not $index) (ne (int $listed.number) (int $run.completions)) -}}
{{- fail (printf "run %s: the command says --indexes %s, which are %d, but completions is %d; make them equal" $name $indexes (int $listed.number) (int $run.completions)) -}}
{{- end -}}
{{- else if and (not $index) (ne $count (toString (int $run.completions))) -}}
{{- fail (printf "run %s: the command says --count %s but completions is %d; make them equal" $name $count (int $run.completions)) -}}
{{- end -}}
{{- if gt (int ($run.maxFailedIndexes | default 0)) (int $run.completions) -}}
{{- fail (printf "run %s: maxFailedIndexes is %d, more than completions (%d)" $name (int $run.maxFailedIndexes) (int $run.completions)) -}}
{{- end -}}
{{- else if ne (int $run.completions) 1 -}}
{{- fail (printf "run %s: completions is %d, but a %s run can't be shared; leave it at 1" $name (int $run.completions) $run.kind) -}}
{{- end -}}

{{- if eq $run.kind "train" -}}
{{- $workers := int $run.train.workers -}}
{{- $min := int (include "datascaler-run.minWorkers" .) -}}
{{- $max := int (include "datascaler-run.maxWorkers" .) -}}
{{- if or (lt $workers $min) (gt $workers $max) -}}
{{- fail (printf "run %s: train.workers is %d, which is not between minWorkers (%d) and maxWorkers (%d)" $name $workers $min $max) -}}
{{- end -}}
{{- $processes := int (include "datascaler-run.processes" .) -}}
{{- if and (gt $gpus 0) (gt $processes $gpus) -}}
{{- fail (printf "run %s: the command says --nproc-per-node %d but gpu.count is %d; give every process a GPU" $name $processes $gpus) -}}
{{- end -}}
{{- end -}}

{{- /* Google's variable is the path of a file, which may be a mounted Secret's. */ -}}
{{- range $variable, $value := $run.env -}}
{{- if and (kindIs "string" $value) (ne $variable "GOOGLE_APPLICATION_CREDENTIALS") (regexMatch "(SECRET|PASSWORD|PASSWD|(^|_)PASS|TOKEN|ACCESS_KEY|ACCESS_KEY_ID|API_KEY|ACCOUNT_KEY|PRIVATE_KEY|CONNECTION_STRING|CREDENTIALS?)$" (upper $variable)) -}}
{{- fail (printf "run %s: env.%s would put a credential into a manifest; refer to a Secret: {secretKeyRef: {name: ..., key: ...}}" $name $variable) -}}
{{- end -}}
{{- if or (hasPrefix "PET_" $variable) (eq $variable "JOB_COMPLETION_INDEX") -}}
{{- fail (printf "run %s: env.%s is set by the run's own object; remove it" $name $variable) -}}
{{- end -}}
{{- if and $run.logs (has $variable (list "DATASCALER_LOG_DIR" "DATASCALER_POD")) -}}
{{- fail (printf "run %s: env.%s is set by logs; remove one of them" $name $variable) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $run.queue.system "kueue") $run.queue.priorityClass (not $run.queue.name) -}}
{{- fail (printf "run %s: queue.priorityClass is %s but queue.name is empty; name the LocalQueue" $name $run.queue.priorityClass) -}}
{{- end -}}
{{- end -}}
