"""What a third party runs on its own system, without a test framework or with pytest."""

from physnet.allowed_drives import limit_drives, random_drives

from .conformance import Finding, SystemConformance, check_system, inspect_system

__all__ = ["Finding", "SystemConformance", "check_system", "inspect_system", "limit_drives", "random_drives"]
