{{/* Names. */}}
{{- define "hugeprobe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "hugeprobe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "hugeprobe.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "hugeprobe.agentAccount" -}}
{{- default (printf "%s-agent" (include "hugeprobe.fullname" .)) .Values.serviceAccounts.agent -}}
{{- end }}

{{- define "hugeprobe.probeAccount" -}}
{{- default (printf "%s-probe" (include "hugeprobe.fullname" .)) .Values.serviceAccounts.probe -}}
{{- end }}

{{- define "hugeprobe.probePriorityClass" -}}
{{- default (printf "%s-probe" (include "hugeprobe.fullname" .)) .Values.probe.priorityClass.name -}}
{{- end }}

{{/* Labels. The selector's must never change: a DaemonSet's selector cannot. */}}
{{- define "hugeprobe.selector" -}}
app.kubernetes.io/name: {{ include "hugeprobe.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "hugeprobe.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "hugeprobe.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hugeprobe
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image, one text for the agent, the probe pods and the policy that compares them. */}}
{{- define "hugeprobe.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ include "hugeprobe.repository" $ }}@{{ .digest }}
{{- else -}}
{{ include "hugeprobe.repository" $ }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The repository, in the registry of global.imageRegistry if there is one. */}}
{{- define "hugeprobe.repository" -}}
{{- $parts := splitList "/" .Values.image.repository -}}
{{- $first := first $parts -}}
{{- with (.Values.global | default dict).imageRegistry -}}
{{- if and (gt (len $parts) 1) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) }}{{ $parts = rest $parts }}{{ end -}}
{{- trimSuffix "/" . }}/
{{- end -}}
{{- join "/" $parts -}}
{{- end }}

{{/* Names of the secrets to pull it with, as a JSON array. */}}
{{- define "hugeprobe.pullSecrets" -}}
{{- $names := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) .Values.imagePullSecrets -}}
{{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "string" . | ternary dict .) "name")) -}}
{{- end -}}
{{- toJson (uniq $names) -}}
{{- end }}

{{- define "hugeprobe.podPullSecrets" -}}
{{- with include "hugeprobe.pullSecrets" . | fromJsonArray }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Labels of the probe pods besides their own, as JSON. */}}
{{- define "hugeprobe.probeLabels" -}}
{{- merge dict .Values.probe.labels .Values.commonLabels | toJson -}}
{{- end }}

{{/* `.affinity` with nodeExpressions in each of its node selector terms, of which any one is enough. */}}
{{- define "hugeprobe.affinity" -}}
{{- $affinity := deepCopy (.affinity | default dict) -}}
{{- with .root.Values.nodeExpressions -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default dict -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms | default (list dict) -}}
{{- $terms = append $terms (set . "matchExpressions" (concat (.matchExpressions | default list) $.root.Values.nodeExpressions)) -}}
{{- end -}}
{{- $_ := set $required "nodeSelectorTerms" $terms -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- end -}}
{{- if $affinity -}}
affinity:
  {{- toYaml $affinity | nindent 2 }}
{{- end -}}
{{- end }}

{{/* uid, gid and fsGroup, as JSON with null for what is left out: of the agent, and of the probe pods. By way of JSON, since a number is
an int64 when `--set` gave it and a float64 when a file did. */}}
{{- define "hugeprobe.runAs" -}}
{{- $ids := .Values.runAs | default dict -}}
{{- if eq .Values.profile "privileged" -}}
{{- $ids = dict "user" 0 "group" 0 "fsGroup" nil -}}
{{- end -}}
{{- dict "user" $ids.user "group" $ids.group "fsGroup" $ids.fsGroup | toJson -}}
{{- end }}

{{- define "hugeprobe.probeRunAs" -}}
{{- $ids := include "hugeprobe.runAs" . | fromJson -}}
{{- if ne .Values.profile "privileged" -}}
{{- range $id, $value := .Values.probe.runAs | default dict }}{{ $_ := set $ids $id $value }}{{ end -}}
{{- end -}}
{{- toJson $ids -}}
{{- end }}

{{/* A pod's ids, from the JSON of the two above. */}}
{{- define "hugeprobe.podIds" -}}
{{- $ids := fromJson . -}}
{{- if kindIs "float64" $ids.user }}
runAsUser: {{ int64 $ids.user }}
{{- end }}
{{- if kindIs "float64" $ids.group }}
runAsGroup: {{ int64 $ids.group }}
{{- end }}
{{- if kindIs "float64" $ids.fsGroup }}
fsGroup: {{ int64 $ids.fsGroup }}
{{- end }}
{{- end }}

{{/* Of the container that reads what the network sends. */}}
{{- define "hugeprobe.listen" }}
- --listen
- {{ printf (contains ":" .Values.listen.address | ternary "[%s]:%v" "%s:%v") .Values.listen.address .Values.listen.port | quote }}
- --listen-health
- {{ printf (contains ":" .Values.listen.address | ternary "[%s]:%v" "%s:%v") .Values.listen.address .Values.listen.healthPort | quote }}
{{- end }}

{{- define "hugeprobe.ports" }}
- name: metrics
  containerPort: {{ .Values.listen.port }}
# For the kubelet: connections to the metrics cannot take its place.
- name: health
  containerPort: {{ .Values.listen.healthPort }}
{{- end }}

{{- define "hugeprobe.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The token, of limited life, where client libraries look for it. */}}
{{- define "hugeprobe.tokenVolume" -}}
name: token
projected:
  defaultMode: 0444
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: {{ . }}
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
{{- end }}

{{- define "hugeprobe.tokenMount" -}}
name: token
mountPath: /var/run/secrets/kubernetes.io/serviceaccount
readOnly: true
{{- end }}

{{/* "true" if the API server has ValidatingAdmissionPolicy. Without one to ask (`helm template`) no kind is listed, not even Pod: every server
of the versions that this chart is for has it, unless it was switched off. */}}
{{- define "hugeprobe.policiesKnown" -}}
{{- or (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") (not (.Capabilities.APIVersions.Has "v1/Pod")) -}}
{{- end }}

{{/* "true" if the policies are installed. */}}
{{- define "hugeprobe.policies" -}}
{{- if eq (toString .Values.admissionPolicy.enabled) "auto" -}}
{{- include "hugeprobe.policiesKnown" . -}}
{{- else -}}
{{- .Values.admissionPolicy.enabled -}}
{{- end -}}
{{- end }}

{{/* How many pages of each size the needs of all expectations come to, as JSON: of two about the same pool the larger counts, as the
agent has it. */}}
{{- define "hugeprobe.needed" -}}
{{- $pools := dict -}}
{{- range .Values.expectations }}{{ range .need -}}
{{- $pool := regexReplaceAll "=[0-9]+" . "" -}}
{{- $_ := set $pools $pool (max (get $pools $pool | default 0) (regexFind "=[0-9]+" . | trimPrefix "=" | int64)) -}}
{{- end }}{{ end -}}
{{- $sizes := dict -}}
{{- range $pool, $pages := $pools -}}
{{- $size := regexFind "^[^@]+" $pool -}}
{{- $_ := set $sizes $size (add (get $sizes $size | default 0) $pages) -}}
{{- end -}}
{{- toJson $sizes -}}
{{- end }}

{{/* `.pages` pages of `.size` as a quantity: 4 of 2Mi are 8Mi. */}}
{{- define "hugeprobe.pagesOf" -}}
{{- $number := regexFind "^[0-9]+" .size -}}
{{- printf "%d%s" (mul (int64 $number) (int64 .pages)) (trimPrefix $number .size) -}}
{{- end }}

{{/* The pod of a Job or a test: `.args` of the binary, with `.account` and its token, under Pod Security `restricted`. */}}
{{- define "hugeprobe.jobPod" -}}
{{- with .root -}}
restartPolicy: Never
serviceAccountName: {{ $.account }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "hugeprobe.podPullSecrets" . }}
securityContext:
  runAsNonRoot: true
  {{- include "hugeprobe.podIds" (.Values.runAs | default dict | toJson) | trim | nindent 2 }}
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: hugeprobe
    image: {{ include "hugeprobe.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [/hugeprobe]
    args:
      {{- toYaml $.args | nindent 6 }}
    {{- if $.nodeName }}
    env:
      - name: NODE_NAME
        valueFrom:
          fieldRef:
            fieldPath: spec.nodeName
    {{- end }}
    resources:
      requests:
        cpu: 10m
        memory: 16Mi
      limits:
        memory: 64Mi
    terminationMessagePolicy: FallbackToLogsOnError
    securityContext:
      {{- include "hugeprobe.restrictedContainer" . | nindent 6 }}
    volumeMounts:
      - {{- include "hugeprobe.tokenMount" . | nindent 8 }}
volumes:
  - {{- include "hugeprobe.tokenVolume" 600 | nindent 4 }}
{{- with .Values.jobs.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ include "hugeprobe.affinity" (dict "root" . "affinity" dict) }}
{{- with .Values.jobs.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end }}

{{- define "hugeprobe.cleanupHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}

{{- define "hugeprobe.agentSubject" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "hugeprobe.agentAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}
