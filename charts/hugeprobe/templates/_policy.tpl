{{/* The parts that all ValidatingAdmissionPolicies share. They speak of the agents' account alone: nobody else is held up by them. */}}
{{- define "hugeprobe.policyName" -}}
{{- printf "%s-%s" (include "hugeprobe.fullname" .root) .name -}}
{{- end }}

{{- define "hugeprobe.policyHead" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "hugeprobe.policyName" . }}
  labels:
    {{- include "hugeprobe.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "hugeprobe.policyName" . }}
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ include "hugeprobe.policyName" . }}
  labels:
    {{- include "hugeprobe.labels" .root | nindent 4 }}
{{- end }}

{{- define "hugeprobe.policyAccount" -}}
failurePolicy: Fail
matchConditions:
  - name: agent
    expression: request.userInfo.username == {{ printf "system:serviceaccount:%s:%s" .Release.Namespace (include "hugeprobe.agentAccount" .) | squote }}
{{- end }}

{{/* The token of a pod says on which node it runs, and which pod it is; a token that was asked for by hand says neither. */}}
{{- define "hugeprobe.policyNode" -}}
- name: node
  expression: >-
    request.userInfo.extra[?'authentication.kubernetes.io/node-name'].orValue([''])[0]
{{- end }}

{{- define "hugeprobe.policyAffinity" -}}
{'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': [{'matchFields': [{'key': dyn('metadata.name'), 'operator': dyn('In'), 'values': dyn([variables.node])}]}]}}}
{{- end }}

{{/* A text as CEL has it. */}}
{{- define "hugeprobe.cel" -}}
{{- . | toString | replace "\\" "\\\\" | replace "'" "\\'" | squote -}}
{{- end }}

{{- define "hugeprobe.celList" -}}
[{{ range $i, $text := . }}{{ if $i }}, {{ end }}{{ include "hugeprobe.cel" $text }}{{ end }}]
{{- end }}

{{/* A map of texts as CEL has it. */}}
{{- define "hugeprobe.celMap" -}}
{{ "{" }}{{ range $key, $value := . }}{{ include "hugeprobe.cel" $key }}: {{ include "hugeprobe.cel" $value }}, {{ end }}{{ "}" }}
{{- end }}

{{/* The page sizes that probe pods may be for, as a JSON array: those of the values, else those that Linux has on the architectures
that Kubernetes runs on, and those that the values name elsewhere. */}}
{{- define "hugeprobe.sizes" -}}
{{- $sizes := .Values.sizes -}}
{{- if not $sizes -}}
{{- $sizes = list "64Ki" "1Mi" "2Mi" "16Mi" "32Mi" "512Mi" "1Gi" "2Gi" "16Gi" -}}
{{- range .Values.expectations }}{{ range concat (.expect | default list) (.need | default list) -}}
{{- $sizes = append $sizes (regexFind "^[0-9]+[KMG]i" .) -}}
{{- end }}{{ end -}}
{{- range $size, $_ := .Values.probe.pages }}{{ $sizes = append $sizes $size }}{{ end -}}
{{- end -}}
{{- toJson (uniq $sizes) -}}
{{- end }}

{{/* A test of one id of a probe pod's security context: exactly the one that is set, or, where the cluster fills it in, any but root's. */}}
{{- define "hugeprobe.celId" -}}
{{- if kindIs "float64" .value -}}
{{ .context }}.?{{ .key }}.orValue({{ .absent }}) == {{ int64 .value }}
{{- else -}}
{{ .context }}.?{{ .key }}.orValue(1) != 0
{{- end -}}
{{- end }}
