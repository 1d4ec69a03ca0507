{{- define "name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "image" -}}
{{- $name := required "image.repository: name the image that you built from deploy/docker and pushed" .Values.image.repository -}}
{{ printf "%s:%s" $name (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end -}}

{{- define "remote" -}}
{{- if regexMatch "^[a-z0-9]+://" .Values.model.repository }}true{{ end -}}
{{- end -}}

{{- define "serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "name" .) "" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* What a caller from outside needs, and all that is routed: the calls that change the server are not among them. */}}
{{- define "calls" -}}
ServerLive ServerReady ModelReady ServerMetadata ModelMetadata ModelConfig ModelInfer ModelStreamInfer
{{- end -}}

{{/* The probe, which asks Triton and the model's own metric: see deploy/docker/resnet50-ready. */}}
{{- define "probe" -}}
exec: { command: [resnet50-ready, "127.0.0.1:8000", "127.0.0.1:8002"] }
timeoutSeconds: 5
{{- end -}}

{{/* PromQL's selector of this release's samples of the models that `models` (a regular expression) names. */}}
{{- define "samples" -}}
{namespace="{{ .Release.Namespace }}",service="{{ include "name" . }}-pods",model=~"{{ .models }}"}[{{ .Values.autoscaling.window }}]
{{- end -}}

{{/* Whether HTTP is for others than the probes; Triton cannot encrypt it. */}}
{{- define "http" -}}
{{- if and .Values.http.open (not .Values.tls.secret) }}true{{ end -}}
{{- end -}}
