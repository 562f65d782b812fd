"""What Prometheus reads. Nothing of it names an account, a key or a job.

Names follow https://prometheus.io/docs/practices/naming/, and where OpenTelemetry has conventions for generative AI,
those: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/.
"""
