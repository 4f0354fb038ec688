"""The host floor: what is measured on this machine, and the one hand that may change it."""
