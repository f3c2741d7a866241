{{/* The pod template, the same for every kind; `podOverlay` is laid over it. Takes {root, run}. */}}
{{- define "datascaler-run.podTemplate" -}}
{{- $text := include "datascaler-run.pod" . -}}
{{- if .run.podOverlay -}}
{{- $pod := fromYaml (printf "%s\n" $text) -}}
{{- if hasKey $pod "Error" -}}{{- fail (printf "a value of the pod can't be written as YAML: %s" $pod.Error) -}}{{- end -}}
{{- include "datascaler-run.strategicMerge" (dict "into" $pod "from" .run.podOverlay) -}}
{{- include "datascaler-run.yaml" $pod -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{- define "datascaler-run.pod" -}}
{{- $run := .run -}}
{{- $object := include "datascaler-run.object" . -}}
{{- $gpus := int (include "datascaler-run.gpus" .) -}}
{{- $scheduler := $run.schedulerName | default (get (dict "volcano" "volcano" "kai" "kai-scheduler") (ternary $run.queue.system "" (ne $run.queue.name ""))) -}}
{{- $labels := dict -}}
{{- $annotations := dict -}}
{{- if and $run.queue.name (eq $run.queue.system "kai") }}{{- $_ := set $labels "kai.scheduler/queue" $run.queue.name }}{{- end -}}
{{- if and $run.queue.name (eq $run.queue.system "volcano") }}{{- $_ := set $annotations "scheduling.volcano.sh/queue-name" $run.queue.name }}{{- end -}}
metadata:
  labels:
    {{- /* The chart's own come first: others must not take the labels by which runs are found. */}}
    {{- include "datascaler-run.yaml" (merge (fromYaml (include "datascaler-run.selectorLabels" .)) $labels $run.podLabels) | nindent 4 }}
  annotations:
    {{- /* Istio's proxy would outlive the command, and the run would never end. */}}
    {{- include "datascaler-run.yaml" (merge (deepCopy $run.podAnnotations) $annotations (dict "sidecar.istio.io/inject" "false")) | nindent 4 }}
spec:
  {{- if ne $object "pytorchjob" }}
  # A failure policy needs new pods, not containers that are restarted in place.
  restartPolicy: Never
  {{- else if hasKey $run "activeDeadlineSeconds" }}
  # The operator only looks at its own deadline when a pod changes; this makes one change in time.
  activeDeadlineSeconds: {{ int64 $run.activeDeadlineSeconds }}
  {{- end }}
  # Time to finish a step and save a checkpoint after SIGTERM.
  terminationGracePeriodSeconds: {{ int64 $run.terminationGracePeriodSeconds }}
  {{- if eq $run.kind "pipeline" }}
  # It submits the steps.
  {{- end }}
  automountServiceAccountToken: {{ $run.automountServiceAccountToken }}
  # Without it every pod gets variables for every Service, and each run of a list may have one.
  enableServiceLinks: false
  {{- with $run.serviceAccountName }}
  serviceAccountName: {{ . | quote }}
  {{- end }}
  {{- with $scheduler }}
  schedulerName: {{ . | quote }}
  {{- end }}
  {{- with $run.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $run.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with $run.imagePullSecrets }}
  imagePullSecrets:
    {{- include "datascaler-run.yaml" . | nindent 4 }}
  {{- end }}
  # With the container's below: what Pod Security `restricted` asks for.
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
    {{- with $run.podSecurityContext }}
    {{- include "datascaler-run.yaml" . | nindent 4 }}
    {{- end }}
  {{- with $run.nodeSelector }}
  nodeSelector:
    {{- include "datascaler-run.yaml" . | nindent 4 }}
  {{- end }}
  {{- with $run.affinity }}
  affinity:
    {{- include "datascaler-run.yaml" . | nindent 4 }}
  {{- end }}
  {{- with concat (ternary $run.gpu.tolerations list (gt $gpus 0)) $run.tolerations }}
  tolerations:
    {{- include "datascaler-run.yaml" . | nindent 4 }}
  {{- end }}
  {{- with $run.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- include "datascaler-run.yaml" . | nindent 4 }}
  {{- end }}
  containers:
    {{- if eq $object "pytorchjob" }}
    # The operator looks for a container of this name.
    {{- end }}
    - name: {{ include "datascaler-run.container" . }}
      image: {{ include "datascaler-run.image" . | quote }}
      imagePullPolicy: {{ $run.image.pullPolicy | quote }}
      command:
        {{- /* Kubernetes would expand $(X), and make one $ of two. */}}
        {{- $words := list }}
        {{- range $run.command }}{{- $words = append $words (replace "$" "$$" .) }}{{- end }}
        {{- include "datascaler-run.yaml" $words | nindent 8 }}
      # The last lines of the output of a pod that failed become its status, where `status` finds the reason.
      terminationMessagePolicy: FallbackToLogsOnError
      {{- with concat (ternary (list (dict "secretRef" (dict "name" $run.storage.secretName))) list (ne $run.storage.secretName "")) $run.envFrom }}
      envFrom:
        {{- include "datascaler-run.yaml" . | nindent 8 }}
      {{- end }}
      env:
        {{- if eq $object "elastic-job" }}
        {{- include "datascaler-run.rendezvousEnv" . | nindent 8 }}
        {{- end }}
        {{- if eq $run.kind "train" }}
        # Workers meet by address: names of pods are not in the DNS, or appear late.
        - name: PET_LOCAL_ADDR
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        {{- if not (hasKey $run.env "TORCH_ELASTIC_SHUTDOWN_TIMEOUT") }}
        # torchrun kills its processes 30 s after SIGTERM if not told otherwise. The rest of the grace period is its own.
        - name: TORCH_ELASTIC_SHUTDOWN_TIMEOUT
          value: {{ max 1 (sub (int64 $run.terminationGracePeriodSeconds) 10) | quote }}
        {{- end }}
        {{- end }}
        {{- with $run.logs }}
        # The output is kept in this folder too, under the name of the pod, and outlives it.
        - name: DATASCALER_LOG_DIR
          value: {{ . | replace "$" "$$" | quote }}
        - name: DATASCALER_POD
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        # Caches go below HOME, and the image's can't be written to. A numeric user may have no name to look up.
        {{- range $name, $value := merge (deepCopy $run.env) (dict "HOME" "/tmp" "USER" "datascaler") }}
        - name: {{ $name | quote }}
          {{- if kindIs "map" $value }}
          valueFrom:
            {{- include "datascaler-run.yaml" $value | nindent 12 }}
          {{- else }}
          value: {{ $value | replace "$" "$$" | quote }}
          {{- end }}
        {{- end }}
      {{- if eq $object "elastic-job" }}
      ports:
        - name: rendezvous
          containerPort: {{ include "datascaler-run.rendezvousPort" . }}
      {{- end }}
      resources:
        requests:
          cpu: {{ $run.resources.cpu | quote }}
          memory: {{ $run.resources.memory | quote }}
          {{- with $run.resources.ephemeralStorage }}
          ephemeral-storage: {{ . | quote }}
          {{- end }}
          {{- if gt $gpus 0 }}
          {{ $run.gpu.resource | quote }}: {{ $gpus }}
          {{- end }}
        limits:
          {{- with $run.resources.cpuLimit }}
          cpu: {{ . | quote }}
          {{- end }}
          memory: {{ $run.resources.memoryLimit | default $run.resources.memory | quote }}
          {{- with $run.resources.ephemeralStorage }}
          ephemeral-storage: {{ . | quote }}
          {{- end }}
          {{- if gt $gpus 0 }}
          {{ $run.gpu.resource | quote }}: {{ $gpus }}
          {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: {{ $run.readOnlyRootFilesystem }}
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: scratch
          mountPath: /tmp
        {{- if ne $run.shmSize "0" }}
        - name: shm
          mountPath: /dev/shm
        {{- end }}
        {{- with $run.volumeMounts }}
        {{- include "datascaler-run.yaml" . | nindent 8 }}
        {{- end }}
  volumes:
    # HOME and temporary files; the rest of the image can't be written to.
    - name: scratch
      emptyDir: {{ ternary (dict "sizeLimit" $run.scratchSize) dict (ne $run.scratchSize "") | toJson }}
    {{- if ne $run.shmSize "0" }}
    # A container has 64 MiB of shared memory, and loader processes that pass batches through it die with a bus error.
    # What is in it counts against the memory limit.
    - name: shm
      emptyDir:
        medium: Memory
        sizeLimit: {{ $run.shmSize | quote }}
    {{- end }}
    {{- with $run.volumes }}
    {{- include "datascaler-run.yaml" . | nindent 4 }}
    {{- end }}
{{- end -}}
