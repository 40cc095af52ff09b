"""What travels: records to MQTT and back, cursors and acknowledgements; one contract for both ends."""
