"""The Copernicus Data Space Ecosystem: OData catalogue, Keycloak login and downloads."""
