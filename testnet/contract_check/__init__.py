"""`ostraka check`: what a reader who knows the machine would point at in a contract, before it is deployed."""

from testnet.contract_check.checking import check_files
from testnet.contract_check.findings import Finding, Severity

__all__ = ["Finding", "Severity", "check_files"]
