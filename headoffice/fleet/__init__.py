"""A fleet of light stations that speak the contract: how much a broker, a database and some workers stand."""
