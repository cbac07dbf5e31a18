"""HTTP listeners: metrics and health, control."""
