"""What backends' own tests share: the environment in which vLLM runs within a test's process."""

import os
import tempfile
from collections.abc import Iterator

import pytest

from actors.backends import process_env
from cluster.catalogue import CAPITALS


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """That of an engine without a GPU. vLLM may only be imported then, and leaves a file for each of its engines."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("vllm"))
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        for name, value in process_env(CAPITALS, os.cpu_count() or 1).items():
            patch.setenv(name, value)
        yield
