{{- define "esm-poller.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "esm-poller.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "esm-poller.labels" -}}
{{ include "esm-poller.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{/* poller.yaml: the user's, with what the chart decides */}}
{{- define "esm-poller.configuration" -}}
{{- $state := ternary "sqlite:/var/lib/esm-poller/poller.db" "memory:" .Values.persistence.enabled -}}
{{- $ours := dict "State" $state "ShutdownTimeoutInSeconds" (int .Values.shutdownTimeoutSeconds) "Metrics" (dict "Listen" ":9464") -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.configuration) (dict "Settings" $ours)) -}}
{{- end }}
