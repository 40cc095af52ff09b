"""What people look up about points and offers: one member, one station, one campaign, as documented JSON."""
