"""Which exceptions mean that memory ran out."""

import errno

import numpy as np
import pytest
import torch

from mosaic_bench.engine.execute import is_out_of_memory


def raised(call: str) -> Exception:
    try:
        eval(call, {"np": np, "torch": torch})
    except Exception as error:
        return error
    raise AssertionError(call)


@pytest.mark.parametrize("call", ["torch.empty(2**60)", "np.empty(2**52)", "bytearray(2**62)", "[0] * 2**61"])
def test_what_python_numpy_and_torch_raise_when_memory_cannot_be_had(call: str) -> None:
    assert is_out_of_memory(raised(call))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_cuda_and_the_system_raise(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
