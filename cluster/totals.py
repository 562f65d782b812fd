"""What has ended since this process began, counted per model."""

from msgspec.structs import replace

from cluster.messages.money import ModelTotals, Usage


class Totals:
    def __init__(self) -> None:
        self._models: dict[str, ModelTotals] = {}

    def add(self, model: str, usage: Usage, failed: bool) -> None:
        """Count one job that has ended."""
        before = self._models.get(model) or ModelTotals(model)
        self._models[model] = replace(
            before,
            completed=before.completed + (not failed),
            failed=before.failed + failed,
            prompt_tokens=before.prompt_tokens + usage.prompt_tokens,
            completion_tokens=before.completion_tokens + usage.completion_tokens,
        )

    def all(self) -> list[ModelTotals]:
        """Per model of which any job has ended, in the order of their names."""
        return [self._models[model] for model in sorted(self._models)]
