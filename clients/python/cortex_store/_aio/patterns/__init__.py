"""The patterns that agents live by, as functions that take a client or a scope of one."""
