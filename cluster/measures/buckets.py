"""The bounds of histograms. Seconds and tokens as OpenTelemetry's conventions for generative AI advise them:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from typing import Final

DURATION_S: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN_S: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS: Final = tuple(float(4**power) for power in range(14))

WAIT_S: Final = (*DURATION_S, 163.84, 327.68)
"""Of what OpenTelemetry has no name for: up to the time that a job has unless set otherwise."""
GAP_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0)
