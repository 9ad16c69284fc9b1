{{/* What the MutatingAdmissionPolicies share. */}}

{{/* The version of their API: that of the values, else the newest that the API server has, else "". Without a server to ask (`helm
template`) the version of Kubernetes decides. */}}
{{- define "hugeprobe.mutatingVersion" -}}
{{- if .Values.admissionPolicy.mutatingVersion -}}
{{- .Values.admissionPolicy.mutatingVersion -}}
{{- else if .Capabilities.APIVersions.Has "v1/Pod" -}}
{{- $found := "" -}}
{{- range $version := list "v1alpha1" "v1beta1" "v1" -}}
{{- if $.Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/%s/MutatingAdmissionPolicy" $version) }}{{ $found = $version }}{{ end -}}
{{- end -}}
{{- $found -}}
{{- else -}}
{{- semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version | ternary "v1" "v1beta1" -}}
{{- end -}}
{{- end }}

{{- define "hugeprobe.mutationHead" -}}
apiVersion: admissionregistration.k8s.io/{{ include "hugeprobe.mutatingVersion" .root }}
kind: MutatingAdmissionPolicyBinding
metadata:
  name: {{ include "hugeprobe.policyName" . }}
  labels:
    {{- include "hugeprobe.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "hugeprobe.policyName" . }}
---
apiVersion: admissionregistration.k8s.io/{{ include "hugeprobe.mutatingVersion" .root }}
kind: MutatingAdmissionPolicy
metadata:
  name: {{ include "hugeprobe.policyName" . }}
  labels:
    {{- include "hugeprobe.labels" .root | nindent 4 }}
{{- end }}

{{/* Every page size that a kernel could have, as CEL has it. */}}
{{- define "hugeprobe.celSizes" -}}
{{- $sizes := list -}}
{{- range $unit := list "Ki" "Mi" "Gi" }}{{ range $number := list "1" "2" "4" "8" "16" "32" "64" "128" "256" "512" -}}
{{- $sizes = append $sizes (printf "%s%s" $number $unit) -}}
{{- end }}{{ end -}}
{{- include "hugeprobe.celList" $sizes -}}
{{- end }}
