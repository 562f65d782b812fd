"""What GPUs are used for, with a driver that tests play. A real one: tests/gpu."""

from typing import Any

import pynvml
import pytest

from actors.machine.gpu_loads import GpuLoads
from cluster.messages.machines import GpuLoad


class Driver:
    """Two GPUs, of which the second is a part of one and tells no utilization."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.closed = 0
        self.failure: pynvml.NVMLError | None = None
        for name in ("Init", "Shutdown", "DeviceGetCount", "DeviceGetHandleByIndex"):
            monkeypatch.setattr(pynvml, f"nvml{name}", getattr(self, name))
        for name in ("DeviceGetMemoryInfo", "DeviceGetUtilizationRates"):
            monkeypatch.setattr(pynvml, f"nvml{name}", getattr(self, name))

    def Init(self) -> None:
        self.opened += 1

    def Shutdown(self) -> None:
        self.closed += 1

    def DeviceGetCount(self) -> int:
        return 2

    def DeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def DeviceGetMemoryInfo(self, handle: int) -> Any:
        if self.failure is not None:
            raise self.failure
        return type("Memory", (), {"used": 1000 + handle})

    def DeviceGetUtilizationRates(self, handle: int) -> Any:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return type("Rates", (), {"gpu": 75})


def test_each_gpu_tells_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)
    loads = GpuLoads()
    for _ in range(3):
        assert loads.read() == [GpuLoad(1000, 0.75), GpuLoad(1001, None)]
    assert driver.opened == 1


def test_a_driver_that_fails_is_opened_anew_and_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(monkeypatch)
    loads = GpuLoads()
    loads.read()
    driver.failure = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    for _ in range(3):
        assert loads.read() == ()
    assert len(caplog.records) == 1
    driver.failure = None
    assert len(loads.read()) == 2
    assert driver.opened == driver.closed + 1
