"""Making a station out of a bundle from head office: which files, written how, which addresses the unit may reach."""

from agent.commissioning.addresses import address_list
from agent.commissioning.plan import CONFIGURATION, DROP_IN, PlannedFile, plan
from agent.commissioning.writing import CommissioningRefused, write_all

__all__ = ["CONFIGURATION", "DROP_IN", "CommissioningRefused", "PlannedFile", "address_list", "plan", "write_all"]
