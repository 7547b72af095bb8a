"""SeDAS, the UK's Sentinel Data Access Service."""
