"""The event generator: a made-up shop whose events follow the contract, and break it as often as asked."""
