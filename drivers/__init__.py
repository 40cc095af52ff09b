"""What the metal says: bytes to readings, commands to bytes. Imports nothing else of this project."""
