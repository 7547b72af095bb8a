"""HTTP: sessions, retries, proxies, and which host may see which secret."""
