"""The gate: the HTTP front door that streams requests to warm soulstones."""

from covend.gate.gate import Gate
from covend.gate.reports import CoreLink

__all__ = ["CoreLink", "Gate"]
