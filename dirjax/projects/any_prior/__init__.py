"""Tables of one model under another label distribution, docs/any-prior.md."""
