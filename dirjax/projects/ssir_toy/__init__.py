"""The toy experiment behind SSIR (Fig. 1 of its source)."""
