"""Providers that eodag knows: its searches and logins, our downloads."""
