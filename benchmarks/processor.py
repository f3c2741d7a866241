"""What the processor can do, which some limits depend on."""

from pathlib import Path


def has_bf16_units() -> bool:
    """Whether the CPU multiplies bfloat16 matrices itself, rather than by way of float32."""
    info = Path("/proc/cpuinfo")
    return info.exists() and bool({"amx_bf16", "avx512_bf16"} & set(info.read_text().split()))
