{{/* Rules that the schema cannot express because they concern two values. Each message names both. */}}
{{- define "hugeprobe.validate" -}}
{{- $v := .Values -}}
{{- $resident := eq $v.mode "resident" -}}
{{- if and $resident (eq $v.profile "privileged") -}}
{{- fail "profile: privileged and mode: resident exclude each other: the two roles would run in a pod that sees the host's processes. Use mode: probePods, or profile: restricted." -}}
{{- end -}}
{{- if and (eq $v.profile "privileged") (has .Release.Namespace (list "default" "kube-system" "kube-public")) -}}
{{- fail (printf "profile: privileged needs a separate namespace, not %s: anyone who can create pods there could do what this profile can." .Release.Namespace) -}}
{{- end -}}
{{- if and (not $resident) (ne (include "hugeprobe.policies" .) "true") (has .Release.Namespace (list "default" "kube-system" "kube-public")) -}}
{{- fail (printf "mode: probePods without admission policies needs a separate namespace, not %s: the token of one agent could create any pod there. docs/reference/permissions.md has the alternatives." .Release.Namespace) -}}
{{- end -}}
{{- with ($v.updateStrategy.rollingUpdate | default dict).maxSurge -}}
{{- if ne (toString . | trimSuffix "%") "0" -}}
{{- fail (printf "updateStrategy.rollingUpdate.maxSurge: %v would run two agents on a node, and each would delete the other's probe pods. Use maxUnavailable." .) -}}
{{- end -}}
{{- end -}}
{{- if eq (int $v.listen.port) (int $v.listen.healthPort) -}}
{{- fail (printf "listen.healthPort: %v is listen.port as well. Health needs a port that scrapers do not use." $v.listen.port) -}}
{{- end -}}
{{- if and $v.podMonitor.enabled $v.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: each agent would be scraped twice. Enable one of them." -}}
{{- end -}}
{{- range $key, $_ := include "hugeprobe.probeLabels" . | fromJson -}}
{{- if or (hasPrefix "hugeprobe.io/" $key) (has $key (list "app.kubernetes.io/name" "app.kubernetes.io/component")) -}}
{{- fail (printf "probe.labels, commonLabels: %s is a label by which hugeprobe finds its pods." $key) -}}
{{- end -}}
{{- end -}}
{{- if and $resident $v.sizes (ne (join "," $v.sizes) $v.resident.size) -}}
{{- fail (printf "sizes: mode: resident checks resident.size (%s) only, not %s. Leave sizes empty." $v.resident.size (join ", " $v.sizes)) -}}
{{- end -}}
{{- if and $v.peer.hostPath (ne $v.profile "privileged") -}}
{{- fail (printf "peer.hostPath: %s is mounted from the host, which requires profile: privileged." $v.peer.hostPath) -}}
{{- end -}}
{{- if and $v.peer.listen (not $v.peer.hostPath) (not $v.peer.claim) -}}
{{- fail "peer.listen: true requires peer.hostPath or peer.claim, which are empty." -}}
{{- end -}}
{{- with $v.peer.claim -}}
{{- if $v.peer.hostPath -}}
{{- fail "peer.hostPath and peer.claim: the probe checks one vswitch. Use one of them." -}}
{{- end -}}
{{- if $resident -}}
{{- fail "peer.claim: mode: resident has no probe pods. Use mode: probePods." -}}
{{- end -}}
{{- $claims := list -}}
{{- range $v.probe.resourceClaims }}{{ $claims = append $claims .name }}{{ end -}}
{{- if not (has .name $claims) -}}
{{- fail (printf "peer.claim.name: %s is not a claim of probe.resourceClaims." .name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.probe.resourceClaims (semverCompare "<1.34-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "probe.resourceClaims: resource.k8s.io/v1 is in Kubernetes 1.34 and later, and this is %s." .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if ge (int $v.probe.pendingSeconds) (mul 60 (int $v.renewMinutes)) -}}
{{- fail (printf "probe.pendingSeconds: %v s is as long as renewMinutes (%v): the next probe would be due before this one gives up." $v.probe.pendingSeconds $v.renewMinutes) -}}
{{- end -}}
{{- if and (eq (toString $v.admissionPolicy.enabled) "true") (ne (include "hugeprobe.policiesKnown" .) "true") -}}
{{- fail "admissionPolicy.enabled: this API server has no ValidatingAdmissionPolicy. With auto the chart installs without it; docs/reference/permissions.md says what an agent's token could then do." -}}
{{- end -}}
{{- range $value := list "preflight" "rebootPolicy" -}}
{{- if and (index $v $value).enabled (not (include "hugeprobe.mutatingVersion" $)) -}}
{{- fail (printf "%s.enabled: this API server has no MutatingAdmissionPolicy, which is on by default from Kubernetes 1.36. In 1.34 and 1.35 it takes --feature-gates=MutatingAdmissionPolicy=true and --runtime-config=admissionregistration.k8s.io/v1beta1=true." $value) -}}
{{- end -}}
{{- end -}}
{{- if and $v.priorityClass.create (hasPrefix "system-" $v.priorityClassName) -}}
{{- fail (printf "priorityClass.create: %s belongs to Kubernetes. Give priorityClassName another name." $v.priorityClassName) -}}
{{- end -}}
{{- if and (not $v.serviceAccounts.create) (not $v.serviceAccounts.agent) -}}
{{- fail "serviceAccounts.create: false needs the name of the account in serviceAccounts.agent." -}}
{{- end -}}
{{- if and (not $v.serviceAccounts.create) (not $resident) (not $v.serviceAccounts.probe) -}}
{{- fail "serviceAccounts.create: false needs the name of the probe pods' account in serviceAccounts.probe." -}}
{{- end -}}
{{- if eq (include "hugeprobe.agentAccount" .) (include "hugeprobe.probeAccount" .) -}}
{{- fail "serviceAccounts: the probe pods must not have the agent's account." -}}
{{- end -}}
{{- range $v.sizes }}{{ include "hugeprobe.validateSize" (dict "where" "sizes" "size" .) }}{{ end -}}
{{- range $size, $_ := $v.probe.pages }}{{ include "hugeprobe.validateSize" (dict "where" "probe.pages" "size" $size) }}{{ end -}}
{{- include "hugeprobe.validateSize" (dict "where" "resident.size" "size" $v.resident.size) -}}
{{- $sizes := $resident | ternary (list $v.resident.size) $v.sizes -}}
{{- $selectors := dict -}}
{{- range $i, $entry := $v.expectations -}}
{{- $selector := toJson ($entry.nodeSelector | default dict) -}}
{{- if hasKey $selectors $selector -}}
{{- fail (printf "expectations[%d].nodeSelector is the same as that of expectations[%v]: %s. Merge the two entries." $i (get $selectors $selector) $selector) -}}
{{- end -}}
{{- $_ := set $selectors $selector $i -}}
{{- include "hugeprobe.validateOnce" (dict "where" (printf "expectations[%d].expect" $i) "texts" ($entry.expect | default list) "about" "^([^>=]+)" "sizes" $sizes) -}}
{{- include "hugeprobe.validateOnce" (dict "where" (printf "expectations[%d].need" $i) "texts" ($entry.need | default list) "about" "^([^=]+)" "sizes" $sizes) -}}
{{- if and $resident $entry.need -}}
{{- fail (printf "expectations[%d].need: in mode: resident the two roles have resident.pages (%v) and no more. Needs require mode: probePods." $i $v.resident.pages) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* No two `.texts` for the same pool, and none for a size that is not checked. */}}
{{- define "hugeprobe.validateOnce" -}}
{{- $seen := dict -}}
{{- range .texts -}}
{{- $subject := regexFind $.about . -}}
{{- if contains ".need" $.where -}}{{- $subject = printf "%s%s" $subject (regexFind "@.*$" .) -}}{{- end -}}
{{- if hasKey $seen $subject -}}
{{- fail (printf "%s has two entries for %s: %s and %s." $.where $subject (get $seen $subject) .) -}}
{{- end -}}
{{- $_ := set $seen $subject . -}}
{{- $size := regexFind "^[0-9]+[KMG]i" . -}}
{{- include "hugeprobe.validateSize" (dict "where" $.where "size" $size) -}}
{{- if and $.sizes (not (has $size $.sizes)) -}}
{{- fail (printf "%s: %s is about %s, which is not in sizes (%s)." $.where . $size (join ", " $.sizes)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* `.size` is a possible page size of a kernel, spelled as Kubernetes spells it. */}}
{{- define "hugeprobe.validateSize" -}}
{{- if not (regexMatch "^((8|16|32|64|128|256|512)Ki|(1|2|4|8|16|32|64|128|256|512)(Mi|Gi))$" .size) -}}
{{- fail (printf "%s: %s is not a huge page size. Use a power of two from 8Ki to 512Gi, in its largest unit, such as 2Mi or 1Gi." .where .size) -}}
{{- end -}}
{{- end }}
