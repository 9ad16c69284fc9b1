{{/* agent.json: what `hugeprobe agent --config` reads. It ignores keys that it does not know, and names them in its log. */}}
{{- define "hugeprobe.config" -}}
{{- $v := .Values -}}
{{- $ids := include "hugeprobe.probeRunAs" . | fromJson -}}
{{- $secrets := include "hugeprobe.pullSecrets" . | fromJsonArray -}}
{{- $expectations := list -}}
{{- range $v.expectations -}}
{{- $expectations = append $expectations (dict "nodeSelector" (.nodeSelector | default dict) "expect" (.expect | default list) "need" (.need | default list)) -}}
{{- end -}}
{{- $sizes := $v.sizes -}}
{{- $pages := $v.probe.pages -}}
{{- if eq $v.mode "resident" -}}
{{- $sizes = list $v.resident.size -}}
{{- $pages = dict $v.resident.size $v.resident.pages -}}
{{- end -}}
{{- $peer := "" | default nil -}}
{{- if $v.peer.hostPath }}{{ $peer = omit $v.peer "claim" }}{{ else if $v.peer.claim }}{{ $peer = omit $v.peer "hostPath" }}{{ end -}}
{{- dict
  "profile" $v.profile
  "mode" $v.mode
  "workload" $v.workload
  "workloadSeccomp" $v.workloadSeccomp
  "watchNode" $v.watchNode
  "tickSeconds" $v.tickSeconds
  "renewMinutes" $v.renewMinutes
  "sizes" $sizes
  "expectations" $expectations
  "podAccounting" $v.podAccounting
  "probe" (dict
    "image" (include "hugeprobe.image" .)
    "imagePullPolicy" $v.image.pullPolicy
    "imagePullSecrets" $secrets
    "serviceAccountName" (include "hugeprobe.probeAccount" .)
    "priorityClassName" (include "hugeprobe.probePriorityClass" .)
    "pages" $pages
    "runAsUser" $ids.user
    "runAsGroup" $ids.group
    "fsGroup" $ids.fsGroup
    "hostUsers" $v.probe.hostUsers
    "resourceClaims" $v.probe.resourceClaims
    "podLevelResources" $v.probe.podLevelResources
    "runtimeClassName" ($v.probe.runtimeClassName | default nil)
    "cpu" $v.probe.cpu
    "memory" $v.probe.memory
    "deadlineSeconds" $v.probe.deadlineSeconds
    "pendingSeconds" $v.probe.pendingSeconds
    "busyHours" $v.probe.busyHours
    "seLinuxOptions" (empty $v.probe.seLinuxOptions | ternary nil $v.probe.seLinuxOptions)
    "labels" (include "hugeprobe.probeLabels" . | fromJson)
    "annotations" $v.probe.annotations)
  "peer" $peer
  "resident" (dict "directory" "/run/hugeprobe")
| toJson -}}
{{- end }}
