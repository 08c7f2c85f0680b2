"""What a third party runs on its own system, without a test framework or with pytest."""

from .conformance import Finding, SystemConformance, check_system, inspect_system
from .drives import limit_drives, random_drives

__all__ = ["Finding", "SystemConformance", "check_system", "inspect_system", "limit_drives", "random_drives"]
