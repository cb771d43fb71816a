"""The toy experiment that motivates SSIR (Fig. 2a of the paper)."""
