"""The pure core: events to interactions, interactions to chains, chains to facts. No clock, no platform, no logging."""
